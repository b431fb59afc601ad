"""One spelling for one label in one column, though paths and lists write it differently.

The lists name few artists of many as ``Vincent_van_Gogh``; the file names of all say
``vincent-van-gogh``. A column that held both would make two artists of one.
"""

from __future__ import annotations

from collections.abc import Mapping

from artrec.labels.names import folded

__all__ = ["Spellings"]

_SEVERAL = None


class Spellings:
    """How the classes of one field are written in its column, learnt from what the paths say.

    A class is written as the paths write the same name (but for case, separators, accents). Where
    none does, as a longer or shorter name (the folder Art_Nouveau_Modern of the class Art_Nouveau),
    if the paths of all its members have it, and no member of another class. Else as the class file
    writes it: the list says something else than the path, and is believed.
    """

    def __init__(self, classes: Mapping[int, str]) -> None:
        self._classes = classes
        self._folded = {folded(name): index for index, name in classes.items()}
        self._same: dict[int, str] = {}
        self._class_of: dict[str, int | None] = {}  # value of a path -> its only class
        self._value_of: dict[int, str | None] = {}  # class -> the only value of its paths
        self._seen: set[str] = set()

    def learn(self, value: str | None, index: int | None) -> None:
        """A member whose path says ``value``, and whose class in the lists is ``index``."""
        if value is None:
            return
        if value not in self._seen:
            self._seen.add(value)
            self._compare(value)
        if index is not None:
            if self._class_of.setdefault(value, index) != index:
                self._class_of[value] = _SEVERAL
            if self._value_of.setdefault(index, value) != value:
                self._value_of[index] = _SEVERAL

    def _compare(self, value: str) -> None:
        index = self._folded.get(folded(value))
        if index is not None:
            self._same[index] = min(value, self._same.get(index, value))

    def of(self, index: int) -> str:
        """The class as the column has it."""
        if index in self._same:
            return self._same[index]
        value, name = self._value_of.get(index), self._classes[index]
        only = value is not None and self._class_of[value] == index
        return value if value and only and self._extends(folded(value), folded(name)) else name

    def _extends(self, one: str, other: str) -> bool:
        """Whether one name begins with all words of the other, and is no class itself."""
        alike = f"{one} ".startswith(f"{other} ") or f"{other} ".startswith(f"{one} ")
        return alike and one not in self._folded
