"""Frames through real boards at a steady rate; and every way in which a stream can fail is a typed error, in time."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import accumulate
from pathlib import Path

import grpc.aio
import numpy as np
import pytest

from examples.local_boards import LocalBoards
from fleet.errors import BoardRefusedError, BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from planner.errors import ProbeError
from planner.exchange import ExchangeBudget, SteadyState, _half_width_share, exchange
from protos.v1.data_plane_pb2 import Header, Hop, OpenStream
from tests.credentials import OPERATOR
from tests.freezing import freeze
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM
from transport.credentials import Credentials
from transport.frame import pack_frame
from transport.tensor_codec import encode_tensor

BUDGET = ExchangeBudget(seconds=5.0, frames=10, timeout_s=5.0)
Behave = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[None]]


def run(board: Board, budget: ExchangeBudget = BUDGET, opening: OpenStream | None = None) -> SteadyState:
    """Small frames through one board, two of them in flight."""
    hops = [Hop(board=board.name, address=str(board.address))]
    opening = opening or OpenStream(probe=True)
    opening.hops.extend(hops)
    payload = [encode_tensor(np.zeros(100, np.uint8))]
    return run_in_loop(exchange([board], opening, payload, 2, credentials=OPERATOR, budget=budget))


@asynccontextmanager
async def peer(behave: Behave) -> AsyncIterator[Board]:
    """A server that is no board: it treats the messages of a data-plane stream as it likes."""

    async def serve(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        async for message in messages:
            await behave(message, context)
            return

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            return grpc.stream_stream_rpc_method_handler(serve) if details.method == DATA_PLANE_STREAM else None

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Board("stranger", Address("127.0.0.1", port - 1))  # frames go to the port after it
    finally:
        await server.stop(None)


async def with_peer(behave: Behave) -> SteadyState:
    async with peer(behave) as board:
        return await exchange([board], OpenStream(probe=True), [], 1, credentials=None, budget=BUDGET)


def test_frames_are_counted_once_the_transfer_is_steady(boards: LocalBoards) -> None:
    found = run(boards.named[0], ExchangeBudget(seconds=5.0, frames=43))
    assert found.frames == 43 - 1 - 10  # a quarter warms up; between n replies lie n - 1 frames
    assert 0 < found.frame_s < 1
    assert len(found.cpu_s) == 1
    assert 0 < found.cpu_s[0] < 1
    assert 0 < found.own_cpu_s < 1
    assert 0 < found.half_width_share < 10


def test_time_ends_the_transfer_and_leaves_enough_to_count(boards: LocalBoards) -> None:
    found = run(boards.named[0], ExchangeBudget(seconds=0.0, frames=10**6))
    assert found.frames == 1
    assert found.half_width_share == math.inf


@pytest.mark.parametrize(
    ("between_s", "expected"),
    [
        ([1.0, 1.0, 1.0], math.inf),  # too few to tell
        ([2.0] * 4, 0.0),
        ([1.0, 3.0] * 20, 0.089),  # five in a batch: means of 1.8 and 2.2
        ([0.0, 0.0, 0.0, 4.0] * 16, 0.0),  # bursts as long as the window are steady
        ([1.0, 1.0, 3.0, 3.0], 3.18 * 2 / math.sqrt(3) / 2 / 2),
        ([9.0] + [1.0] * 16, 0.0),  # what fills no batch is left out at the beginning
        ([0.0] * 8, math.inf),
    ],
)
def test_interval_is_that_of_batches_of_replies(between_s: list[float], expected: float) -> None:
    at_s = list(accumulate(between_s, initial=100.0))
    assert _half_width_share(at_s) == pytest.approx(expected, abs=1e-3)


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    n_covered = 0
    for _ in range(400):
        at_s = np.cumsum(rng.gamma(2.0, 0.5, size=rng.integers(5, 60)))
        mean_s = (at_s[-1] - at_s[0]) / (len(at_s) - 1)
        n_covered += abs(mean_s - 1) <= _half_width_share(at_s.tolist()) * mean_s
    assert n_covered > 0.9 * 400


def test_transfer_of_too_few_frames_is_refused(boards: LocalBoards) -> None:
    with pytest.raises(ProbeError, match="too few replies while dispatcher -> board1 was measured: 4"):
        run(boards.named[0], ExchangeBudget(seconds=5.0, frames=4))


def test_boards_own_refusal_is_raised_as_such(boards: LocalBoards) -> None:
    with pytest.raises(BoardRefusedError, match=r"board1: .*nothing-of-that-name"):
        run(boards.named[0], opening=OpenStream(deployment_id="nothing-of-that-name"))


def test_board_that_falls_silent_is_given_up_and_named(store_root: Path) -> None:
    with LocalBoards(1, store_root) as running:
        freeze(running.boards[0].process)
        with pytest.raises(
            BoardUnavailableError, match=r"board1: 127\S+ did not finish the TLS handshake within 0\.5 s"
        ):
            run(running.named[0], ExchangeBudget(timeout_s=0.5))
        running.boards[0].process.send_signal(signal.SIGCONT)


def test_board_that_breaks_the_stream_is_named() -> None:
    async def abort(message: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "out of order")

    with pytest.raises(BoardUnavailableError, match=r"stranger: 127\S* broke the stream while .*out of order"):
        run_in_loop(with_peer(abort))


def test_board_that_ends_the_stream_is_named() -> None:
    async def end(message: bytes, context: grpc.aio.ServicerContext) -> None:
        pass

    with pytest.raises(BoardUnavailableError, match="stranger: ended the stream while it was measured"):
        run_in_loop(with_peer(end))


def test_peer_that_does_not_open_the_stream_is_named() -> None:
    async def answer(message: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.write(pack_frame(Header(request_id=1)))

    with pytest.raises(ProbeError, match="board stranger answered the opening of a stream with something else"):
        run_in_loop(with_peer(answer))


@contextmanager
def silent_board(*, accepts: bool) -> Iterator[Board]:
    """One whose system takes connections and that says nothing; or that has no room for connections any more."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, ExitStack() as others:
        place = listening.getsockname()
        for _ in range(
            0 if accepts else 2
        ):  # one is queued; of the next the system drops what comes, as a firewall does
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(place)
        yield Board("silent", Address("127.0.0.1", place[1] - 1))


def connections_to(address: Address) -> int:
    """Sockets of this machine that are connected to that port, or connecting."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[2].rpartition(":")[2], 16) == address.port and row[3] in ("01", "02") for row in rows)


@pytest.mark.parametrize("credentials", [None, OPERATOR], ids=["plaintext", "tls"])
@pytest.mark.parametrize("accepts", [False, True])
def test_exchange_that_is_interrupted_while_it_opens_leaves_no_connection(
    accepts: bool, credentials: Credentials | None
) -> None:
    async def interrupt(board: Board) -> None:
        opening = OpenStream(probe=True, hops=[Hop(board=board.name, address=str(board.address))])
        budget = ExchangeBudget(timeout_s=60)
        task = asyncio.ensure_future(exchange([board], opening, [], 1, credentials=credentials, budget=budget))
        await asyncio.wait([task], timeout=0.3)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()

    with silent_board(accepts=accepts) as board:
        before = connections_to(board.address.data_plane)
        run_in_loop(interrupt(board))
        assert connections_to(board.address.data_plane) == before


def test_exchange_that_is_interrupted_when_hands_were_shaken_closes_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is over before the thread is, which then has nobody to give a sound connection to."""
    socks: list[socket.socket] = []
    interrupted = threading.Event()

    def shake(sock: socket.socket, *_: object) -> None:
        socks.append(sock)
        assert interrupted.wait(10)

    monkeypatch.setattr("planner.exchange.connect_securely", shake)

    async def interrupt(board: Board) -> None:
        task = asyncio.ensure_future(exchange([board], OpenStream(probe=True), [], 1, credentials=None, budget=BUDGET))
        while not socks:
            await asyncio.sleep(0.01)
        task.cancel()
        asyncio.get_running_loop().call_later(0.05, interrupted.set)
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()

    with silent_board(accepts=True) as board:
        run_in_loop(interrupt(board))
    assert [sock.fileno() for sock in socks] == [-1]


def test_board_that_takes_no_connection_is_given_up_in_time() -> None:
    words = r"silent: 127\S* cannot be reached: no connection within 0\.3 s"
    with silent_board(accepts=False) as board, pytest.raises(BoardUnavailableError, match=words):
        run(board, ExchangeBudget(timeout_s=0.3))


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", r"Connection refused\."),
        ("localhost", r"Connection refused\."),
        ("nowhere.invalid", ""),  # in the resolver's words
        ("a" * 70, ""),  # longer than a name may be
    ],
)
def test_board_that_is_not_there_is_named(host: str, why: str) -> None:
    board = Board("absent", Address(host, 1))
    opening = OpenStream(probe=True, hops=[Hop(board=board.name, address=str(board.address))])
    with pytest.raises(BoardUnavailableError, match=rf"absent: {host}:2 cannot be reached: {why}"):
        run_in_loop(exchange([board], opening, [], 1, credentials=None, budget=BUDGET))


def test_large_frames_fill_the_window(boards: LocalBoards) -> None:
    """Sending them waits for what only receiving brings."""
    board = boards.named[0]
    opening = OpenStream(probe=True, hops=[Hop(board=board.name, address=str(board.address), probe_bytes=10**6)])
    payload = [encode_tensor(np.zeros(10**6, np.uint8))]
    budget = ExchangeBudget(seconds=5.0, frames=20, timeout_s=10.0)
    found = run_in_loop(exchange([board], opening, payload, 4, credentials=OPERATOR, budget=budget))
    assert found.frames == 20 - 1 - 5
