"""Another version of the model takes the place of the one that serves: no request fails, and what fails is the new one."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from bundle.errors import BundleError
from dispatcher_client import (
    BitIdentityError,
    Board,
    BoardError,
    BoardRefusedError,
    BoardUnavailableError,
    CallbackError,
    ChainClosedError,
    Dispatcher,
    ReplyReport,
    ReplyTimeoutError,
    VersionMisfitError,
)
from dispatcher_client.placement import place_in_order
from dispatcher_client.release import Release
from dispatcher_client.rollout import require_fit, require_room_beside
from dispatcher_client.status import drain_board, read_status
from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from protos.v1.control_plane_pb2 import Description, LoadedStage
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole, with_a_wrong_answer
from tests.node_service.stubs import TIMEOUT_S
from tests.transport.message_stream.by_hand import comes_true
from transport.address import Address

MakeBundle = Callable[..., Bundle]
LOCK = threading.Lock()


@pytest.fixture(scope="module")
def one(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float32")


@pytest.fixture(scope="module")
def two(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float16")


class Load:
    """Requests from several threads and a stream, at full load, each answer compared with the whole models'."""

    def __init__(self, chain: Dispatcher, versions: list[Bundle], n_threads: int = 2) -> None:
        self._chain = chain
        self._inputs = [random_inputs(versions[0], seed) for seed in range(3)]
        answers = [[run_whole(b, x) for x in self._inputs] for b in versions]
        assert all(len({str(a[i]) for a in answers}) == len(versions) for i in range(3)), "the answer tells the version"
        self._versions = [
            {str(a[i]): b.deployment_id for a, b in zip(answers, versions)} for i in range(len(self._inputs))
        ]
        self._stop = threading.Event()
        self.errors: list[BaseException] = []
        self.answered: list[Counter[str]] = []  # by version, for each thread
        self.reported: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, args=(self._submit,)) for _ in range(n_threads)]
        self._threads.append(threading.Thread(target=self._run, args=(self._stream,)))

    def hear(self, report: ReplyReport) -> None:
        with LOCK:
            self.reported[report.deployment_id] += 1

    @property
    def by_version(self) -> Counter[str]:
        return sum(self.answered, Counter())

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def wait_for(self, n_more: int) -> None:
        """Goes on once so many more requests were answered."""
        wanted = sum(self.by_version.values()) + n_more
        assert comes_true(lambda: sum(self.by_version.values()) >= wanted or bool(self.errors))

    def _run(self, answers: Callable[[], Iterator[object]]) -> None:
        mine: Counter[str] = Counter()
        self.answered.append(mine)
        try:
            for index, answer in enumerate(answers()):
                mine[self._versions[index % 3][str(named(self._chain, answer))]] += 1
        except BaseException as error:
            self.errors.append(error)

    def _source(self) -> Iterator[dict[str, np.ndarray]]:
        for x in itertools.cycle(self._inputs):
            if self._stop.is_set():
                return
            yield x

    def _submit(self) -> Iterator[object]:
        for x in self._source():
            yield self._chain.submit(x).result(TIMEOUT_S)

    def _stream(self) -> Iterator[object]:
        yield from self._chain.stream(self._source())


def loaded(boards: list[Board]) -> list[set[str]]:
    rows = run_in_loop(read_status(boards, insecure=False, timeout_s=5))
    return [{stage["deployment_id"] for stage in row["stages"]} for row in rows]


def under_load(
    bundle: Bundle, boards: list[Board], versions: list[Bundle], work: Callable[[Dispatcher, Load], list[Bundle]]
) -> Load:
    """Args: work: gives the versions whose samples were answered meanwhile."""
    heard: list[Load] = []
    with Dispatcher(bundle, boards, on_reply=lambda report: heard[0].hear(report) if heard else None) as chain:
        heard.append(Load(chain, versions))
        with heard[0] as load:
            load.wait_for(20)
            samples = Counter(version.deployment_id for version in work(chain, load))
            load.wait_for(20)
    assert load.errors == []
    assert all(load.answered)
    assert load.reported == load.by_version + samples, "each report names the version whose answer came"
    return load


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


def refused(chain: Dispatcher, version: Bundle, kind: type[BaseException], words: str) -> None:
    before = chain.deployment_ids, chain.route
    with pytest.raises(kind, match=words):
        chain.deploy(version)
    assert (chain.deployment_ids, chain.route) == before


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
            assert np.array_equal(waiting.result(0), chain.infer(sample[:1]))
        with Dispatcher(newer, running.named) as chain:
            assert np.array_equal(later.result(0), chain.infer(sample[:1]))
        assert not np.array_equal(waiting.result(0), later.result(0))


def tight(boards: list[Board], *bundles: Bundle) -> list[Board]:
    """Boards whose memory is enough for one version, not for two."""
    partitions = zip(*(bundle.splittings[0].partitions for bundle in bundles))
    return [replace(b, memory_bytes=max(p.file.size_bytes for p in each)) for b, each in zip(boards, partitions)]


def test_requests_wait_while_versions_change_place_where_memory_is_short(
    store_root: Path, one: Bundle, two: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dispatcher_client.rollout.boundary_bytes", lambda specs: 0)
    wrong = with_a_wrong_answer(two, tmp_path / "wrong")
    with LocalBoards(3, store_root) as running:
        boards = tight(running.named, one, two)

        def change(chain: Dispatcher, load: Load) -> list[Bundle]:
            refused(chain, wrong, BitIdentityError, "differs")
            assert loaded(running.named) == [{one.deployment_id}] * 3
            load.wait_for(20)
            for version in (two, one):
                chain.deploy(version)
                assert loaded(running.named) == [{version.deployment_id}] * 3
                load.wait_for(20)
            return [two, one, two, one]

        load = under_load(one, boards, [one, two], change)
        assert set(load.by_version) == {one.deployment_id, two.deployment_id}


def test_deadline_holds_while_versions_change_place(
    store_root: Path, one: Bundle, two: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher_client.rollout.boundary_bytes", lambda specs: 0)
    entered, go_on = threading.Event(), threading.Event()
    opened = Release.open

    def slow(self: Release, on_upload: Callable[[str, int, int], None], **how: bool) -> None:
        entered.set()
        assert go_on.wait(TIMEOUT_S)
        opened(self, on_upload, **how)

    with LocalBoards(3, store_root) as running, Dispatcher(one, tight(running.named, one, two)) as chain:
        monkeypatch.setattr(Release, "open", slow)
        thread = threading.Thread(target=chain.deploy, args=(two,))
        thread.start()
        assert entered.wait(TIMEOUT_S)
        with pytest.raises(ReplyTimeoutError, match=r"within 0\.2 s while a version of the model took"):
            chain.infer(random_inputs(one, 0), timeout_s=0.2)
        go_on.set()
        thread.join(TIMEOUT_S)
        assert named(chain, chain.infer(random_inputs(one, 0))) == run_whole(two, random_inputs(one, 0))


def test_version_that_no_board_has_memory_for_is_refused(store_root: Path, one: Bundle, two: Bundle) -> None:
    with (
        LocalBoards(3, store_root) as running,
        Dispatcher(two, [replace(b, memory_bytes=1000) for b in running.named]) as chain,
    ):
        refused(chain, one, BoardRefusedError, "MiB are free without the version that serves")
        chain.infer(random_inputs(one, 0))


def test_version_is_refused_where_memory_is_short_and_others_use_the_one_that_serves(
    store_root: Path, one: Bundle, two: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher_client.rollout.boundary_bytes", lambda specs: 0)
    monkeypatch.setattr("dispatcher_client.rollout._STREAMS_END_WITHIN_S", 0.2)
    with LocalBoards(3, store_root) as running, Dispatcher(one, running.named) as other:
        with Dispatcher(one, tight(running.named, one, two)) as chain:
            refused(chain, two, BoardRefusedError, "no memory for two versions, and other applications use")
            chain.infer(random_inputs(one, 0))
        other.infer(random_inputs(one, 0))
        assert loaded(running.named) == [{one.deployment_id}] * 3


def test_dispatcher_is_closed_when_neither_version_can_be_opened_and_opens_again(
    store_root: Path, one: Bundle, two: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher_client.rollout.boundary_bytes", lambda specs: 0)

    def fail(self: Release, on_upload: object, **how: bool) -> None:
        raise BoardUnavailableError("board1", f"no power for {self.deployment_ids}")

    with LocalBoards(3, store_root) as running, Dispatcher(one, tight(running.named, one, two)) as chain:
        with monkeypatch.context() as patched:
            patched.setattr(Release, "open", fail)
            with pytest.raises(BoardUnavailableError, match=two.deployment_id):
                chain.deploy(two)
        with pytest.raises(ChainClosedError, match="not open"):
            chain.infer(random_inputs(one, 0))
        chain.open()
        chain.infer(random_inputs(one, 0))
        assert chain.deployment_ids == (one.deployment_id,)


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
        run_in_loop(drain_board(running.named[1], undo=False, insecure=False, timeout_s=5))
        assert named(chain, chain.infer(x)) == run_whole(one, x)
        with pytest.raises(BoardRefusedError, match=r"board2: is draining, .* drain board2 --undo"):
            chain.deploy(two)
        assert named(chain, chain.infer(x)) == run_whole(one, x)
        run_in_loop(drain_board(running.named[1], undo=True, insecure=False, timeout_s=5))
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


def test_room_beside_is_what_a_board_has_without_what_it_holds(one: Bundle) -> None:
    board = Board("pi1", Address("127.0.0.1", 1), memory_bytes=10_000_000)
    placement = place_in_order(one, [board] * 3)
    other = LoadedStage(deployment_id="other", stage_index=0, partition_bytes=9_990_000)
    held = Description(memory_available_bytes=10**9, stages=[other])
    require_room_beside([placement], {})  # a board that does not answer: opening says so
    require_room_beside([placement], {"pi1": Description(memory_available_bytes=10**9)})
    with pytest.raises(BoardRefusedError, match=r"has 0\.0 MiB for partitions beside those that it holds"):
        require_room_beside([placement], {"pi1": held})
    own = [LoadedStage(deployment_id=one.deployment_id, stage_index=i, partition_bytes=1) for i in range(3)]
    require_room_beside([placement], {"pi1": Description(memory_available_bytes=0, stages=own)})
