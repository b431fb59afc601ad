"""Reading ahead: in order, several at once, and never more than is allowed."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.storage.ahead import Read, read_ahead


def running() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("artrec-read")]


class Counted:
    """Reads that count how many bytes are begun and not yet taken."""

    def __init__(self, sizes: list[int]) -> None:
        self.lock = threading.Lock()
        self.sizes, self.held, self.peak = sizes, 0, 0
        self.begun: list[int] = []

    def reads(self) -> list[Read[int]]:
        return [Read(partial(self.read, n), size) for n, size in enumerate(self.sizes)]

    def read(self, number: int) -> int:
        with self.lock:
            self.begun.append(number)
            self.held += self.sizes[number]
            self.peak = max(self.peak, self.held)
        return number

    def take(self, number: int) -> None:
        with self.lock:
            self.held -= self.sizes[number]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 4), st.integers(1, 100))
def test_results_are_in_order_and_few_bytes_wait(
    sizes: list[int], at_once: int, allowed: int
) -> None:
    counted, found = Counted(sizes), []
    for number in read_ahead(counted.reads(), at_once, allowed):
        counted.take(number)
        found.append(number)
    assert found == list(range(len(sizes)))
    assert counted.peak <= max([allowed, *sizes]) + max([0, *sizes])  # one is in our hands


def test_the_second_is_read_while_the_first_is_not_yet_there() -> None:
    second = threading.Event()

    def first() -> str:
        assert second.wait(30), "nobody asked for the second"
        return "first"

    def other() -> str:
        second.set()
        return "second"

    assert list(read_ahead([Read(first, 1), Read(other, 1)], 2, 100)) == ["first", "second"]


def test_the_next_is_read_while_one_is_worked_on() -> None:
    begun = [threading.Event() for _ in range(3)]
    reads = [Read(each.set, 10) for each in begun]
    taking = read_ahead(reads, 1, 10)
    next(taking)
    assert begun[1].wait(30)
    assert not begun[2].is_set()
    assert len(list(taking)) == 2


def test_a_large_one_is_not_read_while_another_is_in_hand() -> None:
    counted = Counted([10, 99, 10])
    taking = read_ahead(counted.reads(), 2, 50)
    assert next(taking) == 0
    assert counted.begun == [0]
    assert next(taking) == 1
    assert list(taking) == [2]


def test_an_error_comes_at_its_place_and_what_follows_is_not_begun() -> None:
    counted = Counted([10] * 6)

    def broken() -> int:
        raise OSError("gone")

    reads = [*counted.reads()[:2], Read(broken, 10), *counted.reads()[2:]]
    taking = read_ahead(reads, 1, 10)
    assert [next(taking), next(taking)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(taking)
    assert counted.begun == [0, 1]
    assert running() == []


def test_who_stops_leaves_no_thread() -> None:
    counted = Counted([1] * 50)
    taking = read_ahead(counted.reads(), 2, 5)
    assert next(taking) == 0
    assert running() != []
    taking.close()
    assert running() == []
    assert len(counted.begun) <= 6
