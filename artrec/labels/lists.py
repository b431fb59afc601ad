"""Label lists in WikiArt's published form: a folder of lists and of the classes they number.

``style_train.csv`` holds rows ``path,index``, ``style_class.txt`` rows ``index name``; the same for
artist and genre, and for ``val``. The lists that are around have header lines, empty lines, doubled
commas, other line ends and no ending in their file names: all that is read. Whatever else is no
row ends the run, with its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from artrec.errors import ConditionFailed, InputError, NotFound
from artrec.storage import Entry, Store

__all__ = ["FIELDS", "LabelList", "LabelLists", "ListRow", "find_lists"]

FIELDS = ("artist", "genre", "style")
SPLITS = ("train", "val")

_WINDOW = 1 << 20
_LONGEST = 1 << 13  # bytes of a line; paths end long before
_ROW = re.compile(r"(?P<path>[^\r]*[^\s,])\s*,[\s,]*(?P<index>[0-9]{1,9})[\s,]*")
_HEADER = re.compile(r"[^/\d]*,[^/\d]*")
_CLASS = re.compile(r"(?P<index>[0-9]{1,9})\s+(?P<name>\S.*)")


@dataclass(frozen=True, slots=True)
class ListRow:
    """One row of a list: line, path and class index as they stand there."""

    line: int
    path: str
    index: int


@dataclass(frozen=True, slots=True)
class LabelList:
    """One file of rows; ``split`` is the side that its members are on."""

    store: Store
    file: Entry
    name: str
    field: str
    split: str

    def rows(self) -> Iterator[ListRow]:
        """The rows, read by windows; ``InputError`` names file and line of what is none."""
        begun = False
        for number, line in _lines(self.store, self.file):
            if not line:
                continue
            found = _ROW.fullmatch(line)
            if found is not None:
                yield ListRow(number, found["path"], int(found["index"]))
            elif begun or not _HEADER.fullmatch(line):
                raise InputError(
                    f"{self.store.path_url(self.file.path)}, line {number}: expected path,index "
                    f"such as Baroque/a_b.jpg,3, found {line[:120]!r}"
                )
            begun = True


@dataclass(frozen=True, slots=True)
class LabelLists:
    """The lists of one folder, in the order of their names, and their classes by field."""

    url: str
    lists: tuple[LabelList, ...]
    classes: dict[str, dict[int, str]] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[int, ListRow]]:
        """Every row behind the number of its list; ``InputError`` for one without a class."""
        for number, each in enumerate(self.lists):
            classes = self.classes[each.field]
            for row in each.rows():
                if row.index not in classes:
                    raise InputError(
                        f"{each.store.path_url(each.file.path)}, line {row.line}: {row.path} has "
                        f"class {row.index}, which {self.url}/{each.field}_class.txt does not "
                        f"name; its classes are {min(classes)} to {max(classes)}"
                    )
                yield number, row


def find_lists(store: Store, folder: str) -> LabelLists:
    """The lists under their published names in a folder of a Store, with their classes.

    Raises InputError where there are none, where one has no class file, or where two files are
    one list.
    """
    url, lists = store.path_url(folder), []
    for kind in FIELDS:
        for split in SPLITS:
            file = _one_of(store, folder, f"{kind}_{split}", ".csv")
            if file is not None:
                name = file.path.removeprefix(f"{folder}/")
                lists.append(LabelList(store, file, name, kind, split))
    if not lists:
        raise InputError(
            f"{url}: no label lists; expected style_train.csv, style_val.csv and style_class.txt, "
            "or the same for artist or genre"
        )
    fields = dict.fromkeys(each.field for each in lists)
    return LabelLists(url, tuple(lists), {kind: _classes(store, folder, kind) for kind in fields})


def _one_of(store: Store, folder: str, name: str, ending: str) -> Entry | None:
    """The file of that name, with its ending or without one."""
    found = []
    for each in (f"{name}{ending}", name):
        try:
            found.append(store.stat(f"{folder}/{each}"))
        except NotFound:
            continue
    if len(found) > 1:
        raise InputError(
            f"{store.path_url(folder)}: {name} and {name}{ending} are both there; take one away"
        )
    return found[0] if found else None


def _classes(store: Store, folder: str, kind: str) -> dict[int, str]:
    file = _one_of(store, folder, f"{kind}_class", ".txt")
    if file is None:
        raise InputError(
            f"{store.path_url(folder)}: {kind}_class.txt is missing; it names the classes that "
            f"the {kind} lists number"
        )
    url, names, begun = store.path_url(file.path), dict[int, str](), False
    for number, line in _lines(store, file):
        found = _CLASS.fullmatch(line)
        if found is not None:
            if int(found["index"]) in names:
                raise InputError(f"{url}, line {number}: class {found['index']} is there twice")
            names[int(found["index"])] = found["name"]
        elif line and (begun or line[0].isdigit()):
            raise InputError(
                f"{url}, line {number}: expected index name such as 3 Baroque, found {line[:120]!r}"
            )
        begun = begun or bool(line)
    if len({*names.values()}) < max(1, len(names)):
        raise InputError(f"{url}: two classes have one name" if names else f"{url}: no classes")
    return names


def _lines(store: Store, file: Entry) -> Iterator[tuple[int, str]]:
    """Each line with its number from 1, without a BOM and the spaces around it."""
    url = store.path_url(file.path)
    for number, raw in enumerate(_raw_lines(store, file), 1):
        if len(raw) > _LONGEST:
            raise InputError(f"{url}, line {number}: too long for a line of a label list")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{url}, line {number}: not UTF-8: {raw[:120]!r}") from None
        yield number, text.strip()


def _raw_lines(store: Store, file: Entry) -> Iterator[bytes]:
    rest = b""
    for at in range(0, file.bytes, _WINDOW):
        *whole, rest = (rest + _window(store, file, at)).split(b"\n")
        yield from whole
        if len(rest) > _LONGEST:  # refused by the reader, before it grows
            break
    if rest:
        yield rest


def _window(store: Store, file: Entry, at: int) -> bytes:
    try:
        return store.read(file.path, at, _WINDOW, etag=file.etag)
    except (ConditionFailed, NotFound) as error:
        raise InputError(
            f"{store.path_url(file.path)}: changed while it was read ({error}); "
            "leave it alone and start the run again"
        ) from error
