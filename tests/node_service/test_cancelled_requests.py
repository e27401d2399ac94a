"""What is remembered of cancelled requests: the last of them, each until its frame comes."""

from __future__ import annotations

import random

from node_service.cancelled_requests import CancelledRequests
from transport.cancellations import MOST_REMEMBERED


def test_request_is_taken_once_and_others_never() -> None:
    cancelled = CancelledRequests()
    assert not cancelled.take(1)
    cancelled.add([1, 3])
    assert [cancelled.take(n) for n in (1, 1, 2, 3)] == [True, False, False, True]
    assert len(cancelled) == 0


def test_whatever_is_added_the_last_ones_are_known_and_no_more_are_kept() -> None:
    generator = random.Random(5)
    for _ in range(50):
        cancelled, request_id = CancelledRequests(), 0
        model: list[int] = []
        for _ in range(generator.randrange(1, 20)):
            ids = []
            for _ in range(generator.choice([1, 10, 700, 3000])):
                request_id += generator.randrange(1, 4)
                ids.append(request_id)
            cancelled.add(ids)
            model = [*model, *ids][-MOST_REMEMBERED:]
            if generator.random() < 0.5:
                taken = generator.choice(model)
                assert cancelled.take(taken)
                model.remove(taken)
            assert list(cancelled._ids) == model
