"""artrec lookup of a picture file: the vectors of a release, asked from outside."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artrec.commands.lookup import lookup
from artrec.commands.outside import lookup_picture
from artrec.errors import ConfigError, InputError, StoreFormatError, UsageError
from artrec.storage import Store, open_store
from tests.commands.conftest import Call
from tests.nights import BROKEN, OUTSIDE, PAINTINGS, PREFIX, SAME, TRUNCATED, Night, night
from tests.pictures import picture, write_zip

Found = dict[str, Any]


def saved(folder: Path, data: bytes, name: str = "mine.jpg") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def asked(night: Night, path: Path, k: int = 5) -> Found:
    return lookup_picture(open_store(str(night.root)), path, k)


def listed(found: Found) -> list[tuple[str, float]]:
    return [(each["image_id"], each["distance"]) for each in found["neighbors"]]


def test_a_copy_of_an_image_finds_it_first_and_then_its_neighbors(
    release: Night, tmp_path: Path
) -> None:
    """Bit for bit the distances of the neighbor table, though nobody told which image it is."""
    for name, data in PAINTINGS[1:6]:
        found = asked(release, saved(tmp_path, data), 4)
        table = lookup(open_store(str(release.root)), name, 3)
        assert listed(found) == [(name, 0.0), *listed(table)]
        assert [each["same_picture"] for each in found["neighbors"]] == [True, False, False, False]
        assert [each["rank"] for each in found["neighbors"]] == [1, 2, 3, 4]
        labels = ("style", "artist", "title", "year")
        assert {key: found["neighbors"][0][key] for key in labels} == {
            key: table["image"][key] for key in labels
        }


def test_a_scan_is_exact_and_says_so(release: Night, tmp_path: Path, artrec: Call) -> None:
    path = saved(tmp_path, picture(99))
    store = open_store(str(release.root))
    shards = lookup_picture(store, path, 5)
    scan = lookup_picture(store, path, 5, exact=True)
    assert (shards["exact"], scan["exact"]) == (False, True)
    assert listed(scan) == listed(shards)  # which looked at everything
    called = call(artrec, release, str(path), "--exact", "--json")
    assert json.loads(called.out) == json.loads(json.dumps(lookup_picture(store, path, 10, True)))
    ways = {"--exact": "all vectors scanned", "--picture": "by the trees of the shards"}
    for option, way in ways.items():
        assert call(artrec, release, str(path), option).out.splitlines()[1].endswith(f", {way}")
    scanned = changed(
        release, tmp_path / "root", lambda said: said["stages"]["index"]["notes"].update(exact=True)
    )
    assert lookup_picture(scanned, path, 5) == scan


def test_a_picture_under_several_names_is_named_by_all_of_them(
    release: Night, tmp_path: Path
) -> None:
    found = asked(release, saved(tmp_path, PAINTINGS[0][1]), 5)
    names = sorted([PAINTINGS[0][0], *SAME, f"{PREFIX}1890/paul_copy.jpg"])
    assert listed(found)[:4] == [(name, 0.0) for name in names]
    assert [each["same_picture"] for each in found["neighbors"]] == [True] * 4 + [False]
    cut = asked(release, saved(tmp_path, PAINTINGS[0][1]), 2)
    assert listed(cut) == [(name, 0.0) for name in names[:2]]


def test_the_same_pixels_in_another_file_are_near_but_not_the_same_picture(
    release: Night, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    with Image.open(io.BytesIO(PAINTINGS[2][1])) as image:
        image.save(stream, "PNG")
    found = asked(release, saved(tmp_path, stream.getvalue(), "mine.png"), 1)
    assert listed(found) == [(PAINTINGS[2][0], 0.0)]
    assert found["neighbors"][0]["same_picture"] is False
    assert (found["picture"]["format"], found["picture"]["width"]) == ("PNG", 64)


def test_a_picture_that_nobody_has_seen_gets_the_nearest(release: Night, tmp_path: Path) -> None:
    from artrec import encoders
    from artrec import picture as pictures
    from tests.brute_force import distance

    data = picture(999)
    found = asked(release, saved(tmp_path, data), 6)
    encoder = encoders.load_builtin("handmade")
    wanted = encoder.preprocess
    pixels = pictures.decode(data, pictures.Limits(), wanted.size, wanted.fit, wanted.filter)
    vector = encoder.encode(pixels[None])[0].tolist()
    numbers = {row["image_id"]: row["vector_no"] for row in release.rows("catalog")}
    truth = sorted(
        (distance("cosine", vector, row["embedding"]), numbers[row["image_id"]], row["image_id"])
        for row in release.rows("embeddings")
    )
    assert listed(found) == [(name, far) for far, _, name in truth[:6]]
    assert found["exact"] is False
    assert not any(each["same_picture"] for each in found["neighbors"])


def test_more_neighbors_than_images_are_all_images(release: Night, tmp_path: Path) -> None:
    found = asked(release, saved(tmp_path, picture(999)), 1000)
    names = {row["image_id"] for row in release.rows("catalog", ["image_id"])}
    assert sorted(name for name, _ in listed(found)) == sorted(names)


def test_a_release_of_bounded_pictures_bounds_the_outside_one_first(
    release: Night, tmp_path: Path
) -> None:
    """Otherwise a copy would have other pixels than the stored ones: distance 0 says it has not."""
    members = [(f"a/b_{n}.jpg", picture(n, size=(300, 200))) for n in range(3)]
    source = write_zip(tmp_path / "a.zip", members)
    assignments = (f"sources.a.url={source}", "ingest.max_side=70", "neighbors.k=2")
    made = night(tmp_path / "root", "bounded", *assignments)
    found = asked(made, saved(tmp_path, members[1][1]), 3)
    assert listed(found)[0] == ("a/b_1.jpg", 0.0)
    assert found["picture"]["width"] == 300
    assert listed(found)[1][1] > 0


# The command.


def call(artrec: Call, night: Night, *arguments: str) -> Any:
    return artrec("lookup", *arguments, "--root", str(night.root))


def test_the_command_names_the_same_picture_and_lists_the_rest(
    release: Night, tmp_path: Path, artrec: Call
) -> None:
    path = saved(tmp_path, PAINTINGS[3][1])
    called = call(artrec, release, str(path), "-k", "2")
    assert (called.code, called.err) == (0, "")
    first, second, third, empty, titles, *rows = called.out.splitlines()
    assert first == f"{path}  64x48 JPEG"
    assert second == f"the same picture as {PAINTINGS[3][0]}"
    assert third.startswith("release first, handmade-")
    assert (empty, titles.split()[0]) == ("", "rank")
    assert rows[0].split()[:2] == ["1", "0.0000"]
    assert len(rows) == 2


def test_the_command_gives_json(release: Night, tmp_path: Path, artrec: Call) -> None:
    path = saved(tmp_path, picture(999))
    called = call(artrec, release, str(path), "-k", "2", "--json")
    assert json.loads(called.out) == asked(release, path, 2)


def test_an_id_of_the_catalog_wins_over_a_file_unless_told_otherwise(
    release: Night, tmp_path: Path, artrec: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, picture(999), OUTSIDE)
    known = json.loads(call(artrec, release, OUTSIDE, "--json", "-k", "1").out)
    assert known["image"]["image_id"] == OUTSIDE
    asked = json.loads(call(artrec, release, OUTSIDE, "--json", "-k", "1", "--picture").out)
    assert asked["picture"]["path"] == OUTSIDE


def test_a_file_under_the_name_of_a_reject_is_looked_up(
    release: Night, tmp_path: Path, artrec: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / TRUNCATED).parent.mkdir(parents=True)
    saved(tmp_path, picture(70), TRUNCATED)
    assert call(artrec, release, TRUNCATED).code == 0


def test_what_is_neither_an_image_nor_a_file_is_refused(release: Night, artrec: Call) -> None:
    called = call(artrec, release, "nowhere.jpg")
    assert (called.code, called.out) == (2, "")
    assert "no such image in release first" in called.err
    assert "a picture file is named by its path here" in called.err
    called = call(artrec, release, "nowhere.jpg", "--picture")
    assert (called.code, called.err) == (2, "artrec: nowhere.jpg: there is no such file\n")
    called = call(artrec, release, "x" * 5000, "--picture")
    assert (called.code, called.out) == (2, "")


def test_a_folder_or_a_device_is_refused(release: Night, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe):
        with pytest.raises(UsageError, match="is not a file"):
            asked(release, path)


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_a_senseless_number_of_neighbors_is_refused(release: Night, tmp_path: Path, k: int) -> None:
    with pytest.raises(UsageError, match=f"-k {k}: a lookup lists 1 to 1000 neighbors"):
        asked(release, saved(tmp_path, picture(1)), k)


HUGE = BROKEN["wikiart/Baroque/x_huge.png"][0].data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"once upon a time", r"not_a_picture \(begins with b'once upon"),
        (b"", r"empty \(0 bytes\)"),
        (HUGE, r"too_many_pixels \(.*3600000000 pixels"),
        (picture(3)[:500], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "format_not_allowed"),
    ],
    ids=["text", "empty", "3.6 gigapixels", "truncated", "a program"],
)
def test_what_is_no_usable_picture_is_refused_with_the_reason(
    release: Night, tmp_path: Path, artrec: Call, data: bytes, reason: str
) -> None:
    path = saved(tmp_path, data)
    with pytest.raises(InputError, match=f"mine.jpg is not a usable picture: {reason}"):
        asked(release, path)
    called = call(artrec, release, str(path))
    assert (called.code, called.out) == (4, "")
    assert called.err.startswith(f"artrec: {path} is not a usable picture: ")


def test_a_file_beyond_the_releases_limit_is_refused_unread(release: Night, tmp_path: Path) -> None:
    path = tmp_path / "mine.jpg"
    with open(path, "wb") as file:
        file.truncate(10 << 40)  # sparse
    with pytest.raises(InputError, match=f"too_many_bytes .{10 << 40} bytes; at most 268435456"):
        asked(release, path)


def test_a_picture_is_looked_up_without_spark_pandas_and_torch(
    release: Night, tmp_path: Path
) -> None:
    code = (
        "import sys, json\nfrom artrec.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    path = saved(tmp_path, PAINTINGS[3][1])
    command = [sys.executable, "-c", code, "lookup", str(path), "--root", str(release.root)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "the same picture as" in said
    loaded = set(json.loads(said.splitlines()[-1]))
    assert {"annoy", "pyarrow"} <= loaded
    assert loaded & {"pyspark", "py4j", "torch", "pandas"} == set()


# Releases that do not fit.


def changed(release: Night, root: Path, change: Callable[[Found], object]) -> Store:
    """A copy of the store whose release says otherwise, with a CURRENT that fits it."""
    import hashlib

    shutil.copytree(release.root, root)
    path, current = root / "releases/first.json", root / "CURRENT.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    pointer = json.loads(current.read_bytes())
    pointer["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    current.write_text(json.dumps(pointer))
    return open_store(str(root))


def test_a_release_without_an_index_says_how_to_get_one(release: Night, tmp_path: Path) -> None:
    store = changed(release, tmp_path / "root", lambda said: said["stages"].pop("index"))
    with pytest.raises(UsageError, match="release first has no index; the next run of artrec"):
        lookup_picture(store, saved(tmp_path, picture(1)))


def test_vectors_under_another_identity_are_not_compared(release: Night, tmp_path: Path) -> None:
    store = changed(release, tmp_path / "root", lambda said: said.update(encoder="other-1"))
    with pytest.raises(ConfigError, match=r"handmade-\w+ is not what release first .* other-1"):
        lookup_picture(store, saved(tmp_path, picture(1)))


def test_settings_of_another_artrec_are_named(release: Night, tmp_path: Path) -> None:
    store = changed(release, tmp_path / "root", lambda said: said["settings"].update(magic={}))
    with pytest.raises(StoreFormatError, match=r"does not know: \('magic',\)"):
        lookup_picture(store, saved(tmp_path, picture(1)))


def test_a_damaged_shard_is_refused_and_not_asked(release: Night, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    shard = next(root.glob("runs/index/*/*/shards/*.annoy"))
    data = np.frombuffer(shard.read_bytes(), np.uint8).copy()
    data[len(data) // 2 :] ^= 0xFF
    shard.write_bytes(data.tobytes())
    with pytest.raises(StoreFormatError, match=r"\.annoy: sha256 is [0-9a-f]{64}, expected"):
        lookup_picture(open_store(str(root)), saved(tmp_path, picture(1)))
