"""What a table's settings mean to the engine: which codes it reads, in which order."""

from __future__ import annotations

import json
from dataclasses import dataclass

from artrec.config.ruling import RuleTable
from artrec.vectors.rules import Rule

__all__ = ["Asked", "rule_text"]

SPARE = 2
"""With one spare 3 % of the lists were joined anew after a night with 1 % gone, with two 0.4 %."""

GROUP = 0  # the column of labels that says where a row is within


@dataclass(frozen=True)
class Asked:
    """One table that the settings ask for; ``k`` neighbors are published."""

    name: str
    table: RuleTable
    k: int
    slack: int

    def to_json(self) -> str:
        """For tasks that keep what they know of it by this."""
        facts = {"name": self.name, "k": self.k, "slack": self.slack}
        return json.dumps({**facts, "table": self.table.model_dump(mode="json")}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Asked:
        facts = json.loads(text)
        return cls(**{**facts, "table": RuleTable.model_validate(facts["table"])})

    @property
    def listed(self) -> int:
        """Entries of the exact list of images: what diversity chooses among, else what is shown."""
        return self.table.candidates if self.table.re_ranks else self.k

    @property
    def spare(self) -> int:
        """So many more of a counted value than may stand are kept: they come in when others go."""
        return SPARE if self.table.at_most else 0

    @property
    def most(self) -> int | None:
        """How many of a value a pool holds."""
        allowed = self.rule.most
        return None if allowed is None else allowed + self.spare

    @property
    def size(self) -> int:
        """Entries of a pool: however many are spare, the list and the slack are among them."""
        allowed = next(iter(self.table.at_most.values()), 1)
        return -(-self.listed * (allowed + self.spare) // allowed) + self.slack

    @property
    def coded(self) -> tuple[str, ...]:
        """The columns that have codes, in their order; where a row is within is its group."""
        return tuple(sorted({*self.table.never, *self.table.at_most}))

    @property
    def counted(self) -> int | None:
        """The place among the codes of the column that is counted in."""
        return next((self.coded.index(column) for column in self.table.at_most), None)

    @property
    def never(self) -> tuple[int, ...]:
        """Places among the codes of the columns that must differ."""
        return tuple(self.coded.index(column) for column in sorted(self.table.never))

    @property
    def rule(self) -> Rule:
        """For labels of which the first is the group, and the others are the codes."""
        most = next(iter(self.table.at_most.values()), 0)
        return Rule(
            within=(GROUP,) if self.table.within else (),
            never=tuple(1 + place for place in self.never),
            at_most=None if self.counted is None else (most, 1 + self.counted),
            collapse=self.table.collapse,
            flagged=bool(self.table.only),
        )


def rule_text(table: RuleTable) -> str:
    """The rule in words, for people."""
    parts = [f"within the same {column}" for column in sorted(table.within)]
    parts += [f"never the same {column}" for column in sorted(table.never)]
    parts += [f"at most {most} of each {column}" for column, most in table.at_most.items()]
    parts += ["equal vectors once"] if table.collapse else []
    parts += [f"only {column} = {value}" for column, value in table.only.items()]
    if table.re_ranks:
        parts.append(
            f"the first {table.candidates} re-ranked for diversity (lambda {table.diversity:g})"
        )
    return ", ".join(parts)
