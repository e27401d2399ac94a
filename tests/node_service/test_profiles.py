"""Profiles made by a real node service with the real runtime, asked for as a client asks."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from bundle import Bundle
from examples.local_boards import LocalBoard
from fleet.board_control import BoardControl
from fleet.errors import BoardRefusedError, BoardUnavailableError
from fleet.inventory import Board
from protos.v1 import control_plane_pb2 as control
from protos.v1.tensor_pb2 import DType
from tests.bundles import zoo_file
from tests.credentials import OPERATOR
from tests.node_service.model_files import crashing_model, failing_model
from tests.node_service.stubs import (
    TIMEOUT_S,
    channel_to,
    control_stub,
    exchange,
    frames_to,
    load_request,
    opening,
    put,
    serve_stage,
)
from tests.node_service.test_data_plane import frame
from transport.address import Address
from transport.tensor_codec import CODECS, available_codecs
from transport.tensor_spec import numpy_dtype

MakeBundle = Callable[..., Bundle]
_T = TypeVar("_T")
MEASURE_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBoard]:
    running = LocalBoard("board", tmp_path_factory.mktemp("store"), ["--threads", "1"])
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def small() -> bytes:
    return zoo_file("residual", "int8").read_bytes()


def with_control(board: LocalBoard, call: Callable[[BoardControl], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        address = Board(board.name, Address.parse(board.address))
        async with BoardControl(address, credentials=OPERATOR, timeout_s=TIMEOUT_S) as connected:
            return await call(connected)

    return asyncio.run(run())


def header(data: bytes, threads: int = 0, **fields: Any) -> control.ProfileHeader:
    key = control.ProfileKey(sha256=hashlib.sha256(data).hexdigest(), threads=threads)
    # A wide interval: what is tested is not how quiet this machine is.
    return control.ProfileHeader(**{"key": key, "size_bytes": len(data), "confidence": 0.9, "budget_s": 0.5, **fields})


def profile(
    board: LocalBoard, data: bytes, threads: int = 0, timeout_s: float = MEASURE_TIMEOUT_S, **fields: Any
) -> control.Profile:
    return with_control(board, lambda c: c.profile(header(data, threads, **fields), data, timeout_s))


_TRIES = 40


def clean_profile(board: LocalBoard, data: bytes, threads: int = 0) -> control.Profile:
    """A profile without a flag; on a machine that runs other tests at the same time it may take some tries."""
    made = profile(board, data, threads)
    if any(flag.startswith(("hot", "throttled")) for flag in made.flags):
        pytest.skip(f"this machine: {'; '.join(made.flags)}")
    for _ in range(_TRIES):
        if not made.flags:
            break
        made = profile(board, data, threads)
    assert list(made.flags) == []
    return made


def find(board: LocalBoard, *keys: control.ProfileKey) -> list[control.Profile]:
    return with_control(board, lambda c: c.find_profiles(keys))


def workers(board: LocalBoard) -> list[str]:
    """The processes that the service has started."""
    tasks = Path(f"/proc/{board.process.pid}/task").iterdir()
    return [pid for task in tasks for pid in (task / "children").read_text().split()]


def test_profile_is_made_kept_and_found(board: LocalBoard, small: bytes) -> None:
    made = clean_profile(board, small)
    assert made.key == control.ProfileKey(sha256=hashlib.sha256(small).hexdigest(), threads=1, delegate="none")
    assert made.board == "board"
    assert made.runtime.runtime == "ai-edge-litert"
    assert made.runs >= 5
    assert made.run_s > 0
    assert made.resident_bytes >= len(small) // 2
    absent = control.ProfileKey(sha256="0" * 64)
    asked = control.ProfileKey(sha256=made.key.sha256)
    assert find(board, absent, asked, made.key) == [made, made]


def test_refused_while_the_file_still_comes_is_told_why(board: LocalBoard) -> None:
    long = bytes(8 * 2**20)

    async def ask_often(control: BoardControl) -> None:
        for _ in range(50):
            with pytest.raises(BoardRefusedError, match="a budget of 9999 s"):
                await control.profile(header(long, budget_s=9999), long, TIMEOUT_S)

    with_control(board, ask_often)


def test_profiles_of_different_threads_are_different(board: LocalBoard, small: bytes) -> None:
    two = clean_profile(board, small, threads=2)
    assert two.key.threads == 2
    assert find(board, two.key) == [two]


def test_profile_made_again_takes_the_place_of_the_first(board: LocalBoard, small: bytes) -> None:
    clean_profile(board, small)
    again = clean_profile(board, small)
    assert find(board, again.key) == [again]


def test_profiles_survive_a_restart_under_the_same_name_only(store_root: Path, small: bytes) -> None:
    first = LocalBoard("board", store_root, ["--threads", "1"])
    made = clean_profile(first, small)
    first.process.kill()
    first.stop()
    for name, expected in (("board", [made]), ("other", []), ("board", [made])):
        restarted = LocalBoard(name, store_root, ["--threads", "1"])
        assert find(restarted, made.key) == expected
        assert restarted.stop() == 0


def test_noisy_profile_is_returned_and_not_kept(board: LocalBoard) -> None:
    data = zoo_file("mlp", "float32").read_bytes()
    made = profile(board, data, confidence=1e-9, budget_s=0.3)
    assert [flag for flag in made.flags if flag.startswith("noisy")]
    assert find(board, made.key) == []


def test_profile_is_flagged_when_the_board_serves_meanwhile(board: LocalBoard, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8", 1)
    serve_stage(board.address, bundle, 0)
    (x,) = bundle.load_sample()[0].values()
    data = zoo_file("unet", "float32").read_bytes()
    with channel_to(board.address) as channel, frames_to(board.address) as frames_channel:
        stub = control_stub(channel)
        parts = [control.ProfileRequest(header=header(data, confidence=1e-9, budget_s=2.0))]
        parts.append(control.ProfileRequest(chunk=data))
        measuring = stub.Profile.future(iter(parts), timeout=MEASURE_TIMEOUT_S)
        frames = 0
        while not measuring.done():
            exchange(frames_channel, [opening(bundle.deployment_id, ("board", board.address, 0)), frame(1, x)])
            frames += 1
        flags = list(measuring.result().profile.flags)
        stub.UnloadDeployment(control.UnloadDeploymentRequest(deployment_id=bundle.deployment_id), timeout=TIMEOUT_S)
    (busy,) = [flag for flag in flags if "computed meanwhile" in flag]
    assert 0 < int(busy.split()[1]) <= frames


def test_service_survives_a_model_that_crashes_the_runtime(board: LocalBoard, small: bytes) -> None:
    with pytest.raises(BoardRefusedError, match="crashed with SIG"):
        profile(board, crashing_model())
    assert board.process.poll() is None
    assert profile(board, small).runs


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"\x1c\x00\x00\x00TFL3" + bytes(100), "refuses the model"), (failing_model(), "refused the frame")],
)
def test_model_that_the_runtime_refuses_is_refused(board: LocalBoard, data: bytes, words: str) -> None:
    with pytest.raises(BoardRefusedError, match=words):
        profile(board, data)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], "must be its header"),
        ([control.ProfileRequest(chunk=b"x")], "must be its header"),
        ([control.ProfileRequest(header=control.ProfileHeader(budget_s=-1))], "a budget of -1 s"),
    ],
)
def test_call_that_does_not_follow_the_protocol_is_refused(
    board: LocalBoard, parts: list[control.ProfileRequest], words: str
) -> None:
    with channel_to(board.address) as channel, pytest.raises(grpc.RpcError) as caught:
        control_stub(channel).Profile(iter(parts), timeout=TIMEOUT_S)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert words in caught.value.details()


def test_measurement_ends_when_the_client_gives_up(board: LocalBoard, small: bytes) -> None:
    profile(board, small)
    (before,) = workers(board)
    with pytest.raises(BoardUnavailableError, match="did not answer within"):
        profile(board, small, timeout_s=1.0, confidence=1e-9, budget_s=600.0)
    assert profile(board, small).runs  # waits until the one before has ended
    (after,) = workers(board)
    assert after != before


def test_measurement_ends_when_the_client_cancels(board: LocalBoard, small: bytes) -> None:
    async def cancel(connected: BoardControl) -> None:
        wanted = header(small, confidence=1e-9, budget_s=600.0)
        measuring = asyncio.ensure_future(connected.profile(wanted, small, MEASURE_TIMEOUT_S))
        while not workers(board):
            await asyncio.sleep(0.01)
        measuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measuring

    with_control(board, cancel)
    assert profile(board, small).runs


def test_measurements_take_turns(board: LocalBoard, small: bytes) -> None:
    async def both(connected: BoardControl) -> list[control.Profile]:
        wanted = header(small)
        return await asyncio.gather(*(connected.profile(wanted, small, MEASURE_TIMEOUT_S) for _ in range(3)))

    assert all(made.runs for made in with_control(board, both))
    assert len(workers(board)) == 1


def test_drain_ends_a_measurement_and_leaves_no_process_behind(store_root: Path, small: bytes) -> None:
    board = LocalBoard("board", store_root, ["--threads", "1", "--drain-timeout-s", "1000"])

    async def drain(connected: BoardControl) -> None:
        wanted = header(small, confidence=1e-9, budget_s=600.0)
        measuring = asyncio.ensure_future(connected.profile(wanted, small, MEASURE_TIMEOUT_S))
        while not workers(board):
            await asyncio.sleep(0.01)
        board.process.send_signal(signal.SIGTERM)
        with pytest.raises(BoardUnavailableError, match="draining"):
            await measuring

    with_control(board, drain)
    assert board.stop() == 0
    assert list((store_root / "partitions").iterdir()) == []


def test_idle_worker_goes_when_the_service_is_killed(store_root: Path, small: bytes) -> None:
    board = LocalBoard("board", store_root, ["--threads", "1"])
    profile(board, small)
    (worker,) = workers(board)
    board.process.kill()
    board.stop()
    deadline_s = time.monotonic() + 60
    while is_running(worker) and time.monotonic() < deadline_s:
        os.sched_yield()  # it has been told by the end of its input, and needs a processor to go
    assert not is_running(worker)


def is_running(pid: str) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_codecs_are_measured(board: LocalBoard) -> None:
    speeds = with_control(board, lambda c: c.measure_codecs(0.5))
    assert {(s.codec, s.dtype) for s in speeds} == {
        (codec, dtype)
        for codec in available_codecs()
        for dtype in (DType.FLOAT32, DType.INT8)
        if CODECS[codec].holds(numpy_dtype(dtype))
    }


@pytest.mark.parametrize("budget_s", [0.0, -1.0, 61.0])
def test_codecs_are_not_measured_without_a_sensible_budget(board: LocalBoard, budget_s: float) -> None:
    with pytest.raises(BoardRefusedError, match=f"a budget of {budget_s:g} s"):
        with_control(board, lambda c: c.measure_codecs(budget_s))


def test_description_tells_what_the_service_can_have(board: LocalBoard) -> None:
    described = with_control(board, lambda c: c.describe())
    assert 0 < described.usable_cores <= described.cores
    assert described.runtime.delegate == ""


def test_threads_of_a_stage_are_remembered(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8", 1)
    request = load_request(bundle, 0)
    board = LocalBoard("board", store_root, ["--threads", "1"])
    with channel_to(board.address) as channel:
        stub = control_stub(channel)
        file = request.partition.file
        put(stub, file.sha256, bundle.file_path(file).read_bytes())
        request.threads = 1000
        with pytest.raises(grpc.RpcError, match="1000 threads"):
            stub.LoadStage(request, timeout=TIMEOUT_S)
        request.threads = 2
        stub.LoadStage(request, timeout=TIMEOUT_S)
    assert board.stop() == 0
    (saved,) = (store_root / "stages").iterdir()
    assert '"threads": 2' in saved.read_text()
    board = LocalBoard("board", store_root, ["--threads", "1"])
    with channel_to(board.address) as channel:
        described = control_stub(channel).Describe(control.DescribeRequest(), timeout=TIMEOUT_S)
    assert [s.deployment_id for s in described.stages] == [bundle.deployment_id]
    assert board.stop() == 0
