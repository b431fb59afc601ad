"""evaluate: its tables against the release's own rows, and gates that refuse real nights."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from artrec.evaluation import VARIANTS
from artrec.releases import read_release
from artrec.releases.compare import compare
from artrec.stages.neighbors import lists
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from artrec.vectors import BruteForce
from tests.evaluation import oracle
from tests.nights import PAINTINGS, SAME, K, Night, night, tree
from tests.pictures import Named, picture, write_zip

Rows = list[dict[str, Any]]
Key = tuple[str, str, str, str, str, str, str, int]


def table(rows: Rows) -> dict[Key, dict[str, Any]]:
    names = ("encoder", "measure", "pool", "label", "variant", "average", "group", "k")
    return {tuple(row[name] for name in names): row for row in rows}  # type: ignore[misc]


def images_of(night: Night) -> list[oracle.Image]:
    hashes = {
        row["content_sha256"]: row["phash"]
        for row in night.rows("pictures", ["content_sha256", "phash"])
    }
    vectors = {row["image_id"]: tuple(row["embedding"]) for row in night.rows("embeddings")}
    return [
        oracle.Image(
            name=row["image_id"],
            number=row["vector_no"],
            vector=vectors[row["image_id"]],
            style=row["style"],
            artist=row["artist"],
            phash=hashes[row["content_sha256"]],
            title=row["title"],
        )
        for row in night.rows("catalog")
    ]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("label", ["style", "artist"])
def test_precision_is_that_of_the_brute_force(release: Night, label: str, variant: str) -> None:
    images = images_of(release)
    found = table(release.rows("evaluation"))
    encoder = release.document["encoder"]
    own: dict[str, list[list[float]]] = {}
    for query in images:
        others = [each for each in images if oracle.may_stand(query, each, variant)]
        mine = getattr(query, label)
        if mine is None or not any(getattr(each, label) == mine for each in others):
            continue
        listed = oracle.listed(query, images, variant, "cosine", 100)
        hits = [getattr(each, label) == mine for each in listed]
        n = len(others)
        numbers = [oracle.precision(hits, n, k) for k in (1, 5, 10, 100)]
        numbers += [oracle.average_precision(hits, 10), oracle.csd(hits, n, 10)]
        own.setdefault(mine, []).append(numbers)
    measures = [("precision", k) for k in (1, 5, 10, 100)] + [("map", 10), ("map_csd", 10)]
    if label == "artist" and "artist" in VARIANTS[variant]:
        assert not any(key[3:5] == (label, variant) for key in found)
        return
    assert len(own) >= 3
    flat = [each for group in own.values() for each in group]
    for at, (measure, k) in enumerate(measures):
        for pool in ("catalog", "sample"):
            key = (encoder, measure, pool, label, variant)
            row = found[(*key, "micro", "", k)]
            assert row["queries"] == len(flat)
            assert row["value"] == pytest.approx(np.mean([each[at] for each in flat]), abs=1e-12)
            assert row["low"] == row["high"] == row["value"]  # all images were asked
            macro = np.mean([np.mean([each[at] for each in group]) for group in own.values()])
            assert found[(*key, "macro", "", k)]["value"] == pytest.approx(macro, abs=1e-12)
        classes = {key[6] for key in found if key[:6] == (encoder, measure, "catalog", label,
                   variant, "class") and key[7] == k}  # fmt: skip
        assert classes == set(own)


def test_held_out_pictures_ask_among_those_that_a_training_sees(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    """Held out are those whose hash ends, in 52 bits, below the share."""
    root = tmp_path / "root"
    made = night(root, "first", *release.assignments[:-1], "train.held_out=0.5")
    images = images_of(made)
    hashes = {row["image_id"]: row["content_sha256"] for row in made.rows("catalog")}
    tails = {name: int(sha.hex()[-13:], 16) / 2**52 for name, sha in hashes.items()}
    held = [each for each in images if tails[each.name] < 0.5]
    seen = [each for each in images if tails[each.name] >= 0.5]
    assert min(len(held), len(seen)) > 4
    found = table(made.rows("evaluation"))
    for label in ("style", "artist"):
        numbers = []
        for query in held:
            mine = getattr(query, label)
            if mine is None or not any(getattr(each, label) == mine for each in seen):
                continue
            listed = oracle.listed(query, seen, "all", "cosine", 100)
            hits = [getattr(each, label) == mine for each in listed]
            numbers.append(
                [oracle.precision(hits, len(seen), 1), oracle.average_precision(hits, 10)]
            )
        for at, (measure, k) in enumerate((("precision", 1), ("map", 10))):
            key = (made.document["encoder"], measure, "held_out", label, "all", "micro", "", k)
            assert found[key]["queries"] == len(numbers) > 1
            assert found[key]["value"] == pytest.approx(np.mean([n[at] for n in numbers]))
            assert found[key]["low"] < found[key]["high"]  # they stand for others


def test_floors_and_chance_stand_beside_the_encoder(release: Night) -> None:
    found = table(release.rows("evaluation"))
    rest = ("sample", "style", "all", "micro", "")
    encoder = release.document["encoder"]
    same = {found[(name, "precision", *rest, 1)]["queries"] for name in (encoder, "histogram")}
    assert len(same) == 1
    for name in ("histogram", "pixels"):
        assert 0 <= found[(name, "map", *rest, 10)]["value"] <= 1
        assert not any(key[0] == name and key[2] == "catalog" for key in found)
    images = [each for each in images_of(release) if each.style is not None]
    sizes = Counter(each.style for each in images)
    n = len(release.rows("catalog", ["image_id"]))
    shares = [(sizes[each.style] - 1) / (n - 1) for each in images if sizes[each.style] > 1]
    assert found[("chance", "precision", *rest, 0)]["value"] == pytest.approx(np.mean(shares))


def test_a_floor_is_the_cosine_of_centred_numbers(release: Night) -> None:
    """Precision@1 of the histogram, counted from the stored shares with numpy alone."""
    floors = {row["vector_no"]: row["histogram"] for row in release.rows("floor_vectors")}
    catalog = sorted(release.rows("catalog"), key=lambda row: (row["vector_no"], row["image_id"]))
    numbers = sorted(floors)
    assert numbers == sorted({row["vector_no"] for row in catalog})
    vectors = np.array([floors[n] for n in numbers], np.float64)
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    own = vectors[[numbers.index(row["vector_no"]) for row in catalog]]
    cosines = np.round(own @ own.T, 6)  # equal pictures are equally near
    np.fill_diagonal(cosines, -9)
    styles = [row["style"] for row in catalog]
    asked = [at for at, style in enumerate(styles) if style and styles.count(style) > 1]
    hits = [styles[int(cosines[at].argmax())] == styles[at] for at in asked]
    key = ("histogram", "precision", "sample", "style", "all", "micro", "", 1)
    assert table(release.rows("evaluation"))[key]["value"] == pytest.approx(np.mean(hits))


def test_lists_found_here_are_the_published_ones(release: Night) -> None:
    nested = release.rows("neighbors_nested")
    exact = release.rows("exact_lists")
    assert sorted(exact, key=lambda row: row["query_id"]) == nested
    (row,) = (r for r in release.rows("evaluation") if r["measure"] == "table_recall")
    assert (row["value"], row["queries"], row["k"]) == (1.0, len(nested), K)


def test_distances_at_each_rank_are_those_of_the_lists(release: Night) -> None:
    lists = np.array([row["distances"] for row in release.rows("neighbors_nested")])
    found = table(release.rows("evaluation"))
    encoder = release.document["encoder"]
    ranks = {key[7] for key in found if key[:5] == (encoder, "distance", "catalog", "", "rank")}
    assert ranks == {1, 2, 3, 4, 5}  # k is 5
    for rank in ranks:
        row = found[(encoder, "distance", "catalog", "", "rank", "", "0.25", rank)]
        assert row["value"] == pytest.approx(np.quantile(lists[:, rank - 1], 0.25))
    assert (encoder, "distance", "catalog", "", "random", "", "0.5", 0) in found
    assert found[(encoder, "distinct_vectors", "", "", "", "", "", 0)]["value"] == len(
        release.rows("live_vectors")
    )


def test_hubs_are_the_images_in_most_lists(release: Night) -> None:
    counted = Counter(row["neighbor_id"] for row in release.rows("neighbors"))
    hubs = {row["image_id"]: row["lists"] for row in release.rows("hubs")}
    assert hubs == dict(counted)  # fewer than 100
    names = [row["image_id"] for row in release.rows("hubs")]
    assert names == sorted(names)


def test_lists_say_who_is_in_none_and_who_is_listed_back(release: Night) -> None:
    entries = {(row["query_id"], row["neighbor_id"]) for row in release.rows("neighbors")}
    images = [row["image_id"] for row in release.rows("catalog")]
    lists = np.array([sum(other == name for _, other in entries) for name in images])
    nearest = [row for row in release.rows("neighbors") if row["rank"] == 1]
    spread = lists - lists.mean()
    found = table(release.rows("evaluation"))
    encoder = release.document["encoder"]
    values = {
        name: found[(encoder, name, "catalog", "", "", "", "", 0)]
        for name in ("orphans", "hubness", "twins", "mutual")
    }
    assert values["orphans"]["value"] == pytest.approx((lists == 0).mean())
    skewness = (spread**3).mean() / (spread**2).mean() ** 1.5
    assert values["hubness"]["value"] == pytest.approx(skewness)
    at_zero = sum(row["distance"] == 0 for row in nearest)
    assert at_zero == 4  # the names of one content
    assert values["twins"]["value"] == pytest.approx(4 / len(images))
    mutual = sum((other, one) in entries for one, other in entries)
    assert 0 < mutual < len(entries)
    assert values["mutual"]["value"] == pytest.approx(mutual / len(entries))
    assert {each["queries"] for each in values.values()} == {len(images), len(entries)}


def test_duplicates_are_the_names_of_one_content(release: Night) -> None:
    found = {row["image_id"] for row in release.rows("duplicates")}
    assert found == {PAINTINGS[0][0], *SAME, "more:1890/paul_copy.jpg"}


def test_every_image_of_a_small_catalog_has_its_place_on_the_map(release: Night) -> None:
    places = {row["image_id"]: (row["x"], row["y"]) for row in release.rows("coordinates")}
    vectors = {row["image_id"]: row["embedding"] for row in release.rows("embeddings")}
    assert places.keys() == vectors.keys()
    wide = np.array([vectors[name] for name in places], np.float64)
    wide -= wide.mean(axis=0)
    _, sizes, axes = np.linalg.svd(wide, full_matrices=False)
    assert sizes[0] > 1.1 * sizes[1] > 1.1 * sizes[2]
    found = np.array(list(places.values()))
    assert np.abs(found) == pytest.approx(np.abs(wide @ axes[:2].T), abs=1e-5)


def test_the_next_night_decodes_only_pictures_that_are_new(
    release: Night, next_release: Night
) -> None:
    first, second = (each.document["stages"]["evaluate"] for each in (release, next_release))
    before = {row["vector_no"] for row in release.rows("live_vectors", ["vector_no"])}
    after = {row["vector_no"] for row in next_release.rows("live_vectors", ["vector_no"])}
    assert first["counters"]["decoded"] == len(before)
    assert second["counters"]["decoded"] == len(after - before)
    assert second["counters"]["floors_kept"] == len(after & before) > 20
    gates = {gate["gate"]: gate for gate in next_release.document["gates"]}
    assert {"drift", "shrinkage"} <= gates.keys()
    assert all(gate["passed"] for gate in gates.values())


@pytest.mark.long
def test_fewer_queries_and_a_smaller_sample_are_drawn_anew_and_bounded(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    rules = ("evaluate.queries=9", "evaluate.sample=12", "evaluate.map_points=5")
    rules = (*rules, "gates.index_recall=0.5")  # of nine queries even a perfect recall is not sure
    made = night(root, "few", *release.assignments[:-1], *rules)
    stages, before = made.document["stages"], release.document["stages"]
    assert {name for name in stages if stages[name]["inputs"] != before[name]["inputs"]} == {
        "evaluate",
        "report",
    }
    assert len(made.rows("exact_lists")) == 9
    assert len(made.rows("coordinates")) == 5
    chosen = made.rows("chosen_images")
    asked = {row["image_id"] for row in chosen if row["place"] < 9}
    assert {row["query_id"] for row in made.rows("exact_lists")} == asked
    sample = {row["image_id"] for row in chosen if row["sample_place"] is not None}
    assert len(sample) == 12
    inner = [row for row in made.rows("retrieval") if row["pool"] == "sample"]
    assert {row["image_id"] for row in inner} <= sample
    assert {row["candidates"] for row in inner if row["variant"] == "all"} == {11}
    rows = [row for row in made.rows("evaluation") if row["average"] == "micro"]
    shares = [row for row in rows if row["measure"] == "precision" and 0 < row["value"] < 1]
    assert shares
    assert all(row["low"] < row["value"] < row["high"] for row in shares)
    longest = max(len(row["hits"]) for row in made.rows("retrieval") if row["pool"] == "catalog")
    assert longest > K  # lists are longer than the published ones


@pytest.mark.long
def test_blocks_of_queries_change_nothing(
    spark: SparkSession, release: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from artrec.stages.evaluate import assessing

    monkeypatch.setattr(assessing, "LEAST_BLOCK", 1)
    root = tmp_path / "root"
    made = night(root, "first", *release.assignments[:-1], "evaluate.block_rows=7")
    assert made.rows("evaluation") == release.rows("evaluation")
    assert (len(made.files("exact_lists")), len(release.files("exact_lists"))) == (5, 1)


WORDS = ("insert", "delete", "update")


def test_churn_is_what_the_lists_of_two_nights_say(release: Night, next_release: Night) -> None:
    before, after = (
        {row["query_id"]: row for row in each.rows("neighbors_nested")}
        for each in (release, next_release)
    )
    both = before.keys() & after.keys()
    pairs = [(before[name], after[name]) for name in sorted(both)]
    came = sum(len(set(new["ids"]) - set(old["ids"])) for old, new in pairs)
    assert 0 < came < 5 * len(both)
    feed = next_release.rows("neighbor_changes", ["change"])
    words = {word: sum(row["change"] == word for row in feed) for word in WORDS}
    assert next_release.document["stages"]["evaluate"]["notes"]["churn"] == {
        "since": "first",
        "kinds": {"new": 3, "changed": 1, "gone": 2, "moved": 1, "doubled": 0, "relabelled": 3,
                  "healed": 1, "rejected": 0, "unchanged": 24},
        **words,
        "images": len(after),
        "new": len(after.keys() - both),
        "gone": len(before.keys() - both),
        "lists": len(both),
        "changed": sum(old != new for old, new in pairs),
        "first": sum(old["ids"][0] != new["ids"][0] for old, new in pairs),
        "entries": 5 * len(both),
        "came": came,
        "went": came,  # all lists are full
    }  # fmt: skip
    assert "churn" not in release.document["stages"]["evaluate"]["notes"]
    store = open_store(str(next_release.root))
    told = compare(store, read_release(store, "first"), read_release(store, "second"))
    counted = [told.lists[name].count for name in ("changed", "with_other_first")]
    churn = next_release.document["stages"]["evaluate"]["notes"]["churn"]
    assert counted == [churn["changed"], churn["first"]]
    assert churn["first"] > 0


# Small and odd catalogs.


def asked(root: Path, archive: Path, *more: str) -> tuple[str, ...]:
    return (f"sources.main.url={archive}", f"store.root={root}", "neighbors.k=3", *more)


@pytest.mark.long
@pytest.mark.parametrize(
    ("members", "template"),
    [
        ([("Baroque/a_one.jpg", picture(1))], "{style}/{artist}_{title}"),
        ([(f"B/a_{n}.jpg", picture(n)) for n in range(2)], "{style}/{artist}_{title}"),
        ([(f"{n}.jpg", picture(n)) for n in range(5)], "{style}/{artist}_{title}"),
        ([(f"x/{n}.jpg", picture(1)) for n in range(4)], "{style}/{title}"),
    ],
    ids=["one picture", "two", "no labels at all", "one content"],
)
def test_an_odd_catalog_is_measured_as_far_as_it_goes(
    spark: SparkSession, tmp_path: Path, members: list[Named], template: str
) -> None:
    source = write_zip(tmp_path / "a.zip", members)
    rules = asked(tmp_path / "root", source, f"sources.main.template={template}")
    made = night(tmp_path / "root", "odd", *rules)
    rows = made.rows("evaluation")
    assert all(math.isfinite(row["value"]) for row in rows)
    precision = {
        (row["label"], row["variant"]): row["value"]
        for row in rows
        if (row["measure"], row["average"], row["pool"], row["k"])
        == ("precision", "micro", "catalog", 1) and row["encoder"] != "chance"
    }  # fmt: skip
    expected: dict[str, dict[tuple[str, str], float]] = {
        "Baroque/a_one.jpg": {},
        "B/a_0.jpg": {
            ("style", "all"): 1.0,
            ("artist", "all"): 1.0,
            ("style", "no_duplicates"): 1.0,
            ("artist", "no_duplicates"): 1.0,
        },
        "0.jpg": {},
        "x/0.jpg": {("style", "all"): 1.0, ("style", "no_same_artist"): 1.0},
    }
    assert precision == expected[members[0][0]]
    assert len(made.rows("coordinates")) == len(members)
    (recall,) = (row["value"] for row in rows if row["measure"] == "table_recall")
    assert recall == 1.0


# Gates, each on a real night.

GOOD: list[Named] = [(f"Baroque/anna_{n}.jpg", picture(n)) for n in range(8)]


@pytest.fixture(scope="module")
def good(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with eight pictures, published."""
    place = tmp_path_factory.mktemp("good")
    source = write_zip(place / "good.zip", GOOD)
    night(place / "root", "good", *asked(place / "root", source))
    return place / "root"


@pytest.fixture
def before(good: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(good, tmp_path / "root")
    return tmp_path / "root"


def lists_of(made: Night) -> dict[str, list[str]]:
    """The three nearest of each image by cosine, by brute force."""
    rows = made.rows("embeddings")
    vectors = np.array([row["embedding"] for row in rows], np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = 1 - vectors @ vectors.T
    np.fill_diagonal(apart, 9)
    names = [row["image_id"] for row in rows]
    return {name: [names[at] for at in np.argsort(apart[n])[:3]] for n, name in enumerate(names)}


def measured(root: Path) -> dict[str, tuple[int, str]]:
    """The runs of a store but for reports, which show what the gates say."""
    return {path: file for path, file in tree(root / "runs").items() if "report" not in path}


def refused_then_published(
    root: Path, source: Path, gate: str, capsys: pytest.CaptureFixture[str], *rules: str
) -> tuple[str, Night]:
    """The night is refused; with an override it is published, and nothing is done again."""
    current = (root / "CURRENT.json").read_bytes() if (root / "CURRENT.json").exists() else None
    given = asked(root, source, *rules)
    code = execute("nightly", Options(assignments=given, release="new", verbosity="quiet"))
    message = capsys.readouterr().err
    assert code == 5, message
    assert f"gate {gate}: found " in message
    found = (root / "CURRENT.json").read_bytes() if current else None
    assert found == current
    assert not (root / "releases/new.json").exists()
    report = json.loads((root / "drafts/new/gates.json").read_bytes())
    assert {each["gate"] for each in report["gates"] if not each["passed"]} == {gate}
    runs = measured(root)
    made = night(root, "new", *given, f"gates.override.{gate}=a test: it is wanted")
    assert measured(root) == runs
    kept = {each["gate"]: each["overridden"] for each in made.document["gates"]}
    assert kept == dict.fromkeys(kept) | {gate: "a test: it is wanted"}
    return message, made


def test_too_many_rejects_are_refused(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_zip(tmp_path / "b.zip", [*GOOD, ("Baroque/bad.jpg", b"text")])
    message, made = refused_then_published(before, source, "reject_rate", capsys)
    assert "found 0.1111 (1 of 9), expected at most 0.05 (gates.reject_rate)" in message
    assert made.document["counts"]["rejected"] == 1
    assert execute_show(before, capsys) == "a test: it is wanted"


def execute_show(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What releases show says of the override."""
    from artrec.commands import releases

    capsys.readouterr()
    releases.show_one(str(root), None, json=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if "reject_rate" in line]
    return "a test: it is wanted" if "a test: it is wanted" in lines[0] else lines[0]


@pytest.mark.long
def test_another_limit_publishes_a_refused_release_too(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_zip(tmp_path / "b.zip", [*GOOD, ("Baroque/bad.jpg", b"text")])
    given = asked(before, source, "gates.reject_rates.not_a_picture=0.01", "gates.reject_rate=0.2")
    options = Options(assignments=given, release="new", verbosity="quiet")
    assert execute("nightly", options) == 5
    said = capsys.readouterr().err
    assert "gate reject_rates: found not_a_picture 0.1111 (1 of 9), expected not_a_pict" in said
    runs = measured(before)
    made = night(before, "new", *given, "gates.reject_rates.not_a_picture=0.2")
    assert measured(before) == runs
    assert all(gate["passed"] for gate in made.document["gates"])


def grown_old(root: Path, *names: str) -> None:
    """Let the current release have been made on releases of these names that were like it."""
    current = json.loads((root / "CURRENT.json").read_bytes())
    release = json.loads((root / f"releases/{current['release']}.json").read_bytes())
    for name, previous in zip((release["release_id"], *names), (*names, None), strict=True):
        document = json.dumps(release | {"release_id": name, "previous": previous}).encode()
        (root / f"releases/{name}.json").write_bytes(document)
        if name == release["release_id"]:
            current |= {"sha256": hashlib.sha256(document).hexdigest(), "previous": previous}
    (root / "CURRENT.json").write_text(json.dumps(current))


def test_what_the_last_releases_never_had_is_refused(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 13 members 5 are rejects, .385; one over the square root of 13 is .277."""
    grown_old(before, "b", "a")
    bad = [(f"Baroque/bad-{n}.jpg", b"text") for n in range(5)]
    source = write_zip(tmp_path / "b.zip", [*GOOD, *bad])
    given = ("gates.reject_rate=1",)
    message, made = refused_then_published(before, source, "usual_rejects", capsys, *given)
    assert (
        "found reject rate 0.3846, expected at most 0.2774: the last 3 releases, a to g" in message
    )
    notes = made.document["stages"]["evaluate"]["notes"]
    assert notes["figures"] == {
        "reject_rate": 0.384615, "churn": 0.0, "first_churn": 0.0, "drift": 0.0,
        "index_recall": 1.0,
    }  # fmt: skip


def test_an_unknown_reason_is_no_limit_but_a_mistake(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_zip(tmp_path / "b.zip", GOOD[:7])
    given = asked(before, source, "gates.reject_rates.bad_crcs=0.01")
    assert execute("nightly", Options(assignments=given, verbosity="quiet")) == 3
    assert "no reason is called bad_crcs" in capsys.readouterr().err


def test_a_catalog_that_shrank_is_refused(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_zip(tmp_path / "b.zip", GOOD[:7])
    lists = lists_of(Night(before, "good", (), {}))
    message, made = refused_then_published(before, source, "shrinkage", capsys)
    assert "found 7 images, expected at most 0.1 fewer than the last release's 8" in message
    found = made.document["stages"]["evaluate"]["notes"]["churn"]
    assert {name: found[name] for name in ("since", "images", "new", "gone", "lists")} == {
        "since": "good", "images": 7, "new": 0, "gone": 1, "lists": 7,
    }  # fmt: skip
    gone = GOOD[7][0]
    touched = [name for name, others in lists.items() if name != gone and gone in others]
    first = [name for name in touched if lists[name][0] == gone]
    assert (found["changed"], found["first"]) == (len(touched), len(first)) == (2, 0)
    assert (found["entries"], found["came"], found["went"]) == (21, len(touched), len(touched))


def test_a_release_whose_shard_is_gone_is_refused_until_the_file_is_put_back(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_zip(tmp_path / "b.zip", GOOD)
    given = asked(before, source)
    (shard,) = (before / "runs/index").rglob("*.annoy")
    shard.rename(tmp_path / "kept")
    options = Options(assignments=given, release="new", verbosity="quiet")
    assert execute("nightly", options) == 5
    message = capsys.readouterr().err
    assert "gate shards: found 8 vectors indexed, 1 files of shards missing" in message
    assert "Find the cause: shards cannot be overridden" in message
    (tmp_path / "kept").rename(shard)
    assert execute("nightly", options) == 0
    gates = json.loads((before / "drafts/new/gates.json").read_bytes())["gates"]
    assert all(gate["passed"] for gate in gates)


@pytest.mark.long
def test_vectors_that_moved_are_refused(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Grey noise instead of coloured patches."""
    import io

    from PIL import Image

    members = []
    for n in range(20):
        grey = np.random.default_rng(n).integers(0, 256, (48, 64), dtype=np.uint8)
        Image.fromarray(grey).save(stream := io.BytesIO(), "PNG")
        members.append((f"Baroque/noise_{n}.png", stream.getvalue()))
    source = write_zip(tmp_path / "b.zip", members)
    message, _ = refused_then_published(before, source, "drift", capsys)
    assert "found mean vector moved by " in message


@pytest.mark.long
def test_constant_vectors_are_refused(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As of an encoder that sees nothing: all pictures have one vector, of equal numbers."""
    from pyspark.sql import functions as F

    from artrec.stages.catalog import live

    true = live._live

    def blind(spark: SparkSession, draft: Any, images: DataFrame) -> DataFrame:
        same = F.array_repeat(F.lit(0.5).cast("float"), 154)
        return true(spark, draft, images).withColumn("embedding", same)

    monkeypatch.setattr(live, "_live", blind)
    root, source = tmp_path / "root", write_zip(tmp_path / "a.zip", GOOD)
    message, made = refused_then_published(root, source, "vectors", capsys)
    assert "8 of one number, all 8 vectors equal" in message
    assert made.document["counts"]["distinct_vectors"] == 1


def test_a_table_that_is_not_what_it_should_be_is_refused(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last entry of each list is lost: of 3 entries, 2 are right."""
    from pyspark.sql import functions as F

    named = lists.named_lists

    def shorter(catalog: DataFrame, pools: DataFrame, k: int, *more: object) -> DataFrame:
        lists = named(catalog, pools, k)
        cut = {name: F.slice(name, 1, k - 1) for name in ("ids", "distances")}
        return lists.withColumns(cut)

    monkeypatch.setattr(lists, "named_lists", shorter)
    monkeypatch.setattr(lists, "IN_MEMORY", 0)
    root, source = tmp_path / "root", write_zip(tmp_path / "a.zip", GOOD)
    message, _ = refused_then_published(root, source, "table_recall", capsys)
    assert "found 0.666667 of the entries as they should be, expected all" in message


@pytest.mark.long
def test_a_bad_index_is_refused_and_a_perfect_one_is_not(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An index over every second vector: the others are never found."""
    from artrec.stages.evaluate import assessing, recalling

    def searcher(step: int) -> Any:
        def opened(search_k: int, store: Any, file: Any, wanted: Any) -> Any:
            shards: Any
            shards, numbers = recalling.open_asked(search_k, store, file, wanted)
            vectors = np.array([shards.vector(int(number)) for number in numbers[::step]])
            return BruteForce(vectors, numbers[::step], "cosine"), numbers

        return opened

    monkeypatch.setattr(assessing, "open_asked", searcher(2))
    root, source = tmp_path / "root", write_zip(tmp_path / "a.zip", GOOD)
    given = asked(root, source, "index.search_k=100")
    options = Options(assignments=given, release="new", verbosity="quiet")
    assert execute("nightly", options) == 5
    assert "gate index_recall: found recall@" in capsys.readouterr().err
    monkeypatch.setattr(assessing, "open_asked", searcher(1))
    made = night(tmp_path / "other", "new", *given)
    recalls = {
        r["k"]: r["value"] for r in made.rows("evaluation") if r["measure"] == "index_recall"
    }
    assert recalls == {1: 1.0, 10: 1.0, 50: 1.0}


def test_of_a_few_vectors_the_index_finds_all(release: Night) -> None:
    found = [r for r in release.rows("evaluation") if r["measure"] == "index_recall"]
    assert {r["k"]: r["value"] for r in found} == {1: 1.0, 10: 1.0, 50: 1.0}
    assert {r["queries"] for r in found} == {len(release.rows("live_vectors"))}  # each was asked
    gates = {gate["gate"]: gate["passed"] for gate in release.document["gates"]}
    assert gates["index_recall"]
    assert gates["shards"]
