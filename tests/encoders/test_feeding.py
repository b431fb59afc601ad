"""Feeding a training: the same batches in the same order, made ahead, and nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from artrec.encoders.feeding import fed, in_thread
from artrec.encoders.reader import Batch, open_reader
from artrec.storage import open_store
from tests.encoders.examples import examples, written


class Source:
    """Batches with a number each, and what was seen of them."""

    def __init__(self, count: int) -> None:
        self.given, self.closed_by, self._count = 0, "", count

    def batches(self) -> Iterator[Batch]:
        try:
            for number in range(self._count):
                self.given += 1
                yield {"n": [number]}
        finally:
            self.closed_by = threading.current_thread().name


def names() -> list[str]:
    return sorted(each.name for each in threading.enumerate())


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_each_with_its_batch(threads: int) -> None:
    """The later ones wait for nobody, the first for the second: made by whoever is faster."""
    second = threading.Event()

    def work(batch: Batch) -> int:
        number: int = batch["n"][0]
        if number == 0 and threads > 1:
            assert second.wait(60)
        if number == 1:
            second.set()
        return number**2

    found = list(fed(Source(12).batches(), work, threads))
    assert found == [({"n": [n]}, n**2) for n in range(12)]


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 4), (3, 2)])
def test_no_more_is_taken_than_may_wait(threads: int, ahead: int) -> None:
    source, made = Source(100), threading.Semaphore(0)

    def work(batch: Batch) -> None:
        made.release()

    before = names()
    results = fed(source.batches(), work, threads, ahead)
    assert next(results)[0] == {"n": [0]}
    for _ in range(ahead):  # until as many are made as may wait
        assert made.acquire(timeout=60)
    assert source.given <= 1 + ahead + threads + 2  # in hand, waiting, in the making, on the way
    results.close()
    assert names() == before
    assert source.given <= 1 + ahead + threads + 2


def test_the_reader_is_closed_in_the_thread_that_it_lives_in() -> None:
    source, before = Source(100), names()
    results = fed(source.batches(), lambda batch: None)
    next(results)
    assert "artrec-feed" in names()
    results.close()
    assert source.closed_by == "artrec-feed"
    assert names() == before


def test_an_error_comes_out_at_its_place_and_closes_everything() -> None:
    source, before = Source(100), names()

    def work(batch: Batch) -> int:
        if batch["n"] == [3]:
            raise ValueError("the fourth")
        return int(batch["n"][0])

    results = fed(source.batches(), work, 2)
    assert [next(results)[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(results)
    assert source.closed_by == "artrec-feed"
    assert names() == before


def test_an_error_of_the_reader_itself_comes_out_too() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk")

    results = in_thread(broken, 4)
    assert next(results) == 1
    with pytest.raises(OSError, match="the disk"):
        next(results)


def test_a_real_reader_gives_the_same_fed_or_not(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    made = open_reader("arrow", store, written(store, examples(23, 7), 4), 5)
    plain = list(made.batches(("picture",), 0, 1, 1, 0))
    found = list(fed(made.batches(("picture",), 0, 1, 1, 0), lambda b: len(b["picture"]), 2))
    assert [batch for batch, _ in found] == plain
    assert [count for _, count in found] == [5, 5, 5, 5, 5, 5]
