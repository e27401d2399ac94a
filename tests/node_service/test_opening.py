"""What a stream's first message may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from node_service.errors import BadRequestError
from node_service.opening import check_opening
from protos.v1.data_plane_pb2 import CodecSetting, Hop, JoinGroup, OpenStream

GOOD: dict[str, Any] = {
    "deployment_id": "digits-1.0",
    "hops": [Hop(board="b1", address="[fe80::1]:50051")],
    "timeout_s": 5,
}


def test_good_openings_are_taken() -> None:
    check_opening(OpenStream(**GOOD))
    check_opening(OpenStream(**{**GOOD, "deployment_id": "", "probe": True, "hops": [Hop()] * 64}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hops": []}, "at least one hop"),
        ({"timeout_s": float("nan")}, "time-out"),
        ({"timeout_s": -1}, "time-out"),
        ({"timeout_s": 1e9}, "time-out"),
        ({"hops": [Hop(board="b")] * 65}, "65 hops"),
        ({"codecs": [CodecSetting()] * 65}, "codecs"),
        ({"dispatcher_decodes": [0] * 65}, "codecs"),
        ({"hops": [Hop(board="b"), Hop(board="b" * 264)]}, "board's name of hop 1 has 264 characters"),
        ({"hops": [Hop(board="b\n2026-01-01 INFO all is well")]}, "board's name of hop 0"),
        ({"hops": [Hop(board="b", address="\x1b[2J:1")]}, "address of hop 0"),
        ({"hops": [Hop(board="b", others=[Hop()] * 64)]}, "65 hops"),
        ({"hops": [Hop(board="b", others=[Hop(board="b" * 264)])]}, "board's name of hop 1 has 264 characters"),
        ({"join": JoinGroup(sender=0, receiver=1)}, "board 0 of a group of 0"),
        ({"join": JoinGroup(sender=1, receiver=1, boards=[Hop()] * 2)}, "board 1 of a group of 2"),
        ({"join": JoinGroup(sender=0, receiver=1, boards=[Hop()] * 65)}, "66 hops"),
        ({"join": JoinGroup(receiver=1, boards=[Hop()] * 2), "hops": [Hop(board="b")] * 2}, "with 2 hops"),
        ({"deployment_id": "../../etc/passwd"}, "a deployment id is"),
        ({"deployment_id": "a" * 129}, "a deployment id is"),
        ({"deployment_id": ""}, "a deployment id is"),
    ],
)
def test_opening_is_refused_when_it_asks_for_what_cannot_be(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        check_opening(OpenStream(**{**GOOD, **changed}))
