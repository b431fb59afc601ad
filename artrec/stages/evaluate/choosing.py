"""What evaluation is made on: all images by codes, and some of them drawn at random.

Of a small catalog one task makes both tables; else Spark brings images and pictures together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from artrec.config import Settings
from artrec.releases import Draft, receipts_of
from artrec.schemas import TABLES
from artrec.stages.evaluate.coding import COLUMNS, Draw, drawn, write_coded
from artrec.stages.frames import Attempt, TaskReport, run_tasks, stage_frame
from artrec.stages.places import first_places
from artrec.stages.rules import picture_recipe
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.storage import Store
from artrec.tables import FILE_BYTES, Receipt, TableWriter, open_file, read_table

__all__ = [
    "Choice",
    "choice_of",
    "choose",
    "choose_alone",
]

ROW_BYTES = 100  # of a row of evaluated_images, about: only for the number of files

_OWN = ["image_id", "content_sha256", "vector_no", "style", "artist", "title"]


@dataclass(frozen=True)
class Choice:
    """What the images are made of, and how they are drawn."""

    store: Store
    folder: str
    catalog: tuple[Receipt, ...]
    pictures: tuple[Receipt, ...]
    recipe: str
    draw: Draw


def choice_of(settings: Settings, draft: Draft, folder: str, seed: str) -> Choice:
    """What is drawn from, and by which rules."""
    rules = settings.evaluate
    return Choice(
        store=draft.store,
        folder=folder,
        catalog=_receipts(draft, "catalog", "catalog"),
        pictures=_receipts(draft, "ingest", "pictures"),
        recipe=picture_recipe(settings.ingest),
        draw=Draw(max(rules.queries, rules.map_points), rules.sample, seed),
    )


def _receipts(draft: Draft, stage: str, table: str) -> tuple[Receipt, ...]:
    return tuple(receipts_of(draft.store, draft.need(stage).tables[table], table))


def choose_alone(choice: Choice, attempt: Attempt) -> TaskReport:
    """One task: evaluated_images and chosen_images of a small catalog, and its duplicates."""
    schema = pa.schema([TABLES["catalog"].columns.field(name) for name in _OWN])
    images = pa.Table.from_batches(read_table(choice.store, choice.catalog, _OWN), schema)
    pictures = _pictures(choice)
    place = pc.index_in(images.column("content_sha256"), pictures.column("content_sha256"))
    for name in ("phash", "file", "row_group"):
        images = images.append_column(name, pictures.column(name).take(place))
    images = images.sort_by([(name, "ascending") for name in TABLES["evaluated_images"].sort])
    written = write_coded(choice.store, choice.folder, attempt.stem, choice.draw, [images])
    return TaskReport(receipts=[*written, *_write(choice, "duplicates", attempt, _twins(images))])


def _write(choice: Choice, name: str, attempt: Attempt, rows: pa.Table) -> list[Receipt]:
    table = TABLES[name]
    with TableWriter(choice.store, choice.folder, table, attempt.stem, even_empty=True) as writer:
        for batch in rows.combine_chunks().to_batches():
            writer.write(batch)
    return writer.receipts


def _twins(images: pa.Table) -> pa.Table:
    """Images of a content that has other names too."""
    contents = images.column("content_sha256").combine_chunks().dictionary_encode()
    codes = np.asarray(contents.indices, np.int64)
    several = np.flatnonzero(np.bincount(codes)[codes] > 1)
    table = TABLES["duplicates"]
    rows = images.select(table.columns.names).take(pa.array(several))
    return rows.sort_by([(name, "ascending") for name in table.sort])


def _pictures(choice: Choice) -> pa.Table:
    """The stored pictures of the recipe in the order of their places."""
    names = ["content_sha256", "recipe", "phash"]
    fields = [TABLES["pictures"].columns.field(name) for name in names]
    schema = pa.schema([*fields, ("file", pa.string()), ("row_group", pa.int32())])
    parts = [schema.empty_table()]
    for receipt in sorted(choice.pictures, key=lambda each: each.path):
        file = open_file(choice.store, receipt)
        for group in range(file.metadata.num_row_groups):
            rows = file.read_row_group(group, columns=names).select(names)
            rows = rows.append_column("file", pa.array([receipt.path] * len(rows), pa.string()))
            numbers = pa.array(np.full(len(rows), group, np.int32))
            parts.append(rows.append_column("row_group", numbers).cast(schema))
    every = pa.concat_tables(parts)
    return every.filter(pc.equal(every.column("recipe"), choice.recipe))


def choose(spark: SparkSession, draft: Draft, choice: Choice) -> list[Receipt]:
    """The same tables of a catalog of any size."""
    describe(spark, "evaluate: images")
    every = TABLES["evaluated_images"]
    catalog = stage_frame(spark, draft, "catalog", "catalog", _OWN)
    pictures = first_places(spark, draft, choice.recipe, "phash")
    images = catalog.join(pictures, "content_sha256", "left").select(*COLUMNS)
    parts = max(1, -(-draft.need("catalog").rows("catalog") * ROW_BYTES // FILE_BYTES))
    ranged = images.repartitionByRange(parts, *every.sort).sortWithinPartitions(*every.sort)
    receipts = _written(ranged, choice)
    chosen = [each for each in receipts if each.table == "chosen_images"]
    describe(spark, "evaluate: chosen images")
    (report,) = run_tasks(spark, 1, partial(_choose_among, choice, tuple(chosen)))
    coded = [each for each in receipts if each.table != "chosen_images" and each.rows]
    return [*sorted(coded, key=lambda each: each.first), *report.receipts]


def _written(images: DataFrame, choice: Choice) -> list[Receipt]:
    @light
    def body(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tables = (pa.Table.from_batches([batch]) for batch in batches)
        stem = Attempt.current().stem
        found = write_coded(choice.store, choice.folder, f"part-{stem}", choice.draw, tables)
        texts = [receipt.model_dump_json() for receipt in found]
        yield pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], names=["receipt"])

    rows = images.mapInArrow(body, "receipt string").collect()
    return [Receipt.model_validate_json(row.receipt) for row in rows]


def _choose_among(choice: Choice, parts: tuple[Receipt, ...], attempt: Attempt) -> TaskReport:
    """Draw once more, from what was drawn from the parts of the catalog."""
    table = TABLES["chosen_images"]
    rows = pa.Table.from_batches(read_table(choice.store, parts), table.columns)
    rows = rows.sort_by([(name, "ascending") for name in table.sort])
    written = _write(choice, table.name, attempt, drawn(rows, choice.draw))
    return TaskReport(receipts=written)
