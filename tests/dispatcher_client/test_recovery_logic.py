"""What a recovery decides, with chains and boards that do as a test says: at moments that no network would hit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bundle import BundleSplitting
from dispatcher_client import recovery as recovery_module
from dispatcher_client.errors import DispatcherError
from dispatcher_client.incidents import Incident, Incidents
from dispatcher_client.lane import Lane, LaneState
from dispatcher_client.placement import ChainPlacement, StagePlacement
from dispatcher_client.recovery import Recovery, RecoverySettings
from fleet.errors import BoardDefectError, BoardRefusedError, BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from protos.v1.manifest_pb2 import ModelFile, Partition, RuntimeIdentity
from tests.dispatcher_client.fake_chain import FakeChain, post
from tests.transport.message_stream.by_hand import comes_true
from transport.address import Address

MB = 10**6
SOON_S = 5.0
NO_OTHERS: Any = SimpleNamespace(splittings=())  # a bundle, as far as mending looks at it


class Fleet:
    """Boards by name: which answer, what they hold, and what opening a chain through them gives."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.frozen: set[str] = set()  # they take a deployment and do not come to its end
        self.refuses: dict[str, DispatcherError] = {}  # by board: what opening a chain through it raises
        self.free_mb: dict[str, float] = {}
        self.chains: list[FakeChain] = []
        self.deployed: list[tuple[str, int]] = []
        self.deploying = threading.Event()
        self.asked = 0  # how often boards were, all together

    def describe(self, name: str) -> Any:
        return SimpleNamespace(
            memory_available_bytes=self.free_mb.get(name, 1e6) * MB, draining=False, runtime=RuntimeIdentity()
        )

    def make_chain(self, placement: ChainPlacement) -> FakeChain:
        def opens(chain: FakeChain) -> None:
            for stage in placement.stages:
                if stage.board.name in self.silent | self.frozen:
                    raise BoardUnavailableError(stage.board.name, "does not answer.")
                if stage.board.name in self.refuses:
                    raise self.refuses[stage.board.name]

        self.chains.append(FakeChain(placement, opens))
        return self.chains[-1]

    async def deploy_stages(
        self, bundle: object, splitting: object, stages: Sequence[StagePlacement], **how: object
    ) -> list[Any]:
        for stage in stages:
            if stage.board.name in self.silent:
                raise BoardUnavailableError(stage.board.name, "does not answer.")
            if stage.board.name in self.frozen:
                self.deploying.set()
                await asyncio.sleep(60)
            self.deployed.append((stage.board.name, stage.stage_index))
        return [
            SimpleNamespace(
                placement=s, description=self.describe(s.board.name), runtime=self.describe(s.board.name).runtime
            )
            for s in stages
        ]


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet = Fleet()

    class Control:
        def __init__(self, board: Board, **how: object) -> None:
            self.board = board

        async def __aenter__(self) -> Control:
            return self

        async def __aexit__(self, *how: object) -> None:
            pass

        async def describe(self) -> Any:
            fleet.asked += 1
            if self.board.name in fleet.silent:
                raise BoardUnavailableError(self.board.name, "does not answer.")
            return fleet.describe(self.board.name)

    monkeypatch.setattr(recovery_module, "BoardControl", Control)
    monkeypatch.setattr(recovery_module, "deploy_stages", fleet.deploy_stages)
    monkeypatch.setattr(recovery_module, "_TICK_S", 0.02)
    return fleet


def board(name: str, memory_mb: int | None = None) -> Board:
    return Board(name, Address("127.0.0.1", 1), None if memory_mb is None else memory_mb * MB)


def placed(names: str, deployment: str = "d", chain_index: int = 0, memory_mb: int | None = None) -> ChainPlacement:
    splitting = BundleSplitting(0, deployment, tuple(Partition(file=ModelFile(size_bytes=10 * MB)) for _ in names))
    stages = (StagePlacement(chain_index, index, board(name, memory_mb)) for index, name in enumerate(names))
    return ChainPlacement(splitting, tuple(stages))


class Served:
    """A recovery that serves placements, started."""

    def __init__(self, fleet: Fleet, boards: Sequence[Board], *placements: ChainPlacement, **how: Any) -> None:
        self.incidents = Incidents()
        settings = RecoverySettings(credentials=None, open_timeout_s=5, incidents=self.incidents, **how)
        clock = lambda: 8 * time.monotonic()  # noqa: E731 - boards prove themselves in a quarter of a second
        self.recovery = Recovery(NO_OTHERS, boards, fleet.make_chain, settings, clock)  # type: ignore[arg-type]
        self.lanes = self.recovery.serve(placements)
        self.recovery.start()

    def close(self) -> None:
        self.recovery.stop()
        for lane in self.lanes:
            run_in_loop(lane.close())
        self.recovery.join()


Serve = Callable[..., Served]


@pytest.fixture
def serve(fleet: Fleet) -> Iterator[Serve]:
    made: list[Served] = []

    def make(boards: str | Sequence[Board], *placements: ChainPlacement, **how: Any) -> Served:
        named = [board(name) for name in boards] if isinstance(boards, str) else boards
        made.append(Served(fleet, named, *placements, **how))
        return made[-1]

    yield make
    for served in made:
        served.close()
    assert all(chain.closed.is_set() for chain in fleet.chains), "no chain is left open"
    ours = ("boardline-closing", "boardline-resend", "boardline-recovery")
    assert comes_true(lambda: not [t for t in threading.enumerate() if t.name in ours])


def goes_on(lane: Lane, route: str) -> bool:
    return comes_true(lambda: lane.state is LaneState.OPEN and lane.placement.route == route)


def gone(name: str) -> BoardUnavailableError:
    return BoardUnavailableError(name, "is gone.")


def test_spare_takes_over_and_the_board_serves_again_once_it_has_proved_well(fleet: Fleet, serve: Serve) -> None:
    served = serve("abs", placed("ab"))
    (lane,) = served.lanes
    fleet.silent.add("b")
    fleet.chains[0].break_(gone("b"))
    assert goes_on(lane, "a -> s")
    assert fleet.chains[0].closed.wait(SOON_S)
    fleet.silent.clear()
    assert goes_on(lane, "a -> b")
    assert served.incidents.times(Incident.FAILOVER) == 1


def test_chain_that_breaks_before_the_recovery_starts_is_mended(fleet: Fleet, serve: Serve) -> None:
    settings = RecoverySettings(credentials=None, open_timeout_s=5)
    recovery = Recovery(NO_OTHERS, [board("a"), board("s")], fleet.make_chain, settings)  # type: ignore[arg-type]
    (lane,) = recovery.serve([placed("a")])
    request = post(lane, 1)
    fleet.silent.add("a")
    fleet.chains[0].break_(gone("a"))
    recovery.start()
    assert goes_on(lane, "s")
    assert comes_true(lambda: fleet.chains[1].outstanding == [1])
    fleet.chains[1].answer_all()
    assert request.result(SOON_S) == [1]
    recovery.stop()
    run_in_loop(lane.close())
    recovery.join()


def test_chain_that_breaks_as_it_is_taken_up_is_mended_with_its_own_error_and_closed(
    fleet: Fleet, serve: Serve
) -> None:
    served = serve("abst", placed("ab"))

    def broken_at_once(placement: ChainPlacement) -> FakeChain:
        chain = fleet.make_chain(placement)
        if placement.route == "a -> s":
            fleet.silent.add("s")
            chain._opens = lambda chain: setattr(chain, "failure", gone("s"))
        return chain

    served.recovery._make_chain = broken_at_once  # type: ignore[assignment]
    fleet.silent.add("b")
    fleet.chains[0].break_(gone("b"))
    assert goes_on(served.lanes[0], "a -> t")


def test_refusal_that_is_repeated_counts_as_a_failure(fleet: Fleet, serve: Serve) -> None:
    (lane,) = serve("abs", placed("ab")).lanes
    fleet.refuses["b"] = BoardRefusedError("b", "its disk is full.")
    fleet.chains[0].break_(fleet.refuses["b"])
    assert goes_on(lane, "a -> s")
    assert fleet.deployed.count(("b", 1)) == 1, "it was tried once more"
    asked = fleet.asked
    assert comes_true(lambda: fleet.asked >= asked + 5)
    assert len(fleet.chains) <= 4, "and is left alone from then on"


@pytest.mark.parametrize(
    "error", [DispatcherError("a defect"), BoardDefectError("stranger", "a name that only a peer knows")]
)
def test_error_that_names_no_board_is_tried_once_more_and_no_oftener(
    fleet: Fleet, serve: Serve, error: DispatcherError
) -> None:
    (lane,) = serve("ab", placed("ab")).lanes
    request = post(lane, 1)
    fleet.refuses["b"] = error
    fleet.chains[0].break_(error)
    with pytest.raises(type(error)):
        request.result(SOON_S)
    assert comes_true(lambda: lane.failure is error)
    assert len(fleet.chains) <= 4
    fleet.refuses.clear()
    assert goes_on(lane, "a -> b")


def test_only_board_that_answers_at_once_is_tried_again_before_its_proof(fleet: Fleet, serve: Serve) -> None:
    (lane,) = serve("a", placed("a")).lanes
    request = post(lane, 1)
    fleet.chains[0].break_(gone("a"))
    assert goes_on(lane, "a")
    assert comes_true(lambda: fleet.chains[1].outstanding == [1])
    fleet.chains[1].answer_all()
    assert request.result(SOON_S) == [1]


def test_only_board_that_breaks_chain_after_chain_is_tried_every_other_second(fleet: Fleet, serve: Serve) -> None:
    (lane,) = serve("a", placed("a")).lanes
    for times in range(1, 6):
        fleet.chains[-1].break_(gone("a"))
        assert goes_on(lane, "a"), "and not after a proof that takes ever longer"
        assert len(fleet.chains) == times + 1


def test_what_is_sent_right_after_such_a_try_waits_for_the_next(fleet: Fleet, serve: Serve) -> None:
    (lane,) = serve("a", placed("a")).lanes
    fleet.chains[-1].break_(gone("a"))
    assert goes_on(lane, "a")
    request = post(lane, 1)
    fleet.chains[-1].break_(gone("a"))
    assert goes_on(lane, "a")
    assert comes_true(lambda: fleet.chains[-1].outstanding == [1])
    fleet.chains[-1].answer_all()
    assert request.result(SOON_S) == [1]


def test_only_board_that_is_restarted_is_waited_for(fleet: Fleet, serve: Serve) -> None:
    served = serve("a", placed("a"))
    (lane,) = served.lanes
    request = post(lane, 1)
    fleet.silent.add("a")
    fleet.chains[0].break_(gone("a"))
    asked = fleet.asked
    assert comes_true(lambda: fleet.asked >= asked + 5), "and asked again all the while"
    assert (lane.state, request.done()) == (LaneState.MENDING, False)
    fleet.silent.clear()
    assert goes_on(lane, "a")
    assert comes_true(lambda: fleet.chains[-1].outstanding == [1])
    fleet.chains[-1].answer_all()
    assert request.result(SOON_S) == [1]
    assert served.incidents.times(Incident.FAILOVER) == 1


def test_board_that_does_not_come_back_is_waited_for_so_long_and_no_longer(fleet: Fleet, serve: Serve) -> None:
    (lane,) = serve("a", placed("a"), timeout_s=8).lanes  # by its clock: one second
    request = post(lane, 1)
    fleet.silent.add("a")
    began_s = time.monotonic()
    fleet.chains[0].break_(gone("a"))
    with pytest.raises(BoardUnavailableError, match="is gone"):
        request.result(SOON_S)
    assert time.monotonic() - began_s >= 1
    with pytest.raises(BoardUnavailableError, match="is gone"):
        post(lane, 1).result(0.5)
    fleet.silent.clear()
    assert goes_on(lane, "a")


def test_chain_that_waits_for_its_board_holds_up_no_other(fleet: Fleet, serve: Serve) -> None:
    boards = [board("a", 1), board("b", 1), board("s", 15)]  # room for a stage on the spare alone
    waits, mended = serve(boards, placed("a"), placed("b", "e", 1)).lanes
    fleet.silent |= {"a", "s"}
    fleet.chains[0].break_(gone("a"))
    asked = fleet.asked
    assert comes_true(lambda: fleet.asked >= asked + 5)
    fleet.silent = {"a"}
    assert goes_on(waits, "s")
    fleet.chains[1].break_(gone("b"))
    assert goes_on(mended, "b"), "which answers"
    fleet.silent = {"s"}
    fleet.chains[-2].break_(gone("s"))
    assert goes_on(waits, "a")


def test_failed_chain_goes_on_with_whatever_board_comes_back(fleet: Fleet, serve: Serve) -> None:
    (lane,) = serve("abs", placed("ab"), timeout_s=2).lanes
    fleet.silent |= {"a", "b", "s"}
    fleet.chains[0].break_(gone("b"))
    assert comes_true(lambda: lane.state is LaneState.FAILED)
    fleet.silent.remove("s")
    assert goes_on(lane, "s -> s")
    fleet.silent.remove("a")
    assert goes_on(lane, "a -> s")
    fleet.silent.clear()
    assert goes_on(lane, "a -> b")


def test_stop_ends_a_deployment_to_a_board_that_does_not_come_to_its_end(fleet: Fleet, serve: Serve) -> None:
    served = serve("as", placed("a"))
    fleet.frozen.add("s")
    fleet.silent.add("a")
    fleet.chains[0].break_(gone("a"))
    assert fleet.deploying.wait(SOON_S)
    began_s = time.monotonic()
    served.close()
    assert time.monotonic() - began_s < 2


def test_break_does_not_wait_for_a_spare_that_is_being_warmed(fleet: Fleet, serve: Serve) -> None:
    served = serve("abst", placed("ab"))
    (lane,) = served.lanes
    fleet.frozen.add("s")
    warming = threading.Thread(target=served.recovery.warm_spares)
    warming.start()
    assert fleet.deploying.wait(SOON_S)
    fleet.silent.add("b")
    fleet.chains[0].break_(gone("b"))
    warming.join(SOON_S)
    assert not warming.is_alive()
    assert goes_on(lane, "a -> t"), "which holds the stage already"


def test_requests_go_to_the_chain_beside_when_there_is_no_spare(fleet: Fleet, serve: Serve) -> None:
    lane, other = serve("ab", placed("a"), placed("b", "e", 1), timeout_s=2).lanes
    requests = [post(lane, value) for value in range(4)]
    fleet.silent.add("a")
    fleet.chains[0].break_(gone("a"))
    assert comes_true(lambda: len(fleet.chains[1].outstanding) == 4)
    fleet.chains[1].answer_all()
    assert [request.result(SOON_S) for request in requests] == [[0], [1], [2], [3]]
    assert comes_true(lambda: lane.state is LaneState.FAILED)
    assert other.state is LaneState.OPEN
    fleet.silent.clear()
    assert goes_on(lane, "a")


def test_limit_of_memory_counts_what_a_board_holds(fleet: Fleet, serve: Serve) -> None:
    boards = [board("a", 15), board("b", 15), board("c", 25)]
    (lane,) = serve(boards, placed("abc")).lanes
    fleet.silent.add("b")
    fleet.chains[0].break_(gone("b"))
    assert goes_on(lane, "a -> c -> c")


def test_free_memory_of_boards_that_serve_is_known(fleet: Fleet, serve: Serve) -> None:
    fleet.free_mb = {"a": 5, "b": 5, "c": 50}
    served = serve("abc", placed("abc"))
    served.recovery.warm_spares()
    fleet.silent.add("b")
    fleet.chains[0].break_(gone("b"))
    assert goes_on(served.lanes[0], "a -> c -> c")


def test_spare_is_warmed_with_the_heaviest_stages_that_it_has_room_for(fleet: Fleet, serve: Serve) -> None:
    files = [ModelFile(size_bytes=10 * MB, time_s=time_s) for time_s in (1, 3, 2)]
    splitting = BundleSplitting(0, "d", tuple(Partition(file=file) for file in files))
    placement = ChainPlacement(splitting, tuple(StagePlacement(0, i, board(n)) for i, n in enumerate("abc")))
    served = serve([*map(board, "abc"), board("s", 25), board("s", 25)], placement)
    served.recovery.warm_spares()
    assert fleet.deployed == [("s", 1), ("s", 2)]


def test_defect_ends_what_waits(fleet: Fleet, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    (lane,) = serve("as", placed("a")).lanes
    request = post(lane, 1, stays=True)
    monkeypatch.setattr(recovery_module, "best_remedy", lambda *what: 1 // 0)
    fleet.silent.add("a")
    fleet.chains[0].break_(gone("a"))
    with pytest.raises(DispatcherError, match="a defect in the dispatcher"):
        request.result(SOON_S)


def test_break_that_another_chain_has_overtaken_only_closes_the_broken_one(fleet: Fleet, serve: Serve) -> None:
    served = serve("as", placed("a"))
    (lane,) = served.lanes
    overtaken = fleet.make_chain(placed("s"))
    served.recovery._broke(lane, overtaken, gone("s"))  # type: ignore[arg-type]
    assert overtaken.closed.wait(SOON_S)
    in_use: Any = lane.chain
    assert (lane.state, in_use) == (LaneState.OPEN, fleet.chains[0])


def test_spare_that_cannot_be_warmed_is_used_once_it_has_proved_well(fleet: Fleet, serve: Serve) -> None:
    fleet.silent.add("s")
    served = serve("as", placed("a"))
    served.recovery.warm_spares()
    assert not fleet.deployed
    fleet.silent.clear()
    assert comes_true(lambda: fleet.deployed == [("s", 0)])


def test_better_chain_that_cannot_be_opened_costs_its_board_another_proof(fleet: Fleet, serve: Serve) -> None:
    (lane,) = serve("abs", placed("ab")).lanes
    fleet.silent.add("b")
    fleet.chains[0].break_(gone("b"))
    assert goes_on(lane, "a -> s")
    n_chains = len(fleet.chains)
    fleet.refuses["b"] = BoardRefusedError("b", "its disk is full.")
    fleet.silent.clear()
    assert comes_true(lambda: len(fleet.chains) == n_chains + 1)
    asked = fleet.asked
    assert comes_true(lambda: fleet.asked >= asked + 3)
    assert len(fleet.chains) == n_chains + 1
    assert goes_on(lane, "a -> s")
    fleet.refuses.clear()
    assert goes_on(lane, "a -> b")


def test_lane_that_is_closed_while_it_is_mended_takes_no_chain(fleet: Fleet, serve: Serve) -> None:
    (lane,) = serve("as", placed("a")).lanes
    make, closed = fleet.make_chain, threading.Event()
    fleet.silent.add("a")

    def close() -> None:
        run_in_loop(lane.close())
        closed.set()

    lane_closes = threading.Thread(target=close)
    fleet_spare_opens: list[FakeChain] = []

    def closes_meanwhile(placement: ChainPlacement) -> FakeChain:
        chain = make(placement)
        fleet_spare_opens.append(chain)
        lane_closes.start()
        assert comes_true(lambda: lane.state is LaneState.CLOSED)
        return chain

    lane._on_break.__self__._make_chain = closes_meanwhile  # type: ignore[attr-defined]
    fleet.chains[0].break_(gone("a"))
    assert comes_true(lambda: bool(fleet_spare_opens))
    assert fleet_spare_opens[0].closed.wait(SOON_S)
    assert closed.wait(SOON_S)
