"""Labels from the path of a member: path templates, years, and damaged names made readable.

A template such as ``{style}/{artist}_{title}`` is laid over the end of a member's path. Labels
hold *slugs*: the words of the file name as they stand there (``the-starry-night-1889``), artist
and title repaired where an accent was damaged, style as the folder is called (``Art_Nouveau``).
``readable`` turns a slug into words for people. None of this is ever a key: a picture is found
by its path and its bytes, and both stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from artrec.errors import ConfigError

__all__ = ["Labels", "PathTemplate", "readable", "repair", "year_of"]

FIELDS = ("style", "artist", "title", "year", "genre", "split", "license")
YEAR = "(?:1[0-9]{3}|20[0-9]{2}|2100)"

_EXTRA = re.compile(r"extra\.[A-Za-z_][A-Za-z0-9_-]*")
# A suffix without a letter in front is part of the name: "opus-1.25" has no extension.
_EXTENSION = re.compile(r"(?<=[^/])\.[A-Za-z][A-Za-z0-9]{0,4}\Z")
_TRAILING_YEAR = re.compile(rf"(?:\A|[- ])({YEAR})(?:-[0-9]{{1,2}})?(?:\([0-9]+\))?\Z")
_SEPARATORS = re.compile(r"[-_\s]+")
# One character of UTF-8 as Latin-1 shows it: a lead, then bytes that have no letter case.
_MOJIBAKE = re.compile(
    "[\xf0-\xf4][\x80-\xbf]{3}"
    "|[\xe0-\xef][\x80-\xbf]{2}"
    "|[\xc2-\xc5\xce-\xd1\xe2-\xe5\xee-\xf1][\x80-\xbf]"
)


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
        stem = _EXTENSION.sub("", name)
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


def repair(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1 and then lower-cased: ``joaquã\\u00adn`` is joaquín.

    For display only. The whole text is repaired, or it comes back unchanged: when one character
    outside ASCII does not fit such damage (``joão``, ``«irmã»``), the text counts as sound.
    Lower-casing moves the lead bytes C2-DE to E2-FE and leaves all others, so the number of
    bytes behind a lead tells which one it was. Of the two-byte leads those of Latin, Greek and
    Cyrillic letters are looked for; a genuine word hardly holds one before a sign like ``©``.
    """
    if text.isascii() or not _MOJIBAKE.sub("", text).isascii():
        return text
    raised = _MOJIBAKE.sub(_raise_lead, text)
    try:
        repaired = raised.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
    return text if re.search("[\x80-\x9f]", repaired) else repaired


def year_of(title: str) -> int | None:
    """The year that ends a title slug, from 1000 to 2100.

    A counter may follow it: ``-1889``, ``-1889-2`` and ``-1889(1)`` are all 1889. Of a range
    (``1912-1913``) it is the later year. A title that ends in such a number for another reason
    cannot be told apart.
    """
    found = _TRAILING_YEAR.search(title)
    return int(found[1]) if found else None


def readable(slug: str) -> str:
    """A slug as words: ``the-starry-night-1889`` is "the starry night 1889".

    No capitals are invented: which words of a name take one is not in the slug.
    """
    return _SEPARATORS.sub(" ", slug).strip()


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
    if _EXTENSION.search(f"x{literals[-1]}"):
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


def _raise_lead(found: re.Match[str]) -> str:
    """Of a two-byte character, the lead before lower-casing; longer ones have none to raise."""
    text = found[0]
    if len(text) > 2 or text[0] < "\xe0":
        return text
    return chr(ord(text[0]) - 0x20) + text[1]
