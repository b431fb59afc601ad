"""Lists with exclusions against plain Python, and that no cut of the work changes them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.errors import InputError
from artrec.evaluation import VARIANTS, Answers, Images, Scan, scan, values
from tests.evaluation import oracle
from tests.evaluation.oracle import Image

LABELS = ("style", "artist")


def in_order(images: Sequence[Image]) -> list[Image]:
    return sorted(images, key=lambda each: (each.number, each.name))


def arrays(images: Sequence[Image], known: Sequence[Image]) -> Images:
    """``images`` as the scan takes them; codes are places among the values of all ``known``."""
    numbers = sorted({image.number for image in images})
    vectors = {image.number: image.vector for image in images}
    facts = {
        "image": [each.name for each in known],
        "style": [each.style for each in known],
        "artist": [each.artist for each in known],
        "phash": [each.phash for each in known],
        "name": [each.artist and each.title and (each.artist, each.title) for each in known],
        "content": [each.number for each in known],
    }
    place = {image.name: at for at, image in enumerate(known)}
    codes = {}
    for name, column in facts.items():
        code = {value: n for n, value in enumerate(dict.fromkeys(v for v in column if v), 1)}
        mine = [code.get(column[place[image.name]], 0) for image in images]
        codes[name] = np.array(mine, np.int64)
    return Images(
        np.array([vectors[n] for n in numbers], np.float32).reshape(len(numbers), -1),
        np.searchsorted(numbers, [image.number for image in images]).astype(np.int64),
        codes,
    )


def scanned(
    images: Sequence[Image], queries: Sequence[Image], metric: str, k: int, cuts: Sequence[int] = ()
) -> Scan:
    """All of ``images``, given in parts cut at ``cuts``."""
    found = Scan(arrays(queries, images), metric, k)
    for start, stop in itertools.pairwise((0, *sorted(cuts), len(images))):
        if start < stop:
            found.add(arrays_of_part(images, slice(start, stop)))
    return found


def arrays_of_part(images: Sequence[Image], part: slice) -> Images:
    whole = arrays(images, images)
    rows = whole.vector_of[part]
    codes = {name: each[part] for name, each in whole.codes.items()}
    low, high = rows[0], rows[-1] + 1
    return Images(whole.vectors[low:high], rows - low, codes)


@st.composite
def catalogs(draw: st.DrawFn) -> list[Image]:
    """Few values of everything, so that all kinds of ties and duplicates are frequent."""
    n = draw(st.integers(1, 24))
    size = draw(st.integers(1, 3))
    number = st.integers(1, 12)
    contents = {
        each: tuple(float(v) for v in draw(st.tuples(*[st.integers(1, 3)] * size)))
        for each in range(1, 13)
    }
    label = st.sampled_from([None, "a", "b", "c"])
    images = []
    for at in range(n):
        content = draw(number)
        images.append(
            Image(
                name=f"{draw(st.sampled_from('xyz'))}{at}",
                number=content,
                vector=contents[content],
                style=draw(label),
                artist=draw(label),
                phash=draw(st.sampled_from([None, 5, 6])),
                title=draw(label),
            )
        )
    return in_order(images)


@given(catalogs(), st.sampled_from(["cosine", "euclidean"]), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_lists_counts_and_hits_are_those_of_the_definition(
    images: list[Image], metric: str, k: int
) -> None:
    found = scanned(images, images, metric, k)
    for variant in VARIANTS:
        lists = found.lists[variant]
        for row, query in enumerate(images):
            expected = oracle.listed(query, images, variant, metric, k)
            places = [at for at in lists.ids[row].tolist() if at >= 0]
            assert [images[at] for at in places] == expected, (variant, query)
            others = [each for each in images if oracle.may_stand(query, each, variant)]
            assert found.candidates[variant][row] == len(others)
            for label in LABELS:
                own = getattr(query, label)
                alike = [own is not None and getattr(each, label) == own for each in others]
                assert found.relevant[variant, label][row] == sum(alike)
                hits = [own is not None and getattr(each, label) == own for each in expected]
                assert found.hits(variant, label)[row, : len(hits)].tolist() == hits
                assert not found.hits(variant, label)[row, len(hits) :].any()


@given(catalogs(), st.integers(1, 5), st.lists(st.integers(0, 24), max_size=4), st.data())
@settings(max_examples=40, deadline=None)
def test_no_cut_of_queries_or_images_changes_a_row(
    images: list[Image], k: int, cuts: list[int], data: st.DataObject
) -> None:
    whole = scanned(images, images, "cosine", k)
    size = data.draw(st.integers(1, len(images)))
    inner = [cut for cut in cuts if cut < len(images)]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_ROWS", "_COLUMNS"):
            patch.setattr(scan, name, data.draw(st.integers(1, 7)))
        for start in range(0, len(images), size):
            rows = slice(start, start + size)
            part = scanned(images, images[rows], "cosine", k, inner)
            for variant in VARIANTS:
                for name in ("ids", "distances"):
                    found = getattr(part.lists[variant], name)
                    assert (found == getattr(whole.lists[variant], name)[rows]).all()
                assert (part.candidates[variant] == whole.candidates[variant][rows]).all()
                for label in LABELS:
                    found = part.relevant[variant, label]
                    assert (found == whole.relevant[variant, label][rows]).all()
                    hits = part.hits(variant, label)
                    assert (hits == whole.hits(variant, label)[rows]).all()


@given(catalogs())
@settings(max_examples=40, deadline=None)
def test_measures_of_scanned_lists_are_those_of_the_definition(images: list[Image]) -> None:
    found = scanned(images, images, "cosine", 100)
    for variant, label in itertools.product(VARIANTS, LABELS):
        counts = found.relevant[variant, label]
        asked = np.flatnonzero(counts)
        answers = Answers(
            [str(getattr(images[row], label)) for row in asked],
            found.hits(variant, label)[asked],
            found.candidates[variant][asked],
            counts[asked],
        )
        measured = values(answers)
        for at, row in enumerate(asked.tolist()):
            query, n = images[row], int(found.candidates[variant][row])
            expected = oracle.listed(query, images, variant, "cosine", 100)
            hits = [getattr(each, label) == getattr(query, label) for each in expected]
            for k in (1, 5, 10, 100):
                assert measured["precision", k][at] == oracle.precision(hits, n, k)
            approximately = pytest.approx(oracle.average_precision(hits, 10), abs=1e-12)
            assert measured["map", 10][at] == approximately
            assert measured["map_csd", 10][at] == pytest.approx(oracle.csd(hits, n, 10), abs=1e-12)


def test_a_list_is_full_although_nearly_all_are_by_the_same_artist() -> None:
    """900 by one artist at the query's very place, and 40 others far away."""
    random = np.random.default_rng(1)
    near = [
        Image(f"n{i}", i + 1, (1.0, float(random.random()) / 100), "s", "many") for i in range(900)
    ]
    far = [Image(f"f{i}", 2000 + i, (float(i + 1) / 100, 1.0), "t", f"f{i}") for i in range(40)]
    images = in_order([*near, *far])
    found = scanned(images, near[:3], "cosine", 30)
    for row, query in enumerate(near[:3]):
        expected = oracle.listed(query, images, "no_same_artist", "cosine", 30)
        assert {each.artist for each in expected} == {f"f{i}" for i in range(10, 40)}
        places = found.lists["no_same_artist"].ids[row].tolist()
        assert [images[at] for at in places] == expected


def test_images_out_of_order_are_refused() -> None:
    codes = {"image": np.array([1, 2])}
    vectors = np.ones((2, 2), np.float32)
    with pytest.raises(InputError, match="in the order of their vectors"):
        Images(vectors, np.array([1, 0]), codes)
    with pytest.raises(InputError, match="2 codes image for 1 images"):
        Images(vectors, np.array([1]), codes)
