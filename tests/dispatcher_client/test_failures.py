"""What the dispatcher does when boards, frames, callbacks or bundles fail: a typed error, never a hang."""

from __future__ import annotations

import queue
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import (
    BitIdentityError,
    Board,
    BoardRefusedError,
    BoardUnavailableError,
    CallbackError,
    ComputeFailedError,
    Dispatcher,
    ReplyTimeoutError,
)
from dispatcher_client.chain import Chain
from dispatcher_client.placement import place_in_order
from dispatcher_client.status import read_status, undeploy_everywhere
from dispatcher_client.values import Answer
from examples.local_boards import LocalBoard, LocalBoards
from fleet.event_loop import run_in_loop
from runtime import load_runtime
from tests.bundles import split_file
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole, with_a_wrong_answer
from tests.freezing import PATIENCE_S, PATIENT, freeze
from tests.node_service.stubs import TIMEOUT_S
from tests.partitioning import sample_models
from tests.transport.message_stream.by_hand import comes_true
from transport.address import Address
from transport.tensor_codec import RAW

MakeBundle = Callable[..., Bundle]


def test_board_that_is_down_is_named(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    places = [*boards.named[:2], Board("pi-in-the-attic", Address("127.0.0.1", 1))]
    chain = Dispatcher(zoo_bundle("mlp", "float32"), places, recovers=False)
    with pytest.raises(BoardUnavailableError, match=r"pi-in-the-attic: 127\.0\.0\.1:1 does not answer") as caught:
        chain.open()
    assert caught.value.board == "pi-in-the-attic"


def test_board_of_another_version_is_named(
    boards: LocalBoards, zoo_bundle: MakeBundle, store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same program, told that it speaks version 99 before anything else is imported.
    site = store_root / "site"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text("import transport.channel\ntransport.channel.PROTOCOL_VERSION = 99\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    other = LocalBoard("from-the-future", store_root / "store")
    monkeypatch.undo()
    try:
        places = [*boards.named[:2], Board("from-the-future", Address.parse(other.address))]
        with pytest.raises(BoardRefusedError, match=r"version 99.*this client 1.*same version"):
            Dispatcher(zoo_bundle("mlp", "float32"), places).open()
    finally:
        other.stop()


def test_board_whose_frames_would_be_too_large_is_refused_before_the_upload(
    store_root: Path, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("unet", "float32", 1)
    with LocalBoards(1, store_root, ["--max-frame-mib", "1"]) as running:
        opened = Dispatcher(bundle, running.named)
        manifest = opened.manifest
        manifest.splittings[0].partitions[0].arriving[0].shape[1] = 2**20
        with pytest.raises(BoardRefusedError, match="--max-frame-mib"):
            opened.open()


def test_killed_board_ends_every_request_with_its_name(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, recovers=False) as chain:
        chain.infer(x)
        middle = running.boards[1].process
        freeze(middle)  # so that requests are surely in flight when it dies
        requests = [chain.submit(x) for _ in range(4)]
        middle.kill()
        for request in requests:
            with pytest.raises(BoardUnavailableError, match="board2") as caught:
                request.result(TIMEOUT_S)
            assert caught.value.board == "board2"
        with pytest.raises(BoardUnavailableError, match="board2"):
            chain.infer(x)


def test_frozen_board_is_a_time_out_not_a_hang(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with (
        LocalBoards(3, store_root, PATIENT) as running,
        Dispatcher(bundle, running.named, silence_s=PATIENCE_S) as chain,
    ):
        process = running.boards[2].process
        freeze(process)
        try:
            with pytest.raises(ReplyTimeoutError, match=r"no answer within 0\.5 s"):
                chain.infer(x, timeout_s=0.5)
        finally:
            process.send_signal(signal.SIGCONT)
        assert named(chain, chain.infer(x)) == run_whole(bundle, x)  # the late answer did not go to this request


CALLS: dict[str, Callable[[Dispatcher, dict[str, np.ndarray]], object]] = {
    "infer": lambda chain, x: chain.infer(x, timeout_s=2.0),
    "submit": lambda chain, x: chain.submit(x, timeout_s=2.0).result(TIMEOUT_S),
    "stream": lambda chain, x: list(chain.stream([x], timeout_s=2.0)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("batch", [1, 4])
def test_one_time_out_holds_for_the_wait_for_room_and_for_the_answer(
    store_root: Path, zoo_bundle: MakeBundle, call: str, batch: int
) -> None:
    """The request before gives up when most of the time is over; the board that has it still takes its place."""
    bundle = zoo_bundle("residual", "int8", 3, batch)
    x = {spec.name: np.zeros((1, *spec.shape[1:]), np.int8) for spec in bundle.manifest.inputs}
    with (
        LocalBoards(3, store_root, PATIENT) as running,
        Dispatcher(bundle, running.named, window=1, silence_s=PATIENCE_S) as chain,
    ):
        process = running.boards[2].process
        freeze(process)
        try:
            began_s = time.monotonic()
            chain.submit(x, timeout_s=1.5, chain_index=0)  # a batch of its own
            with pytest.raises(ReplyTimeoutError, match="no answer within 2 s"):
                CALLS[call](chain, x)
            assert 1.9 < time.monotonic() - began_s < 3.2  # one time-out after the other would be 3.5
        finally:
            process.send_signal(signal.SIGCONT)
        chain.infer(x)


def test_request_that_finds_no_room_in_time_says_so_and_is_not_sent(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with (
        LocalBoards(3, store_root, PATIENT) as running,
        Dispatcher(bundle, running.named, window=1, silence_s=PATIENCE_S) as chain,
    ):
        process = running.boards[2].process
        freeze(process)
        try:
            first = chain.submit(x)
            with pytest.raises(ReplyTimeoutError, match=r"within 0\.2 s because the window stayed full"):
                chain.infer(x, timeout_s=0.2)
        finally:
            process.send_signal(signal.SIGCONT)
        assert named(chain, first.result(TIMEOUT_S)) == run_whole(bundle, x)


@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_board_is_noticed_and_named_long_before_the_time_out(
    store_root: Path, zoo_bundle: MakeBundle, frozen: int
) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with (
        LocalBoards(3, store_root) as running,
        Dispatcher(bundle, running.named, reply_timeout_s=60, recovers=False) as chain,
    ):
        chain.infer(x)
        freeze(running.boards[frozen].process)
        try:
            with pytest.raises(BoardUnavailableError, match=f"board{frozen + 1}"):
                chain.infer(x)
        finally:
            running.boards[frozen].process.send_signal(signal.SIGCONT)


def test_board_that_does_not_open_in_time_is_named_by_the_one_before_it(
    store_root: Path, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("residual", "float32")
    with LocalBoards(3, store_root) as running:
        deployed = Dispatcher(bundle, running.named)
        deployed.open()
        deployed.close()
        freeze(running.boards[2].process)

        async def open_chain() -> None:
            placement = place_in_order(bundle, running.named)
            chain = Chain(placement, [RAW], credentials=OPERATOR, on_reply=lambda report: None)
            try:
                await chain.open(2.0)
            finally:
                await chain.close()

        try:
            with pytest.raises(BoardUnavailableError, match=r"board3: .*did not open its stream"):
                run_in_loop(open_chain())
        finally:
            running.boards[2].process.send_signal(signal.SIGCONT)


def test_callback_that_raises_loses_no_answer(
    boards: LocalBoards, zoo_bundle: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = zoo_bundle("mlp", "float32")
    x = random_inputs(bundle, 0)

    def broken(report: object) -> None:
        raise ZeroDivisionError("a defect of the application")

    with Dispatcher(bundle, boards.named, on_reply=broken) as chain:
        answers = list(chain.stream([x] * 20))
    assert len(answers) == 20
    assert "a defect of the application" in caplog.text


def test_call_that_waits_is_refused_in_a_callback(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "float32")
    x = random_inputs(bundle, 0)
    raised: queue.Queue[BaseException] = queue.Queue()
    with Dispatcher(bundle, boards.named) as chain:

        def call(what: Callable[[], object], done: Future[Answer]) -> None:
            try:
                what()
            except CallbackError as error:
                raised.put(error)

        for what in (lambda: chain.infer(x), lambda: chain.submit(x), chain.open, chain.close):
            chain.submit(x).add_done_callback(partial(call, what))
            assert "called from a callback" in str(raised.get(timeout=TIMEOUT_S))
        chain.infer(x)


def test_errors_of_a_broken_chain_are_instances_of_their_own(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, recovers=False) as chain:
        running.boards[0].process.kill()
        running.boards[0].process.wait(TIMEOUT_S)
        errors = [chain.submit(x).exception(TIMEOUT_S) for _ in range(3)]
    assert len({id(error) for error in errors}) == 3
    assert len({str(error) for error in errors[1:]}) == 1
    assert all(isinstance(error, BoardUnavailableError) and error.board == "board1" for error in errors)


def test_frames_that_timed_out_before_they_were_sent_are_not_sent_later(store_root: Path, tmp_path: Path) -> None:
    # Frames of 4 MB: a few fill what the transport buffers, the rest waits in the dispatcher.
    width, tries = 2**20, 60
    model = tmp_path / "wide.tflite"
    model.write_bytes(sample_models.relu_chain(["a", "b", "c"], width).build())
    bundle = split_file(tmp_path / "bundle", model, parts=2)
    x = np.random.default_rng(0).normal(size=(1, width)).astype(np.float32)
    with (
        LocalBoards(2, store_root, PATIENT) as running,
        Dispatcher(bundle, running.named, window=2, silence_s=PATIENCE_S) as chain,
    ):
        process = running.boards[0].process
        freeze(process)
        try:
            for _ in range(tries):
                with pytest.raises(ReplyTimeoutError):
                    chain.infer(x, timeout_s=0.01)
        finally:
            process.send_signal(signal.SIGCONT)
        assert np.array_equal(np.asarray(chain.infer(x)), np.maximum(x, 0))
        described = run_in_loop(read_status(running.named[:1], credentials=OPERATOR, timeout_s=5))
    computed = sum(stage["frames"] for stage in described[0]["stages"])
    assert computed < tries / 2


def test_decayed_partition_is_uploaded_anew_by_the_next_deployment(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named):
        pass
    (stored,) = (store_root / "board2" / "partitions").glob("*.tflite")
    stored.write_bytes(stored.read_bytes()[:-64] + bytes(64))
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named) as chain:
        assert [s.placement.board.name for s in chain.stages if s.uploaded_bytes] == ["board2"]
        assert named(chain, chain.infer(x)) == run_whole(bundle, x)


def test_draining_board_is_reported_and_nothing_hangs(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, recovers=False) as chain:
        chain.infer(x)
        running.boards[2].process.terminate()
        running.boards[2].process.wait(TIMEOUT_S)
        with pytest.raises((BoardRefusedError, BoardUnavailableError), match="board3"):
            chain.infer(x)


def test_frame_that_a_runtime_refuses_is_an_error_of_that_board_and_the_chain_goes_on(
    boards: LocalBoards, tmp_path: Path
) -> None:
    model = tmp_path / "lookup.tflite"
    model.write_bytes(sample_models.table_lookup().build())
    bundle = split_file(tmp_path / "bundle", model, parts=2)
    with Dispatcher(bundle, boards.named) as chain:
        for index in (2, 99, -1):
            x = np.array([index], np.int32)
            if index == 99:
                with pytest.raises(ComputeFailedError, match="board2: the runtime refused the frame") as caught:
                    chain.infer(x)
                assert caught.value.board == "board2"
            else:
                assert np.asarray(chain.infer(x)).tolist() == [[2.0 * (index + 1), 2.0 * (index + 1) + 1]]


def test_errors_that_overtake_answers_end_their_own_requests_and_streams_keep_their_order(
    store_root: Path, tmp_path: Path
) -> None:
    """A board answers for what it cannot compute at once, while the frame before is still on its way through the others."""
    model = tmp_path / "lookup.tflite"
    model.write_bytes(sample_models.lookup_then_relu().build())
    bundle = split_file(tmp_path / "bundle", model, parts=2)
    places = [np.array([n], np.int32) for n in (1, 99, 2)]
    with (
        LocalBoards(2, store_root, PATIENT) as running,
        Dispatcher(bundle, running.named, codec="raw,lz4", window=4, silence_s=PATIENCE_S) as chain,
    ):
        behind = running.boards[1].process

        def the_error_has_come() -> bool:
            return chain._release.windows.outstanding == (1,)

        freeze(behind)
        try:
            before, failing = (chain.submit(place) for place in places[:2])
            with pytest.raises(ComputeFailedError, match="board1: the runtime refused the frame"):
                failing.result(TIMEOUT_S)
            assert not before.done()
        finally:
            behind.send_signal(signal.SIGCONT)
        assert np.asarray(before.result(TIMEOUT_S)).tolist() == [[2, 3]]

        def source() -> Iterator[np.ndarray]:
            freeze(behind)
            yield from places[:2]
            has_come = comes_true(the_error_has_come)
            behind.send_signal(signal.SIGCONT)
            assert has_come
            yield places[2]

        stream = chain.stream(source())
        assert np.asarray(next(stream)).tolist() == [[2, 3]]
        with pytest.raises(ComputeFailedError, match="board1"):
            next(stream)
        assert np.asarray(chain.infer(places[2])).tolist() == [[4, 5]]
        assert chain._release.windows.outstanding == (0,)


def test_unloaded_stage_refuses_frames_by_name(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, recovers=False) as chain:
        chain.infer(x)
        run_in_loop(undeploy_everywhere(running.named[1:2], [bundle.deployment_id], credentials=OPERATOR, timeout_s=5))
        with pytest.raises(BoardRefusedError, match=r"board2: .*unloaded"):
            chain.infer(x)


def test_sample_that_differs_is_noticed_when_the_chain_opens(
    boards: LocalBoards, zoo_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = with_a_wrong_answer(zoo_bundle("residual", "int8"), tmp_path / "changed")
    with pytest.raises(BitIdentityError, match="differs from the whole model's"):
        Dispatcher(bundle, boards.named).open()
    with Dispatcher(bundle, boards.named, check_sample=False) as chain:
        chain.infer(random_inputs(bundle, 0))


def test_difference_is_only_a_warning_when_no_equal_bits_are_promised(
    boards: LocalBoards, zoo_bundle: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = zoo_bundle("residual", "int8", 2)
    bundle.manifest.measured_on.version = "0.0.1"
    try:
        with Dispatcher(bundle, boards.named) as chain:
            assert not chain.promise.fleet_matches_bundle
            assert chain.promise.fleet_is_uniform
            assert "not promised against the bundle's machine" in chain.promise.text
    finally:
        bundle.manifest.measured_on.version = load_runtime().version
    assert not caplog.records  # the bits are equal all the same
