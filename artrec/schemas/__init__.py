"""Every table, declared once: its columns, key, order, and the version of its form.

Columns are non-null unless said otherwise. Embeddings are ``list<float>`` without nulls, times are
UTC microseconds. A change that old readers would not understand raises the table's version.
"""

from artrec.schemas.evaluation import EVALUATION
from artrec.schemas.form import Table
from artrec.schemas.night import NIGHT
from artrec.schemas.query import QUERY

__all__ = ["PUBLISHED", "TABLES", "Table"]

TABLES: dict[str, Table] = {table.name: table for table in (*NIGHT, *EVALUATION, *QUERY)}

PUBLISHED = (
    *("catalog", "rejects", "embeddings", "neighbors", "neighbors_nested"),
    *("evaluation", "hubs", "duplicates", "near_duplicates", "coordinates"),
)
"""What readers of a release are promised; the other tables are the stages' own."""
