"""Another version of the model takes the place of the one that serves: no request fails, and what fails is the new one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from bundle.errors import BundleError
from dispatcher_client import (
    BitIdentityError,
    BoardError,
    BoardRefusedError,
    CallbackError,
    ChainClosedError,
    Dispatcher,
    ReplyReport,
    VersionMisfitError,
)
from dispatcher_client.rollout import require_fit
from dispatcher_client.status import drain_board
from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from tests.credentials import OPERATOR
from tests.dispatcher_client.load import Load, loaded, refused, under_load
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole, single, with_a_wrong_answer
from tests.node_service.stubs import TIMEOUT_S

MakeBundle = Callable[..., Bundle]
LOCK = threading.Lock()


@pytest.fixture(scope="module")
def one(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float32")


@pytest.fixture(scope="module")
def two(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float16")


def test_versions_take_turns_under_load_and_no_request_fails(store_root: Path, one: Bundle, two: Bundle) -> None:
    with LocalBoards(3, store_root) as running:

        def go_back_and_forth(chain: Dispatcher, load: Load) -> list[Bundle]:
            for version in (two, one, two):
                chain.deploy(version)
                assert chain.deployment_ids == (version.deployment_id,)
                assert loaded(running.named) == [{version.deployment_id}] * 3
                load.wait_for(20)
            return [two, one, two]

        load = under_load(one, running.named, [one, two], go_back_and_forth)
        assert set(load.by_version) == {one.deployment_id, two.deployment_id}


def test_version_whose_sample_is_wrong_is_rolled_back(
    store_root: Path, one: Bundle, two: Bundle, tmp_path: Path
) -> None:
    wrong = with_a_wrong_answer(two, tmp_path / "wrong")
    with LocalBoards(3, store_root) as running:

        def fail(chain: Dispatcher, load: Load) -> list[Bundle]:
            refused(chain, wrong, BitIdentityError, "differs from the whole model's")
            assert loaded(running.named) == [{one.deployment_id}] * 3
            return [two]

        load = under_load(one, running.named, [one, two], fail)
        assert set(load.by_version) == {one.deployment_id}


def test_roll_back_leaves_loaded_what_was_loaded_before(
    store_root: Path, one: Bundle, two: Bundle, tmp_path: Path
) -> None:
    wrong = with_a_wrong_answer(two, tmp_path / "wrong")
    with LocalBoards(3, store_root) as running:
        with Dispatcher(two, running.named):
            pass
        with Dispatcher(one, running.named) as chain:
            refused(chain, wrong, BitIdentityError, "differs")
            assert loaded(running.named) == [{one.deployment_id, two.deployment_id}] * 3


def test_version_is_not_unloaded_while_another_application_uses_it(
    store_root: Path, one: Bundle, two: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher_client.rollout._STREAMS_END_WITHIN_S", 0.2)
    with LocalBoards(3, store_root) as running, Dispatcher(one, running.named) as other:
        with Dispatcher(one, running.named) as chain:
            chain.deploy(two)
            assert loaded(running.named) == [{one.deployment_id, two.deployment_id}] * 3
        other.infer(random_inputs(one, 0))
        other.deploy(two)
        assert loaded(running.named) == [{two.deployment_id}] * 3


@pytest.mark.parametrize("index", [0, 1])
def test_board_that_dies_while_deploying_costs_the_new_version_only(
    store_root: Path, one: Bundle, two: Bundle, index: int
) -> None:
    with LocalBoards(4, store_root) as running:
        inventory = Inventory(tuple(running.named), spares=("board4",))
        answers = run_whole(one, random_inputs(one, 0))
        died = threading.Event()

        def die(board: str, *_: int) -> None:
            if armed and board == f"board{index + 1}":
                running.boards[index].process.kill()
                died.set()

        armed: list[bool] = []
        with Dispatcher(one, inventory, on_upload=die) as chain:
            armed.append(True)
            stream = chain.stream(itertools.repeat(random_inputs(one, 0), 400))
            seen = [named(chain, next(stream)) for _ in range(20)]
            failure: list[BaseException] = []

            def deploy() -> None:
                try:
                    chain.deploy(two)
                except BaseException as error:
                    failure.append(error)

            thread = threading.Thread(target=deploy)
            thread.start()
            seen += [named(chain, answer) for answer in stream]
            thread.join(TIMEOUT_S)
            assert died.is_set()
            assert [type(error) for error in failure if isinstance(error, BoardError)] != []
            assert seen == [answers] * 400
            assert named(chain, chain.infer(random_inputs(one, 0))) == answers
            left = [board for board in running.named if board.name != f"board{index + 1}"]
            assert all(two.deployment_id not in names for names in loaded(left))


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        ("residual", "int8", r"input image: int8 .* expected image: float32"),
        ("two_inputs", "float32", r"it has 2 inputs, expected 1"),
        ("mlp", "float32", r"input image: .*8, 8, 3\], expected"),
    ],
)
def test_version_with_other_inputs_or_outputs_is_refused(
    boards: LocalBoards, one: Bundle, zoo_bundle: MakeBundle, name: str, mode: str, words: str
) -> None:
    other = zoo_bundle(name, mode)
    with Dispatcher(one, boards.named) as chain:
        refused(chain, other, VersionMisfitError, words)
        chain.infer(random_inputs(one, 0))


def test_version_for_another_batch_is_refused(zoo_bundle: MakeBundle) -> None:
    batched = zoo_bundle("residual", "int8", 3, 4)
    with pytest.raises(VersionMisfitError, match="batch of 4, expected 1"):
        require_fit(zoo_bundle("residual", "int8").manifest, batched.manifest)


def test_other_scales_are_told(zoo_bundle: MakeBundle, caplog: pytest.LogCaptureFixture) -> None:
    serving = zoo_bundle("residual", "int8").manifest
    new = type(serving)()
    new.CopyFrom(serving)
    new.outputs[0].quantization.scale *= 2
    require_fit(serving, new)
    assert "other scales: probabilities" in caplog.text


def test_closed_dispatcher_deploys_nothing(boards: LocalBoards, one: Bundle, two: Bundle) -> None:
    with pytest.raises(ChainClosedError, match="not open"):
        Dispatcher(one, boards.named).deploy(two)
    with Dispatcher(one, boards.named) as chain:
        refused(chain, "no-such-bundle", BundleError, "no-such-bundle")  # type: ignore[arg-type]


def test_two_chains_take_over_from_one_and_streams_get_their_window(
    store_root: Path, two_chains: Bundle, zoo_bundle: MakeBundle
) -> None:
    single = zoo_bundle("residual", "int8", 1)
    x = random_inputs(single, 0)
    answer = run_whole(single, x)
    with LocalBoards(3, store_root) as running, Dispatcher(single, running.named, window=1) as chain:
        stream = chain.stream(itertools.repeat(x, 60))
        seen = [named(chain, next(stream)) for _ in range(10)]
        chain.deploy(two_chains)
        assert chain.window == 2
        assert [named(chain, a) for a in stream] == [answer] * 50
        assert seen == [answer] * 10
        names = set(chain.deployment_ids)
        assert len(names) == 2 or single.deployment_id in names
        chain.deploy(single)
        assert named(chain, chain.infer(x)) == answer


def test_batches_that_are_being_gathered_go_to_the_version_that_they_came_for(
    store_root: Path, zoo_bundle: MakeBundle
) -> None:
    older, newer = zoo_bundle("residual", "float32", 2, 4), zoo_bundle("residual", "float16", 2, 4)
    (sample,) = older.load_sample()[0].values()
    with LocalBoards(2, store_root) as running:
        with Dispatcher(older, running.named, batch_wait_ms=60_000) as chain:
            waiting = chain.submit(sample[:1])
            chain.deploy(newer)
            assert waiting.done()
            later = chain.submit(sample[:1])
            chain.close()
        with Dispatcher(older, running.named) as chain:
            assert np.array_equal(single(waiting.result(0)), single(chain.infer(sample[:1])))
        with Dispatcher(newer, running.named) as chain:
            assert np.array_equal(single(later.result(0)), single(chain.infer(sample[:1])))
        assert not np.array_equal(single(waiting.result(0)), single(later.result(0)))


def test_board_that_is_gone_and_not_needed_does_not_keep_a_version_from_serving(
    store_root: Path, one: Bundle, zoo_bundle: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    whole = zoo_bundle("residual", "float16", 1)
    with LocalBoards(3, store_root) as running, Dispatcher(one, running.named) as chain:
        running.boards[2].process.kill()
        running.boards[2].process.wait(TIMEOUT_S)
        chain.deploy(whole)
        assert chain.route == "board1"
        assert "an old version may still be loaded: board board3" in caplog.text
        assert named(chain, chain.infer(random_inputs(one, 0))) == run_whole(whole, random_inputs(one, 0))
        assert not any(one.deployment_id in names for names in loaded(running.named[:2]))


def test_version_cannot_be_deployed_on_a_board_that_is_out_of_service(
    store_root: Path, one: Bundle, two: Bundle
) -> None:
    x = random_inputs(one, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(one, running.named) as chain:
        run_in_loop(drain_board(running.named[1], undo=False, credentials=OPERATOR, timeout_s=5))
        assert named(chain, chain.infer(x)) == run_whole(one, x)
        with pytest.raises(BoardRefusedError, match=r"board2: is draining, .* drain board2 --undo"):
            chain.deploy(two)
        assert named(chain, chain.infer(x)) == run_whole(one, x)
        run_in_loop(drain_board(running.named[1], undo=True, credentials=OPERATOR, timeout_s=5))
        chain.deploy(two)
        assert named(chain, chain.infer(x)) == run_whole(two, x)


def test_deploy_is_refused_in_a_callback(boards: LocalBoards, one: Bundle, two: Bundle) -> None:
    errors: list[BaseException] = []

    def hear(report: ReplyReport) -> None:
        try:
            chain.deploy(two)
        except BaseException as error:
            errors.append(error)

    chain = Dispatcher(one, boards.named, on_reply=hear, check_sample=False)
    with chain:
        chain.infer(random_inputs(one, 0))
    assert [type(error) for error in errors] == [CallbackError]
