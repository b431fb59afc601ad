"""Sections about neighbor tables under rules: which candidates may stand in a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from artrec.config.section import Section, key
from artrec.errors import meant

__all__ = ["LABEL_COLUMNS", "RuleTable", "TableNames"]

LABEL_COLUMNS = (
    *("style", "artist", "title", "year", "genre", "split", "license", "source", "format"),
)
"""Columns of the catalog that a rule may name; beside them ``extra.KEY``."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = ("nested", "pool", "short", "changes")
"""Endings of tables that belong to another, which no table's own name may be or end in."""


def _known(column: str) -> str:
    if column in LABEL_COLUMNS or (column.startswith("extra.") and len(column) > len("extra.")):
        return column
    raise ValueError(
        f"no column of labels is called {column!r}{meant(column, LABEL_COLUMNS)}: there are "
        f"{', '.join(LABEL_COLUMNS)} and extra.KEY"
    )


def _once(columns: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(columns)) < len(columns):
        raise ValueError(f"a column stands twice in {list(columns)}")
    return columns


def _dotted(values: Any) -> Any:
    """With keys ``extra.KEY``: ``--set`` makes ``{extra: {KEY: value}}`` of a dotted key."""
    if not isinstance(values, Mapping) or not isinstance(values.get("extra"), Mapping):
        return values
    rest = {name: value for name, value in values.items() if name != "extra"}
    return rest | {f"extra.{name}": value for name, value in values["extra"].items()}


def _one(counted: dict[str, int]) -> dict[str, int]:
    if len(counted) > 1:
        raise ValueError(
            f"one column can be counted in, not {len(counted)}: with two, an entry that one column "
            "shuts out could have made room in the other, and parts of a join could not be merged"
        )
    return counted


def _free(tables: dict[str, RuleTable]) -> dict[str, RuleTable]:
    for name in tables:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a name: a small letter, then small letters, digits, underscores"
            )
        if any(name == taken or name.endswith(f"_{taken}") for taken in _TAKEN):
            raise ValueError(
                f"neighbors_{name} would be taken for another kind of table: a name does not end "
                f"in {', '.join(_TAKEN)}"
            )
    return tables


Column = Annotated[str, AfterValidator(_known)]
Columns = Annotated[tuple[Column, ...], AfterValidator(_once)]


class RuleTable(Section):
    """One neighbor table under a rule; all of its conditions hold together."""

    within: Columns = key(
        (),
        "The image has the query's value in each of these columns, which never and at_most do not "
        "name.",
        max_length=8,
    )
    never: Columns = key(
        (), "It has the query's value in none of these; four columns at most.", max_length=4
    )
    at_most: Annotated[
        dict[Column, Annotated[int, Field(ge=1)]], BeforeValidator(_dotted), AfterValidator(_one)
    ] = key(
        {},
        "A column and how many images of each of its values a list may hold: fewer than k, or than "
        "candidates.",
    )
    collapse: bool = key(False, "Of images with equal vectors one counts, and none like the query.")
    only: Annotated[dict[Column, str], BeforeValidator(_dotted)] = key(
        {}, "Columns and their values: other images stand in no list, but have one."
    )
    k: int = key(0, "Neighbors listed for each image; 0: neighbors.k.", ge=0, le=1000)
    diversity: float = key(
        1.0,
        "Below 1 the first `candidates` of the exact list are re-ranked by maximal marginal "
        "relevance with this lambda: 1 keeps the list, towards 0 the entries differ the most.",
        ge=0,
        le=1,
    )
    candidates: int = key(
        0, "How many entries of the exact list diversity chooses among; at least k.", ge=0, le=5000
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values the rule compares, each once, in their order."""
        return tuple(sorted({*self.within, *self.never, *self.at_most}))

    @property
    def conditions(self) -> dict[str, Any]:
        """All but ``k``, equal for rules that mean the same: the order of columns means nothing."""
        facts = self.model_dump(mode="json", exclude={"k"})
        return {**facts, "within": sorted(self.within), "never": sorted(self.never)}

    @property
    def re_ranks(self) -> bool:
        return self.diversity < 1

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        conditions = (self.within, self.never, self.at_most, self.collapse, self.only)
        if not any(conditions) and not self.re_ranks:
            raise ValueError(
                "an empty rule: name at least one of within, never, at_most, collapse, only and "
                "diversity"
            )
        if self.re_ranks != bool(self.candidates):
            raise ValueError("diversity below 1 and candidates go together: give both or neither")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """A column that all of a list share is neither forbidden nor counted."""
        for column in self.within:
            if column in self.never:
                raise ValueError(
                    f"within and never both name {column}: no image has the query's value and "
                    "another one, so every list would be empty; take it out of one"
                )
            if column in self.at_most:
                raise ValueError(
                    f"within and at_most both name {column}: all of a list have the query's value, "
                    f"so it would end after {self.at_most[column]}; set k to that and take it out "
                    "of at_most"
                )
        return self


TableNames = Annotated[dict[str, RuleTable], AfterValidator(_free)]
