"""Path templates: labels from the end of a member's path.

A template such as ``{style}/{artist}_{title}`` is laid over the end of a member's path. Labels
hold *slugs*: the words of the file name as they stand there (``the-starry-night-1889``), artist
and title repaired where an accent was damaged, style as the folder is called (``Art_Nouveau``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from artrec.errors import ConfigError
from artrec.labels.names import EXTENSION, YEAR, repair, year_of

__all__ = ["Labels", "PathTemplate"]

FIELDS = ("style", "artist", "title", "year", "genre", "split", "license")

_EXTRA = re.compile(r"extra\.[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Labels:
    """What is said about a member; ``None`` is "not known", never an empty word."""

    style: str | None = None
    artist: str | None = None
    title: str | None = None
    year: int | None = None
    genre: str | None = None
    split: str | None = None
    license: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A pattern for the end of a member's path, without its extension.

    Folders in front of it may be any. A field holds one character or more, never a ``/``;
    ``{year}`` holds a year from 1000 to 2100; ``{extra.key}`` goes to ``Labels.extra``.

    The text between two fields splits the name at its **first** occurrence, so with
    ``{artist}_{title}`` only the first underscore counts: ``a_not_detected_7`` is artist ``a``
    and title ``not_detected_7``. In front of ``{year}`` it is the first with a year behind it.
    """

    text: str
    fields: tuple[str, ...]
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """Read a template; ``ConfigError`` names the field or the place that is wrong."""
        literals, fields = _cut(text)
        _check_fields(text, fields)
        _check_literals(text, literals, fields)
        return cls(text, tuple(fields), _compile(literals, fields))

    def match(self, name: str) -> Labels | None:
        """The labels in a member's path, or ``None`` for a name outside the template.

        Without a ``{year}`` of its own, the year is the one that ends the title.
        """
        folders = self.text.count("/") + 1
        stem = EXTENSION.sub("", name)
        found = self.pattern.fullmatch("/".join(stem.split("/")[-folders:]))
        return None if found is None else self._labels(found.groups())

    def _labels(self, values: tuple[str, ...]) -> Labels:
        known = dict(zip(self.fields, values, strict=True))
        artist, title, year = known.get("artist"), known.get("title"), known.get("year")
        return Labels(
            style=known.get("style"),
            artist=None if artist is None else repair(artist),
            title=None if title is None else repair(title),
            year=int(year) if year else year_of(title or ""),
            genre=known.get("genre"),
            split=known.get("split"),
            license=known.get("license"),
            extra={k.removeprefix("extra."): v for k, v in known.items() if k.startswith("extra.")},
        )


def _cut(text: str) -> tuple[list[str], list[str]]:
    """The literals around the fields (one more than fields) and the names of the fields."""
    parts = re.split(r"\{([^{}]*)\}", text)
    literals, fields = parts[::2], parts[1::2]
    if any(brace in literal for literal in literals for brace in "{}"):
        raise ConfigError(f"path template {text!r}: a brace has no partner")
    return literals, fields


def _check_fields(text: str, fields: list[str]) -> None:
    if not fields:
        raise ConfigError(f"path template {text!r}: it names no field, such as {{style}}")
    for number, name in enumerate(fields):
        if name not in FIELDS and not _EXTRA.fullmatch(name):
            raise ConfigError(
                f"path template {text!r}: unknown field {{{name}}}; known are "
                f"{', '.join(FIELDS)}, and extra.KEY for one of your own"
            )
        if name in fields[:number]:
            raise ConfigError(f"path template {text!r}: field {{{name}}} stands there twice")


def _check_literals(text: str, literals: list[str], fields: list[str]) -> None:
    for left, right, between in zip(fields, fields[1:], literals[1:-1], strict=False):
        if not between:
            raise ConfigError(
                f"path template {text!r}: nothing separates {{{left}}} and {{{right}}}"
            )
    if text.startswith("/") or text.endswith("/") or "//" in text:
        raise ConfigError(f"path template {text!r}: a folder in it has no name")
    if EXTENSION.search(f"x{literals[-1]}"):
        raise ConfigError(
            f"path template {text!r}: names are matched without their extension; "
            f"leave {literals[-1]!r} out"
        )


def _compile(literals: list[str], fields: list[str]) -> re.Pattern[str]:
    """Fields that cannot run past their separator: one pass over a name, however long."""
    pattern = re.escape(literals[0])
    for number, name in enumerate(fields):
        literal = re.escape(literals[number + 1])
        following = fields[number + 1] if number + 1 < len(fields) else None
        # A field that ends its folder may hold the literal behind it: only the last one counts.
        stop = literal if following else rf"{literal}\Z"
        if following == "year":
            after = re.escape(literals[number + 2])
            stop = rf"{literal}{YEAR}" + (after or r"\Z")
        pattern += f"({YEAR})" if name == "year" else f"((?:(?!{stop})[^/])+)"
        pattern += literal
    return re.compile(pattern)
