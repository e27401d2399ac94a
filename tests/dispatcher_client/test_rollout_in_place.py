"""Where boards have no memory for two versions, one takes the other's place while requests wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bundle import Bundle
from dispatcher_client import (
    BitIdentityError,
    Board,
    BoardRefusedError,
    BoardUnavailableError,
    ChainClosedError,
    Dispatcher,
    ReplyTimeoutError,
)
from dispatcher_client.placement import place_in_order
from dispatcher_client.release import Release
from dispatcher_client.rollout import require_room_beside
from examples.local_boards import LocalBoards
from protos.v1.control_plane_pb2 import Description, LoadedStage
from tests.dispatcher_client.load import Load, loaded, refused, under_load
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole, with_a_wrong_answer
from tests.node_service.stubs import TIMEOUT_S
from transport.address import Address

MakeBundle = Callable[..., Bundle]
LOCK = threading.Lock()


@pytest.fixture(scope="module")
def one(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float32")


@pytest.fixture(scope="module")
def two(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float16")


def tight(boards: list[Board], *bundles: Bundle) -> list[Board]:
    """Boards whose memory is enough for one version, not for two."""
    partitions = zip(*(bundle.splittings[0].partitions for bundle in bundles))
    return [replace(b, memory_bytes=max(p.file.size_bytes for p in each)) for b, each in zip(boards, partitions)]


def test_requests_wait_while_versions_change_place_where_memory_is_short(
    store_root: Path, one: Bundle, two: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dispatcher_client.remedies.boundary_bytes", lambda specs: 0)
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
    monkeypatch.setattr("dispatcher_client.remedies.boundary_bytes", lambda specs: 0)
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
    monkeypatch.setattr("dispatcher_client.remedies.boundary_bytes", lambda specs: 0)
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
    monkeypatch.setattr("dispatcher_client.remedies.boundary_bytes", lambda specs: 0)

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
