"""Probes over real node services: who sends how many bytes, what the timings say, what is refused."""

from __future__ import annotations

import lzma
import queue
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_boards import LocalBoard, LocalBoards
from node_service.errors import BadRequestError, RefusedError
from node_service.probe_stage import Probes
from protos.v1.data_plane_pb2 import Codec, Error, Frame, Header, Hop
from protos.v1.tensor_pb2 import DType
from tests.node_service.stubs import TIMEOUT_S, exchange, frames_to, probe_opening

# A frame without tensors: some ten bytes from the client, whatever the boards send each other.
SMALL = 100


def request(request_id: int) -> bytes:
    return Frame(header=Header(request_id=request_id)).SerializeToString()


def hops(boards: LocalBoards, *sizes: int) -> list[tuple[str, str, int]]:
    return [(board.name, board.address, size) for board, size in zip(boards.boards, sizes)]


@pytest.mark.parametrize("sizes", [(5_000,), (300_000, 20_000), (100_000, 1, 3_000_000), (70_000, 0, 0)])
def test_each_board_sends_its_bytes(boards: LocalBoards, sizes: tuple[int, ...]) -> None:
    route = hops(boards, *sizes)
    with frames_to(boards.addresses[0]) as channel:
        opened, *answers = exchange(channel, [probe_opening(*route), *(request(i) for i in (1, 2, 3))])
    assert list(opened.header.opened.boards) == [name for name, _, _ in route]
    assert [a.header.request_id for a in answers] == [1, 2, 3]
    for answer in answers:
        timings = answer.header.timings
        assert [t.stage_index for t in timings] == list(range(len(sizes)))
        assert [t.sent_bytes for t in timings] == list(sizes)
        assert timings[0].received_bytes < SMALL
        for received, sent in zip(timings[1:], sizes):
            assert sent <= received.received_bytes < sent + 3 * SMALL
        (tensor,) = answer.header.tensors
        assert (tensor.dtype, list(tensor.shape), tensor.codec) == (DType.UINT8, [sizes[-1]], Codec.RAW)
        assert len(answer.payload) == sizes[-1]


def test_processor_time_of_each_service_rises(boards: LocalBoards) -> None:
    with frames_to(boards.addresses[0]) as channel:
        messages = [probe_opening(*hops(boards, 500_000, 500_000)), *(request(i) for i in range(1, 21))]
        _, *answers = exchange(channel, messages)
    for stage_index in range(2):
        spent_ns = [a.header.timings[stage_index].service_cpu_ns for a in answers]
        assert spent_ns == sorted(spent_ns)
        assert 0 < spent_ns[0] < spent_ns[-1]


def test_bytes_do_not_shrink(boards: LocalBoards) -> None:
    with frames_to(boards.addresses[0]) as channel:
        _, answer = exchange(channel, [probe_opening(*hops(boards, 50_000), codec=Codec.SHUFFLE_LZ4), request(1)])
    assert len(lzma.compress(answer.payload)) > 0.99 * 50_000


def test_probe_names_the_board_that_cannot_be_reached(boards: LocalBoards) -> None:
    route = [*hops(boards, 10), ("gone", "127.0.0.1:1", 10)]
    with frames_to(boards.addresses[0]) as channel:
        (answer,) = exchange(channel, [probe_opening(*route)])
    assert (answer.header.error.code, answer.header.error.board) == (Error.PEER_UNAVAILABLE, "gone")


def test_probe_larger_than_a_frame_is_refused_by_the_board_that_would_send_it(boards: LocalBoards) -> None:
    with frames_to(boards.addresses[0]) as channel:
        (answer,) = exchange(channel, [probe_opening(*hops(boards, 10, 2**40))])
    error = answer.header.error
    assert (error.code, error.board) == (Error.BAD_FRAME, "board2")
    assert f"a probe of {2**40} bytes" in error.message


def test_probe_takes_no_codec_that_the_board_has_not(boards: LocalBoards) -> None:
    opening = Frame.FromString(probe_opening(*hops(boards, 10)))
    opening.header.open.codecs[0].codec = 99  # type: ignore[assignment]
    with frames_to(boards.addresses[0]) as channel:
        (answer,) = exchange(channel, [opening.SerializeToString()])
    assert answer.header.error.code == Error.REFUSED


def test_drain_ends_a_probe_with_an_error(store_root: Path) -> None:
    board = LocalBoard("only", store_root)
    messages: queue.Queue[bytes | None] = queue.Queue()
    with frames_to(board.address) as channel:
        call = channel.stream_stream("/boardline.v1.DataPlane/Stream")
        replies: Iterator[bytes] = call(iter(messages.get, None), timeout=TIMEOUT_S)
        messages.put(probe_opening(("only", board.address, 1000)))
        assert Frame.FromString(next(replies)).header.HasField("opened")
        messages.put(request(1))
        assert len(Frame.FromString(next(replies)).payload) == 1000
        board.process.send_signal(signal.SIGTERM)
        (last,) = map(Frame.FromString, replies)
        messages.put(None)
    assert last.header.error.code == Error.REFUSED
    assert "draining" in last.header.error.message
    assert board.stop() == 0


def test_probes_share_the_memory_of_one_frame_and_give_it_back() -> None:
    probes = Probes("pi1", 1000)
    with (
        pytest.raises(BadRequestError, match="frames of board pi1 hold up to 1000"),
        probes.open(Hop(probe_bytes=1001)),
    ):
        pass
    with probes.open(Hop(probe_bytes=600)) as first:
        first.process([], 0)
        with (
            pytest.raises(RefusedError, match="probes of 600 bytes are open on board pi1, 401 more"),
            probes.open(Hop(probe_bytes=401)),
        ):
            pass
        with probes.open(Hop(probe_bytes=400)) as second:
            second.process([], 0)
            assert probes.frames == 2
    assert probes.frames == 2
    with probes.open(Hop(probe_bytes=1000)):
        pass
