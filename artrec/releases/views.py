"""The views of a release for DuckDB, as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["views_sql"]

_CLOUDS = {
    "s3": ("S3", "httpfs"),
    "gs": ("Google Cloud Storage", "httpfs"),
    "az": ("Azure", "azure"),
}

_DISTANCES = """CREATE OR REPLACE VIEW neighbor_distances{suffix} AS
  SELECT query_id, len(ids) AS listed, len(ids) >= {k} AS is_full,
    list_min(distances) AS nearest, list_max(distances) AS kth
  FROM neighbors{suffix}_nested;"""


def views_sql(
    release_id: str, root: str, files: Mapping[str, Sequence[str]], lengths: Mapping[str, int]
) -> str:
    """A view of each table's ``files``, and one of distances for each suffix of ``lengths``, the
    tables of neighbors with their k.
    """
    lines = [f"-- release {release_id}: in DuckDB, .read this file, then query its views"]
    scheme, _, rest = root.partition("://")
    if rest:
        name, extension = _CLOUDS[scheme]
        lines.append(
            f"-- the files are on {name}: DuckDB needs its extension {extension} and a secret"
        )
    for table, paths in files.items():
        listed = ",\n  ".join("'" + path.replace("'", "''") + "'" for path in paths)
        lines.append(
            f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet([\n  {listed}\n]);"
        )
    if lengths:
        lines.append("-- of each list: how long it is, whether it has k, its nearest and furthest")
    lines += [_DISTANCES.format(suffix=suffix, k=k) for suffix, k in lengths.items()]
    return "\n".join(lines) + "\n"
