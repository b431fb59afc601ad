"""Archives that change at random from night to night, with a label list beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.pictures import picture, write_folder, write_zip

__all__ = ["Gallery", "Member", "Source"]

STYLES = ("Baroque", "Cubism", "Realism", "Rococo")
ARTISTS = ("anna", "ben", "carl", "dora", "emil", "fritz")
GENRES = ("landscape", "portrait", "still_life")


@dataclass(frozen=True)
class Member:
    """A name in the archive, and the picture behind it; of a ``cut`` one the end is missing."""

    path: str
    seed: int
    form: str = "JPEG"
    cut: bool = False

    @property
    def data(self) -> bytes:
        whole = picture(self.seed, self.form, (32, 24))
        return whole[: len(whole) // 2] if self.cut else whole


@dataclass(frozen=True)
class Source:
    """What a night finds: members in their order, and rows of the list of genres."""

    members: tuple[Member, ...]
    genres: tuple[tuple[str, int], ...]

    def write(self, place: Path) -> None:
        """``place/main.zip`` and the lists in ``place/lists``."""
        place.mkdir()
        write_zip(place / "main.zip", [(each.path, each.data) for each in self.members])
        classes = "".join(f"{n} {name}\n" for n, name in enumerate(GENRES))
        rows = "".join(f"{path},{n}\n" for path, n in self.genres)
        files = {"genre_train.csv": rows.encode(), "genre_class.txt": classes.encode()}
        write_folder(place / "lists", files)

    @property
    def content(self) -> object:
        """Equal for two sources that say the same, in whatever order."""
        return Counter(self.members), sorted(self.genres)


class Gallery:
    """A collection whose works come, go, return, change, move, double, and are relabelled."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.rng = rng
        self.members: list[Member] = []
        self.genres: dict[str, int] = {}
        self.gone: list[Member] = []
        self.made = 0
        for _ in range(count):
            self.add()
        for act in (self.double, self.twin, self.spoil, self.repeat):
            act()

    def source(self) -> Source:
        return Source(tuple(self.members), tuple(self.genres.items()))

    def night(self) -> list[str]:
        """Some of the changes that there are; their names."""
        acts = (
            *(self.add, self.add, self.delete, self.restore, self.change, self.move, self.double),
            *(self.twin, self.relabel, self.relabel, self.spoil, self.heal, self.repeat),
        )
        chosen = [acts[self.rng.integers(len(acts))] for _ in range(int(self.rng.integers(2, 9)))]
        if self.rng.random() < 0.2:
            chosen.append(self.clear)
        if self.rng.random() < 0.2:
            chosen.append(self.shuffle)
        for act in chosen:
            act()
        return [act.__name__ for act in chosen]

    def add(self) -> None:
        """Every third one has its pixels to the last bit, so that another form is its twin."""
        self.made += 1
        form = "PNG" if self.made % 3 == 0 else "JPEG"
        self._hang(Member(self._path(form), self.made, form))

    def double(self) -> None:
        """A picture under one more name."""
        one = self._one()
        self._hang(replace(one, path=self._path(one.form)))

    def twin(self) -> None:
        """The pixels of a picture in another file: another content, and the same vector."""
        exact = [each for each in self.members if each.form == "PNG"]
        if exact:
            one = exact[self.rng.integers(len(exact))]
            self._hang(replace(one, path=self._path("BMP"), form="BMP"))

    def repeat(self) -> None:
        """A name that is there already, with another picture."""
        self.made += 1
        self._hang(replace(self._one(), seed=self.made, form="JPEG", cut=False))

    def delete(self) -> None:
        one = self._one()
        self.members.remove(one)
        self.gone.append(one)

    def clear(self) -> None:
        """All works of an artist, who has the same ones for neighbors."""
        artist = ARTISTS[self.rng.integers(len(ARTISTS))]
        left = [each for each in self.members if f"/{artist}_" not in each.path]
        if len(left) > 20:
            self.gone += [each for each in self.members if each not in left]
            self.members = left

    def restore(self) -> None:
        """What was deleted comes back, under its name or another."""
        if self.gone:
            one = self.gone.pop(int(self.rng.integers(len(self.gone))))
            again = replace(one, path=self._path(one.form))
            self._hang(again if self.rng.integers(2) else one)

    def change(self) -> None:
        """Another picture under a name."""
        self.made += 1
        self._swap(lambda one: replace(one, seed=self.made, form="JPEG", cut=False))

    def move(self) -> None:
        """Another name, and with it other labels."""
        self._swap(lambda one: replace(one, path=self._path(one.form)))

    def spoil(self) -> None:
        self._swap(lambda one: replace(one, cut=True))

    def heal(self) -> None:
        broken = [n for n, each in enumerate(self.members) if each.cut]
        if broken:
            at = broken[self.rng.integers(len(broken))]
            self.members[at] = replace(self.members[at], cut=False)

    def relabel(self) -> None:
        """Another genre in the list, or none."""
        path = self._one().path
        genre = int(self.rng.integers(-1, len(GENRES)))
        self.genres.pop(path, None)
        if genre >= 0 or not self.genres:
            self.genres[path] = max(genre, 0)

    def shuffle(self) -> None:
        self.members = [self.members[n] for n in self.rng.permutation(len(self.members))]

    def _hang(self, member: Member) -> None:
        self.members.insert(int(self.rng.integers(len(self.members) + 1)), member)
        if self.rng.random() < 0.6:
            self.genres.setdefault(member.path, int(self.rng.integers(len(GENRES))))

    def _one(self) -> Member:
        return self.members[self.rng.integers(len(self.members))]

    def _swap(self, act: Callable[[Member], Member]) -> None:
        at = int(self.rng.integers(len(self.members)))
        self.members[at] = act(self.members[at])

    def _path(self, form: str) -> str:
        style, artist = (names[self.rng.integers(len(names))] for names in (STYLES, ARTISTS))
        number = self.rng.integers(2**30)
        return f"{style}/{artist}_work-{number}.{form.lower()}"
