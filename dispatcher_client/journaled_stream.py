"""A stream that leaves out the inputs that a journal has answers to, and records the answers to the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

from dispatcher_client.errors import JournalError
from dispatcher_client.journal import Journal, JournalModel
from dispatcher_client.journal_records import input_checksum
from dispatcher_client.values import Answer, Values


def stream_new(
    frames: Iterable[Values],
    run: Callable[[Iterable[Values]], Generator[Answer, None, None]],
    journal: Journal,
    model: Callable[[], JournalModel],
) -> Generator[Answer, None, None]:
    """The answers that are not in the journal yet, each recorded before it is given.

    Args:
        frames: the same inputs as in the runs before, from the first one on.
        run: gives the answers in the inputs' order; takes inputs on another thread.
        model: which serves at present. If it changes, the journal says from which answer on; an input that is sent at the very
            moment of the change may count to the one before.
    Raises: JournalError: see `Journal.streaming` and `Journal.record`; or the inputs are others than those answered before.
    """
    # Of inputs that have no answer yet, the checksum and the model; as many as the window allows.
    under_way: deque[tuple[int, JournalModel]] = deque()
    recorded = model()

    def noted() -> Iterator[Values]:
        for values in _left_out(frames, journal):
            under_way.append((input_checksum(values), model()))
            yield values

    with journal.streaming(recorded), closing(run(noted())) as answers:
        for answer in answers:
            checksum, answered_by = under_way.popleft()
            if answered_by != recorded:
                journal.switch_model(answered_by)
                recorded = answered_by
            journal.record(answer, checksum)
            yield answer


def _left_out(frames: Iterable[Values], journal: Journal) -> Iterator[Values]:
    """The inputs after those that the journal has answers to."""
    source = iter(frames)
    for index, checksum in enumerate(journal.input_checksums()):
        try:
            values = next(source)
        except StopIteration:
            raise JournalError(
                f"the source ends after {index} inputs, {journal!r} has answers to more. Give the same source from its "
                "beginning, or use another journal."
            ) from None
        if input_checksum(values) != checksum:
            raise JournalError(
                f"input {index} is not the one that {journal!r} has the answer to. Give the same source from its beginning, "
                "or use another journal."
            )
    yield from source
