"""The dispatcher against real node services in real processes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import (
    ChainClosedError,
    Dispatcher,
    InputError,
    OptionError,
    PlacementError,
)
from dispatcher_client.bench import ReplyLog
from dispatcher_client.status import read_status
from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.node_service.stubs import TIMEOUT_S
from tests.transport.message_stream.by_hand import comes_true

MakeBundle = Callable[..., Bundle]
# Every way that tensors cross: residual sums, long skips, three outputs, two inputs, inner state, hybrid kernels.
MODELS = [
    ("residual", "float32"),
    ("residual", "int8"),
    ("unet", "float32"),
    ("yolo_neck", "int8"),
    ("two_inputs", "float16"),
    ("lstm", "int8"),
    ("attention", "dynamic"),
]


@pytest.mark.parametrize(("name", "mode"), MODELS)
@pytest.mark.parametrize("codec", ["raw", "shuffle-lz4"])
def test_chain_gives_the_whole_models_bytes(
    boards: LocalBoards, zoo_bundle: MakeBundle, name: str, mode: str, codec: str
) -> None:
    bundle = zoo_bundle(name, mode)
    inputs = [random_inputs(bundle, seed) for seed in range(8)]
    with Dispatcher(bundle, boards.named, codec=codec) as chain:
        assert chain.promise.fleet_matches_bundle
        answers = [named(chain, answer) for answer in chain.stream(inputs)]
    expected = [run_whole(bundle, x) for x in inputs]
    assert answers == expected
    assert len({tuple(a.values()) for a in answers}) > 1  # different inputs have different answers


def test_one_board_may_hold_several_partitions(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8")
    first, second, _ = boards.named
    inputs = random_inputs(bundle, 3)
    with Dispatcher(bundle, [first, second, first]) as chain:
        assert named(chain, chain.infer(inputs)) == run_whole(bundle, inputs)


def test_chain_opens_again_and_uploads_nothing_then(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("chain", "int8")
    uploads: list[str] = []
    for expected in (3, 0):
        uploads.clear()
        with Dispatcher(bundle, boards.named, on_upload=lambda board, sent, total: uploads.append(board)) as chain:
            assert len({s.placement.board.name for s in chain.stages if s.uploaded_bytes}) == expected
        assert len(set(uploads)) == expected


def test_closed_chain_says_so_and_closes_twice(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "float32")
    chain = Dispatcher(bundle, boards.named)
    x = random_inputs(bundle, 0)
    with pytest.raises(ChainClosedError, match="not open"):
        chain.infer(x)
    with pytest.raises(ChainClosedError):
        _ = chain.promise
    chain.open()
    chain.open()
    assert "open" in repr(chain)
    chain.infer(x)
    chain.close()
    chain.close()
    assert "closed" in repr(chain)
    with pytest.raises(ChainClosedError):
        chain.submit(x)


def test_real_numbers_are_quantised_by_default(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "int8")
    spec, out = bundle.manifest.inputs[0], bundle.manifest.outputs[0]
    generator = np.random.default_rng(1)
    x = generator.integers(-128, 128, spec.shape, dtype=np.int8)
    real = (x.astype(np.float32) - spec.quantization.zero_point) * np.float32(spec.quantization.scale)
    with Dispatcher(bundle, boards.named) as chain:
        integers, reals = chain.infer(x), chain.infer(real)
    assert isinstance(integers, np.ndarray)
    assert isinstance(reals, np.ndarray)
    assert integers.dtype == np.int8
    assert reals.dtype == np.float32
    expected = (integers.astype(np.float32) - out.quantization.zero_point) * np.float32(out.quantization.scale)
    assert reals.tobytes() == expected.tobytes()


def test_wrong_input_is_refused_and_the_chain_goes_on(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("two_inputs", "float32")
    x = random_inputs(bundle, 0)
    with Dispatcher(bundle, boards.named) as chain:
        with pytest.raises(InputError, match="missing"):
            chain.infer({next(iter(x)): next(iter(x.values()))})
        chain.infer(x)


def test_stream_is_lazy_on_both_sides_and_bounded(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "float32")
    x = random_inputs(bundle, 0)
    taken = 0
    window = 3

    def source() -> Iterator[dict[str, np.ndarray]]:
        nonlocal taken
        while True:
            taken += 1
            yield x

    with Dispatcher(bundle, boards.named, window=window) as chain:
        stream = chain.stream(source())
        assert taken == 0
        for read in range(1, 20):
            next(stream)
            assert taken <= read + window
        stream.close()


def test_stream_gives_answers_while_its_source_waits(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "float32")
    x = random_inputs(bundle, 0)
    go_on = threading.Event()

    def camera() -> Iterator[dict[str, np.ndarray]]:
        yield x
        assert go_on.wait(TIMEOUT_S)
        yield x

    with Dispatcher(bundle, boards.named) as chain:
        stream = chain.stream(camera())
        next(stream)  # would wait for ever if the next frame had to come first
        go_on.set()
        assert len(list(stream)) == 1


def test_stream_raises_what_its_source_raises(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "float32")
    x = random_inputs(bundle, 0)

    def broken() -> Iterator[dict[str, np.ndarray]]:
        yield x
        raise OSError("the camera was unplugged")

    with Dispatcher(bundle, boards.named) as chain:
        stream = chain.stream(broken())
        next(stream)
        with pytest.raises(OSError, match="unplugged"):
            next(stream)
        chain.infer(x)


def test_submitted_requests_overlap_and_each_gets_its_own_answer(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "float32")
    inputs = [random_inputs(bundle, seed) for seed in range(12)]
    expected = [run_whole(bundle, x) for x in inputs]
    with Dispatcher(bundle, boards.named) as chain:
        answers: dict[int, dict[str, bytes]] = {}

        def work(index: int) -> None:
            answers[index] = named(chain, chain.submit(inputs[index]).result(TIMEOUT_S))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
    assert [answers[i] for i in range(len(inputs))] == expected


def test_every_reply_reports_its_stages(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    log = ReplyLog()
    bundle = zoo_bundle("mlp", "float32")
    with Dispatcher(bundle, boards.named, on_reply=log, check_sample=False) as chain:
        list(chain.stream(itertools.repeat(random_inputs(bundle, 0), 5)))
    assert [r.request_id for r in log.reports] == [1, 2, 3, 4, 5]
    for report in log.reports:
        assert [t.stage_index for t in report.timings] == [0, 1, 2]
        assert sum(t.compute_ns for t in report.timings) / 1e9 < report.latency_s


def test_fewer_boards_than_partitions_are_refused(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    with pytest.raises(PlacementError, match="3 partitions and there are 2 boards"):
        Dispatcher(zoo_bundle("mlp", "float32"), boards.named[:2])


def test_concurrent_opening_leaves_one_stream_and_closing_none(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("mlp", "float32")
    with LocalBoards(3, store_root) as running:
        chain = Dispatcher(bundle, running.named)

        def streams() -> list[int]:
            rows = run_in_loop(read_status(running.named, credentials=OPERATOR, timeout_s=5))
            return [stage["streams"] for row in rows for stage in row["stages"]]

        threads = [threading.Thread(target=chain.open) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        assert streams() == [1, 1, 1]
        chain.close()
        assert comes_true(lambda: streams() == [0, 0, 0])  # a board says that all is answered before it has let go


@pytest.mark.parametrize("window", [0, -1])
def test_window_without_room_is_refused(boards: LocalBoards, zoo_bundle: MakeBundle, window: int) -> None:
    with pytest.raises(OptionError, match="expected 1 or more"):
        Dispatcher(zoo_bundle("mlp", "float32"), boards.named, window=window)


def test_window_adapts_within_its_bounds_and_answers_stay_in_order(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8")
    inputs = [random_inputs(bundle, seed) for seed in range(8)]
    log = ReplyLog()
    windows = set()
    answers = []
    with Dispatcher(bundle, boards.named, on_reply=log, check_sample=False) as chain:
        assert chain.window == 4  # one frame more than stages
        for answer in chain.stream(inputs[i % 8] for i in range(400)):
            answers.append(named(chain, answer))
            windows.add(chain.window)
    expected = [run_whole(bundle, x) for x in inputs]
    assert answers == [expected[i % 8] for i in range(400)]
    assert windows <= set(range(1, 17))
    assert len(log.reports) == 400


def test_given_window_stays_as_it_is(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8")
    with Dispatcher(bundle, boards.named, window=7) as chain:
        for _ in chain.stream([random_inputs(bundle, 1)] * 100):
            assert chain.window == 7
