"""Names made readable and comparable: slugs, years, damaged accents, paths in two spellings."""

from __future__ import annotations

import re
import unicodedata

__all__ = [
    "EXTENSION",
    "YEAR",
    "exact_path",
    "folded",
    "loose_path",
    "readable",
    "repair",
    "year_of",
]

YEAR = "(?:1[0-9]{3}|20[0-9]{2}|2100)"
"""A pattern for the years that are taken for years."""

# A suffix without a letter in front is part of the name: "opus-1.25" has no extension.
EXTENSION = re.compile(r"(?<=[^/])\.[A-Za-z][A-Za-z0-9]{0,4}\Z")
_TRAILING_YEAR = re.compile(rf"(?:\A|[- ])({YEAR})(?:-[0-9]{{1,2}})?(?:\([0-9]+\))?\Z")
_PARTS = re.compile(r"([/_])")
_SEPARATORS = re.compile(r"[-_\s]+")
# One character of UTF-8 as Latin-1 shows it: a lead, then bytes that have no letter case.
_MOJIBAKE = re.compile(
    "[\xf0-\xf4][\x80-\xbf]{3}"
    "|[\xe0-\xef][\x80-\xbf]{2}"
    "|[\xc2-\xc5\xce-\xd1\xe2-\xe5\xee-\xf1][\x80-\xbf]"
)


def exact_path(path: str) -> str:
    """A path as it stands, in NFC and without ``./`` or ``/`` in front."""
    return unicodedata.normalize("NFC", path).removeprefix("./").lstrip("/")


def loose_path(path: str) -> str:
    """A form that is equal for paths which differ by case, damaged accents, or their extension.

    Each part between ``/`` and ``_`` is repaired by itself, as the damage may be in one alone.
    """
    stem = EXTENSION.sub("", exact_path(path))
    if stem.isascii():
        return stem.lower()
    repaired = "".join(repair(part) for part in _PARTS.split(stem))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", repaired).casefold())


def folded(label: str) -> str:
    """A form that is equal for spellings of one label: ``Vincent_van_Gogh``, vincent-van-gogh."""
    plain = unicodedata.normalize("NFKD", repair(label).casefold())
    return readable("".join(each for each in plain if not unicodedata.combining(each)))


def readable(slug: str) -> str:
    """A slug as words: ``the-starry-night-1889`` is "the starry night 1889".

    No capitals are invented: which words of a name take one is not in the slug.
    """
    return _SEPARATORS.sub(" ", slug).strip()


def repair(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1 and then lower-cased: ``joaquã\\u00adn`` is joaquín.

    For display, and to compare names; never a key. The whole text is repaired, or it comes back
    unchanged: when one character outside ASCII does not fit such damage (``joão``, ``«irmã»``),
    the text counts as sound.
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


def _raise_lead(found: re.Match[str]) -> str:
    """Of a two-byte character, the lead before lower-casing; longer ones have none to raise."""
    text = found[0]
    if len(text) > 2 or text[0] < "\xe0":
        return text
    return chr(ord(text[0]) - 0x20) + text[1]
