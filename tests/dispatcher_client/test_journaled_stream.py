"""A stream with a journal: what is recorded is not asked for again, and an input that is another one is noticed."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
import pytest

from dispatcher_client.errors import JournalError
from dispatcher_client.journal import Journal, JournalModel
from dispatcher_client.journaled_stream import stream_new
from dispatcher_client.values import Answer, Values

MODEL = JournalModel("double", "a" * 64)
OTHER = JournalModel("triple", "b" * 64)
INPUTS = [np.array([index], np.int32) for index in range(6)]


class Doubling:
    """A chain that doubles, one input ahead of its answers; notes what it was asked, and ends with an error if it should."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked: list[int] = []
        self.is_closed = False
        self._fails_at = fails_at

    def __call__(self, inputs: Iterable[Values]) -> Generator[Answer, None, None]:
        waiting: list[Answer] = []
        try:
            for values in inputs:
                number = int(np.asarray(values)[0])
                self.asked.append(number)
                waiting.append(np.array([2 * number], np.int32))
                if number == self._fails_at:
                    raise TimeoutError
                if len(waiting) > 1:
                    yield waiting.pop(0)
            yield from waiting
        finally:
            self.is_closed = True


def numbers(answers: Iterable[Answer]) -> list[int]:
    return [int(np.asarray(answer)[0]) for answer in answers]


@pytest.fixture
def journal(tmp_path: Path) -> Generator[Journal, None, None]:
    with Journal(tmp_path / "journal") as opened:
        yield opened


def test_each_answer_is_recorded_before_it_is_given(journal: Journal) -> None:
    for count, answer in enumerate(stream_new(INPUTS, Doubling(), journal, lambda: MODEL), 1):
        assert len(journal) == count
        assert numbers(journal)[-1] == int(np.asarray(answer)[0])
    assert numbers(journal) == [0, 2, 4, 6, 8, 10]


def test_stream_goes_on_after_what_is_recorded(journal: Journal) -> None:
    chain = Doubling()
    answers = stream_new(INPUTS, chain, journal, lambda: MODEL)
    assert numbers([next(answers), next(answers)]) == [0, 2]
    answers.close()
    assert chain.is_closed
    again = Doubling()
    assert numbers(stream_new(iter(INPUTS), again, journal, lambda: MODEL)) == [4, 6, 8, 10]
    assert again.asked == [2, 3, 4, 5]
    assert numbers(journal) == [0, 2, 4, 6, 8, 10]
    finished = Doubling()
    assert list(stream_new(INPUTS, finished, journal, lambda: MODEL)) == []
    assert finished.asked == []


def test_stream_goes_on_with_the_input_that_had_an_error(journal: Journal) -> None:
    with pytest.raises(TimeoutError):
        list(stream_new(INPUTS, Doubling(fails_at=3), journal, lambda: MODEL))
    assert numbers(journal) == [0, 2]
    assert numbers(stream_new(INPUTS, Doubling(), journal, lambda: MODEL)) == [4, 6, 8, 10]


def test_source_that_gives_another_input_is_refused(journal: Journal) -> None:
    list(stream_new(INPUTS[:3], Doubling(), journal, lambda: MODEL))
    with pytest.raises(JournalError, match=r"input 1 is not the one that .* has the answer to"):
        list(stream_new([INPUTS[0], INPUTS[4]], Doubling(), journal, lambda: MODEL))


def test_source_that_is_shorter_than_before_is_refused(journal: Journal) -> None:
    list(stream_new(INPUTS[:3], Doubling(), journal, lambda: MODEL))
    with pytest.raises(JournalError, match="the source ends after 2 inputs"):
        list(stream_new(INPUTS[:2], Doubling(), journal, lambda: MODEL))
    assert len(journal) == 3


def test_other_model_is_refused_before_an_input_is_taken(journal: Journal) -> None:
    list(stream_new(INPUTS[:3], Doubling(), journal, lambda: MODEL))
    chain = Doubling()
    with pytest.raises(JournalError, match="has 3 answers of double"):
        next(stream_new(INPUTS, chain, journal, lambda: OTHER))
    assert chain.asked == []


def test_journal_says_from_where_on_another_model_answered(journal: Journal) -> None:
    serving = MODEL
    chain = Doubling()  # is one input ahead of its answers
    answers = stream_new(INPUTS, chain, journal, lambda: serving)
    next(answers)
    serving = OTHER
    assert len(list(answers)) == 5
    assert journal.models == [(0, MODEL), (2, OTHER)]
    assert list(stream_new(INPUTS, Doubling(), journal, lambda: OTHER)) == []
    with pytest.raises(JournalError, match="has 6 answers of triple"):
        next(stream_new(INPUTS, Doubling(), journal, lambda: MODEL))
