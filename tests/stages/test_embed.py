"""embed: each content becomes one vector, by an encoder that each worker loads once."""

from __future__ import annotations

import hashlib
import io
import os
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from artrec import picture
from artrec.encoders import Preprocess, handmade, load_builtin, load_encoder
from artrec.encoders.card import encoder_id, pack
from artrec.encoders.handmade import HANDMADE
from artrec.errors import ConfigError
from artrec.releases import read_base
from artrec.schemas import TABLES
from artrec.stages import embed
from artrec.stages.decoding import decode_here
from artrec.stages.embed import encode_udf
from artrec.stages.encoding import encode_pictures, keep_encoder, worker_encoder
from artrec.stages.frames import Attempt
from artrec.stages.rejects import REASONS, Rejected
from artrec.stages.rules import vector_no, vectors_identity
from artrec.stages.slices import SliceSpec
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter, read_table
from tests.nights import ADDED, CHANGED, SAME, TRUNCATED, Night, opened, put, settings_of
from tests.pictures import picture as tiny
from tests.releases.protocol import release as made
from tests.releases.protocol import stage

PICTURES = [tiny(n) for n in range(5)] + [tiny(5, "PNG"), tiny(6, "GIF", (300, 20))]


def directly(data: bytes) -> NDArray[np.float32]:
    """The vector of one picture: Pillow and the encoder, without Spark."""
    encoder = load_builtin("handmade")
    height, width = encoder.preprocess.size
    with Image.open(io.BytesIO(data)) as image:
        pixels = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    vector: NDArray[np.float32] = encoder.encode(np.asarray(pixels)[None])[0]
    return vector


def test_the_udf_gives_what_the_encoder_gives(spark: SparkSession) -> None:
    rows = [(n, bytearray(data)) for n, data in enumerate(PICTURES)]
    frame = spark.createDataFrame(rows, "n int, data binary").repartition(2)
    found = frame.select("n", encode_udf(batch=3)("data").alias("vector")).collect()
    assert sorted(row.n for row in found) == list(range(len(PICTURES)))
    for row in found:
        expected = directly(PICTURES[row.n])
        assert np.array_equal(np.array(row.vector, np.float32), expected), row.n


def test_the_udf_is_null_for_what_is_no_picture(spark: SparkSession) -> None:
    data = [PICTURES[0], b"<html>", None, b"", PICTURES[1][:400], PICTURES[1]]
    rows = [(n, each if each is None else bytearray(each)) for n, each in enumerate(data)]
    frame = spark.createDataFrame(rows, "n int, data binary").coalesce(1)
    found = frame.select("n", encode_udf()("data").alias("vector")).orderBy("n").collect()
    assert [row.vector is None for row in found] == [False, True, True, True, True, False]
    assert np.array_equal(np.array(found[5].vector, np.float32), directly(PICTURES[1]))


def test_the_udf_fits_into_a_frame_with_other_columns(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", bytearray(PICTURES[0]))], "name string, data binary")
    frame = frame.withColumn("vector", encode_udf("handmade")("data"))
    assert dict(frame.dtypes)["vector"] == "array<float>"
    assert frame.select(F.size("vector").alias("dim"), "name").first() == (154, "a")


COUNTING = """
    import os
    from artrec import encoders

    load = encoders.load_builtin

    def counted(name):
        with open({log!r}, "a") as log:
            print(os.getpid(), name, file=log)
        return load(name)

    encoders.load_builtin = counted
"""


@pytest.fixture
def loads(spark: SparkSession, tmp_path: Path) -> Iterator[Path]:
    """A file with a line for each time that a Python worker has loaded its encoder.

    Workers with another environment are other processes: these have loaded nothing before.
    """
    log = tmp_path / "loads.txt"
    code = textwrap.dedent(COUNTING).format(log=str(log))
    (tmp_path / "sitecustomize.py").write_text(code)
    environment: dict[str, str] = spark.sparkContext.environment
    before = dict(environment)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    yield log
    environment.clear()
    environment.update(before)


def test_a_worker_loads_its_encoder_once_whatever_tasks_and_batches(
    spark: SparkSession, loads: Path
) -> None:
    tasks = 6
    rows = [(n, bytearray(tiny(n % 4))) for n in range(6 * tasks)]
    frame = spark.createDataFrame(rows, "n int, data binary").repartition(tasks)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 2)
    try:
        for _ in range(2):
            vectors = frame.select(encode_udf(batch=2)("data").alias("vector"))
            assert vectors.filter("size(vector) = 154").count() == len(rows)
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    lines = loads.read_text().splitlines()
    assert {line.split()[1] for line in lines} == {"handmade"}
    workers = Counter(line.split()[0] for line in lines)
    assert set(workers.values()) == {1}, workers
    assert len(workers) < 2 * tasks


def test_each_content_is_encoded_once_though_it_has_several_names(release: Night) -> None:
    vectors = release.rows("vectors")
    contents = [row["content_sha256"] for row in vectors]
    assert len(contents) == len(set(contents))
    good = [row["content_sha256"] for row in release.rows("ingested") if row["reason"] is None]
    assert set(contents) == set(good)
    assert Counter(good)[hashlib.sha256(tiny(0)).digest()] == 2 + len(SAME)
    counters = release.document["stages"]["embed"]["counters"]
    assert (counters["pending"], counters["encoded"]) == (len(contents), len(contents))


def test_stored_vectors_are_the_encoders_own(release: Night) -> None:
    data = {row["content_sha256"]: row["data"] for row in release.rows("pictures")}
    for row in release.rows("vectors"):
        assert row["encoder"] == HANDMADE == release.document["encoder"]
        assert row["reason"] is row["detail"] is None
        with Image.open(io.BytesIO(data[row["content_sha256"]])) as image:
            plain = image.mode == "RGB"
        if plain:
            expected = directly(data[row["content_sha256"]])
            assert np.array_equal(np.array(row["embedding"], np.float32), expected)


def test_the_files_of_vectors_name_their_encoder(release: Night) -> None:
    import pyarrow.parquet as pq

    for file in release.files("vectors"):
        metadata = pq.read_schema(file).metadata
        assert metadata[b"artrec.encoder"].decode() == HANDMADE
        assert (metadata[b"artrec.metric"], metadata[b"artrec.dim"]) == (b"cosine", b"154")


def test_the_next_night_encodes_new_contents_alone(next_release: Night) -> None:
    """The renamed member has a content that was known; all other new members have new ones."""
    new = {CHANGED, TRUNCATED, *(name for name, _ in ADDED)}
    counters = next_release.document["stages"]["embed"]["counters"]
    assert counters["pending"] == counters["encoded"] == len(new) == 5
    contents = [row["content_sha256"] for row in next_release.rows("vectors", ["content_sha256"])]
    assert len(contents) == len(set(contents))


@pytest.mark.parametrize(
    ("content", "number"),
    [
        pytest.param(bytes(32), 0, id="no bit"),
        pytest.param(b"\xff" * 32, 2**63 - 1, id="all bits"),
        pytest.param(b"\0" * 7 + b"\x01" + b"\xff" * 24, 0, id="the 64th and later"),
        pytest.param(b"\0" * 7 + b"\x02" + bytes(24), 1, id="the 63rd"),
        pytest.param(b"\x80" + bytes(31), 2**62, id="the first"),
    ],
)
def test_a_vectors_number_is_the_first_63_bits_of_its_hash(content: bytes, number: int) -> None:
    assert vector_no(content) == number


def test_every_stored_number_is_of_its_content(release: Night) -> None:
    for row in release.rows("vectors", ["content_sha256", "vector_no"]):
        bits = "".join(f"{byte:08b}" for byte in row["content_sha256"])
        assert row["vector_no"] == int(bits[:63], 2)


class Scripted:
    """An encoder that reads its vectors off the pictures: the first pixel's red decides."""

    id, dim = "scripted-0", 3
    preprocess = Preprocess(size=(4, 4), filter="box")

    def __init__(self, metric: Literal["cosine", "dot", "euclidean"] = "cosine") -> None:
        self.metric = metric
        self.batches: list[int] = []

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(pictures))
        script = {0: 0.0, 10: np.nan, 20: np.inf}
        reds = pictures[:, 0, 0, 0].tolist()
        return np.array([[0.0, 0.0, script.get(red, red)] for red in reds], np.float32)


def plain(red: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def encoded(encoder: Scripted, data: list[bytes | None], batch: int = 32) -> list[Any]:
    return [
        each.reason if isinstance(each, Rejected) else each.tolist()
        for each in encode_pictures(
            encoder, data, partial(decode_here, encoder.preprocess, picture.Limits()), batch
        )
    ]


def test_zero_and_non_finite_vectors_are_rejects() -> None:
    data: list[bytes | None] = [plain(0), plain(5), plain(10), plain(20), plain(7)]
    expected = ["zero_vector", [0, 0, 5], "non_finite_vector", "non_finite_vector", [0, 0, 7]]
    assert encoded(Scripted(), data) == expected
    assert REASONS["zero_vector"] == REASONS["non_finite_vector"] == "embed"


def test_a_zero_vector_has_its_place_where_the_metric_needs_no_direction() -> None:
    assert encoded(Scripted("euclidean"), [plain(0), plain(10)]) == [
        [0, 0, 0],
        "non_finite_vector",
    ]


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_vectors_come_in_the_order_of_the_pictures_whatever_the_batch(batch: int) -> None:
    encoder = Scripted()
    data = [plain(1), b"text", None, plain(2), plain(3), b"", plain(4)]
    expected = [[0, 0, 1], "not_a_picture", "empty", [0, 0, 2], [0, 0, 3], "empty", [0, 0, 4]]
    assert encoded(encoder, data, batch) == expected
    assert sum(encoder.batches) == 4
    assert max(encoder.batches) <= batch


def test_no_pictures_give_no_vectors() -> None:
    assert encoded(Scripted(), []) == []


def test_an_encoder_that_is_not_built_in_needs_a_store() -> None:
    with pytest.raises(ConfigError, match=r"portraits-1.*name the store that holds it"):
        worker_encoder("portraits-1", None)


def test_an_encoder_of_inner_products_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = opened(settings_of(f"store.root={tmp_path / 'root'}"), "one")
    draft.hold("literal")
    put(draft, "ingest", {"ingested": [], "pictures": []})
    monkeypatch.setattr(embed, "keep_encoder", lambda *_: Scripted("dot"))
    nothing: Any = None
    with pytest.raises(ConfigError, match="uses the inner product"):
        embed.run(nothing, settings_of(f"store.root={tmp_path / 'root'}"), draft)


# The watchdog is for decoders: an encoder may take its time.


class Recorded(Scripted):
    """Says when it encodes."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.events.append(f"encode {len(pictures)}")
        return super().encode(pictures)


def encoded_slice(
    monkeypatch: pytest.MonkeyPatch, root: Path, events: list[str], attempt: Attempt
) -> list[dict[str, Any]]:
    """The vectors of one task of the stage over three pictures, in this process."""

    @contextmanager
    def watched(seconds: float, name: str) -> Iterator[None]:
        events.append(f"watch {seconds:g}")
        yield
        events.append("done")

    def decoded(*arguments: Any) -> Any:
        events.append("decode")
        return plainly(*arguments)

    plainly = picture.decode
    monkeypatch.setattr(picture, "watchdog", watched)
    monkeypatch.setattr(picture, "decode", decoded)
    monkeypatch.setattr(embed, "worker_encoder", lambda *_: Recorded(events))
    store = open_store(str(root))
    data = {hashlib.sha256(each).digest(): each for each in (plain(1), plain(2), plain(0))}
    facts = {"recipe": "original", "width": 8, "height": 8, "format": "PNG", "mode": "RGB"}
    pictures = written(
        store,
        "pictures",
        [{"content_sha256": k, "data": v, "phash": 0, **facts} for k, v in data.items()],
    )
    place = {"file": pictures[0].path, "row_group": 0}
    pending = written(
        store, "pending_pictures", [{"content_sha256": k, **place} for k in sorted(data)]
    )
    low = (pictures[0].path, 0)
    spec = SliceSpec(low=low, high=low, items=3, bytes=1)
    settings = settings_of("ingest.decode_seconds=7", "embed.batch=2")
    report = embed._encode_slice(
        store, pending, pictures, settings, "scripted-0", "mine", spec, "runs/x", attempt
    )
    assert report.counters == {"encoded": 2, "rejected": 1}
    return [row for batch in read_table(store, report.receipts) for row in batch.to_pylist()]


def written(store: Store, table: str, rows: list[dict[str, Any]]) -> list[Receipt]:
    with TableWriter(store, "literal", TABLES[table], "all") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=TABLES[table].columns))
    return writer.receipts


def test_the_watchdog_watches_each_decoding_and_no_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    rows = encoded_slice(monkeypatch, tmp_path, events, Attempt(0, 0, 0))
    one = ["watch 7", "decode", "done"]
    assert events == [*one, *one, "encode 2", *one, "encode 1"]
    assert {row["encoder"] for row in rows} == {"mine"}


def test_a_later_attempt_decodes_in_a_child_and_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    first = encoded_slice(monkeypatch, tmp_path / "first", [], Attempt(0, 0, 0))
    later = encoded_slice(monkeypatch, tmp_path / "later", events, Attempt(0, 1, 1))
    assert events == ["encode 2", "encode 1"]
    assert later == first


# What vectors are kept under, and which encoder makes them.


def test_vectors_are_kept_apart_by_whatever_changes_the_pixels_an_encoder_sees() -> None:
    encoder = load_builtin("handmade")

    def identity(*assignments: str) -> str:
        return vectors_identity(encoder, settings_of(*assignments).ingest)

    assert identity() == HANDMADE
    others = [
        identity("ingest.max_side=50"),
        identity("ingest.max_side=60"),
        identity("ingest.background=[0, 0, 0]"),
        identity("ingest.background=[0, 0, 0]", "ingest.max_side=50"),
    ]
    assert len({HANDMADE, *others}) == 5
    assert all(each.startswith(f"{HANDMADE}-") for each in others)
    same = ("ingest.decode_seconds=1", "ingest.max_bytes=1000", "embed.batch=1")
    assert identity(*same) == HANDMADE
    assert identity("ingest.max_side=50", *same) == others[0]


def test_the_encoder_that_a_release_names_stands_in_its_store(release: Night) -> None:
    """The settings named it by its short name."""
    assert release.settings().encoder.id == "handmade"
    notes = release.document["stages"]["embed"]["notes"]
    encoder = load_encoder(open_store(str(release.root)), notes["encoder_id"])
    assert (encoder.id, encoder.dim, encoder.metric) == (HANDMADE, 154, "cosine")
    assert (notes["dim"], notes["metric"]) == (154, "cosine")


def test_a_night_keeps_the_encoder_of_the_current_release_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path))
    card = handmade.CARD.model_copy(update={"name": "mine", "notes": "another"})
    card_bytes, _ = pack(card, {})
    mine = encoder_id(card_bytes)
    store.write(f"encoders/{mine}/config.json", card_bytes)
    runs = stage("embed", notes={"encoder": f"{mine}-0a1b2c", "encoder_id": mine})
    current = made("one", read_base(store)).model_copy(update={"stages": {"embed": runs}})

    assert keep_encoder(store, "", current).id == mine
    assert [entry.path for entry in store.list()] == [f"encoders/{mine}/config.json"]
    assert keep_encoder(store, "handmade", current).id == HANDMADE
    assert keep_encoder(store, "", None).id == HANDMADE
    assert keep_encoder(store, mine, None).id == mine
    assert load_encoder(store, HANDMADE).id == HANDMADE
