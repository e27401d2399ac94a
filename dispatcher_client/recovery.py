"""Keeps lanes in service: finds another chain for one that broke, and goes back once the boards have proved well again."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Union

from bundle import Bundle
from dispatcher_client.board_health import HealthBook
from dispatcher_client.chain import Chain
from dispatcher_client.deployment import deploy_stages
from dispatcher_client.errors import DispatcherError
from dispatcher_client.holdings import Holdings
from dispatcher_client.identity import RuntimeComparison
from dispatcher_client.incidents import Incident, Incidents
from dispatcher_client.lane import Lane, LaneState
from dispatcher_client.loop_work import LoopWork, WorkInterrupted
from dispatcher_client.placement import ChainPlacement, StagePlacement
from dispatcher_client.remedies import Room, best_remedy, in_smaller_groups, merit, needed_bytes, weight
from fleet.board_control import BoardControl
from fleet.errors import BoardError, BoardRefusedError, BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from fleet.together import together
from transport.credentials import Credentials

_log = logging.getLogger(__name__)
_TICK_S = 0.25
_ASK_TIMEOUT_S = 1.0
# Spares say when they fail only if they are asked.
_ASK_SPARES_EVERY_S = 2.0
# A board that takes longer for a connection and a message is no help.
_OPEN_TIMEOUT_S = 5.0
# After a better chain could not be opened.
_IMPROVE_AGAIN_S = 2.0
# Between chains of boards that have not proved themselves, where nothing else is left: one that breaks at once costs all that is
# in flight.
_UNPROVED_AGAIN_S = 2.0


@dataclass(frozen=True)
class RecoverySettings:
    """How chains are opened, and how long requests of a broken one wait for a board to come back before they end with the error."""

    credentials: Credentials | None
    open_timeout_s: float
    timeout_s: float = 30.0
    incidents: Incidents = field(default_factory=Incidents)


@dataclass
class _Break:
    lane: Lane
    chain: Chain
    error: DispatcherError
    at_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class _Wait:
    """For a board to come back: none is left to mend a lane with."""

    error: DispatcherError
    until_s: float


@dataclass
class _WarmUp:
    is_over: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Trials:
    """What one mending has tried: each way out once, so that it comes to an end."""

    names: set[str] = field(default_factory=set)  # that errors gave, and were given another try
    unproved: set[str] = field(default_factory=set)  # boards that were tried because there was no other


class Recovery:
    """One thread that mends lanes one after the other, and asks boards that are gone whether they are back.

    What it does beside mending gives way to a break, and everything to a stop. Waiting for a board holds up no other lane.
    """

    def __init__(
        self,
        bundle: Bundle,
        boards: Sequence[Board],
        make_chain: Callable[[ChainPlacement], Chain],
        settings: RecoverySettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: boards: all that may serve; those in no lane are spares, the preferred first."""
        self._bundle = bundle
        self._boards = {board.name: board for board in boards}  # one may be named twice, to hold several partitions
        self._make_chain = make_chain
        self._settings = settings
        self._clock = clock
        self._book = HealthBook(self._boards, clock)
        self._lanes: list[Lane] = []
        self._planned: dict[int, ChainPlacement] = {}  # where each lane belongs, by its place
        self._waits: dict[int, _Wait] = {}  # by the lane's place
        self._holdings = Holdings(boards)
        self._tasks: queue.SimpleQueue[Union[_Break, _WarmUp, None]] = queue.SimpleQueue()
        self._work = LoopWork(is_urgent=lambda: not self._tasks.empty())
        self._spares_asked_s = clock()
        self._improve_at_s = self._unproved_at_s = clock()
        self._closing: list[threading.Thread] = []
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="boardline-recovery", daemon=True)
        self.runtimes = RuntimeComparison()

    def serve(self, placements: Sequence[ChainPlacement]) -> list[Lane]:
        """A lane for each placement; its chain is yet to be opened. Called once."""
        self._lanes = [self._lane(placement) for placement in placements]
        self._planned = dict(enumerate(placements))
        return self._lanes

    def serve_without(self, error: BoardUnavailableError) -> list[Lane]:
        """Lanes around a board that could not be reached when the first ones were opened, which are closed by now; before `start`.

        Raises: BoardUnavailableError: this error, if no other boards can take its stages.
        """
        self._book.failed(error.board, str(error))
        for index, lane in enumerate(self._lanes):
            found = self._best(lane, self._planned[index], self._book.gone)
            if found is None or error.board not in self._boards:
                raise error
            self._lanes[index] = self._lane(found)
        self._holdings.forget(error.board)
        return self._lanes

    def _lane(self, placement: ChainPlacement) -> Lane:
        self._holdings.hold(placement, placement.stages)
        return Lane(self._make_chain(placement), self._broke, self._elsewhere, self._settings.incidents)

    def start(self) -> None:
        """The lanes' chains are open: mends them from now on."""
        self._thread.start()

    def warm_spares(self) -> None:
        """Loads on each spare that answers what it has memory for, the heaviest stages first; to be called after `start`."""
        warm_up = _WarmUp()
        self._tasks.put(warm_up)
        warm_up.is_over.wait()

    def stop(self) -> None:
        """Mends nothing more; what is being asked, deployed or opened is given up."""
        self._is_stopped = True
        self._work.end()
        self._tasks.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def join(self) -> None:
        """Waits until chains that were replaced have answered what they had; stopped."""
        for thread in self._closing:
            thread.join()

    def _broke(self, lane: Lane, chain: Chain, error: DispatcherError) -> None:
        self._tasks.put(_Break(lane, chain, error))
        self._work.hurry()

    def _elsewhere(self, lane: Lane) -> Lane | None:
        return next((other for other in self._lanes if other is not lane and other.state is LaneState.OPEN), None)

    def _run(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=_TICK_S)
            except queue.Empty:
                self._guarded(self._look_after_boards)
                continue
            if task is None:
                return
            if isinstance(task, _Break):
                self._guarded(partial(self._mend, task))
                continue
            self._guarded(self._warm_up)
            task.is_over.set()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except WorkInterrupted:
            pass  # it gave way, and is done again later
        except Exception:  # nobody may wait for ever for a thread that has ended
            _log.exception("a defect in mending chains")
            for lane in self._lanes:
                lane.give_up(DispatcherError("a defect in the dispatcher kept a chain from being mended; see its log."))

    def _mend(self, broken: _Break) -> None:
        self._close_later(broken.chain)
        lane, error = broken.lane, broken.error
        if lane.chain is not broken.chain or lane.state is not LaneState.MENDING:
            return
        place, give_up_s = self._lanes.index(lane), self._clock() + self._settings.timeout_s
        about = self._about(place)
        self._waits.pop(place, None)
        _log.warning("a chain broke: %s", error, extra=about)
        trials = _Trials()
        while lane.state is LaneState.MENDING and not self._is_stopped:
            if not self._note(error, trials):
                self._give_up(place, error)
                return
            placement = self._remedy(lane, trials)
            if placement is None or self._clock() > give_up_s:
                _log.warning("no board is left to mend the chain with; it waits for one to come back", extra=about)
                self._waits[place] = _Wait(error, give_up_s)
                return
            try:
                chain = self._open(placement, gives_way=False)
            except DispatcherError as another:
                error = another
                self._settings.incidents.note(Incident.RETRY)
                continue
            if trials.unproved:
                self._unproved_at_s = self._clock() + _UNPROVED_AGAIN_S
            self._resume(lane, chain)
            took_s = time.monotonic() - broken.at_s
            _log.warning("the chain goes on as %s after %.3f s", placement.route, took_s, extra=about)
            return  # if it has broken already, that is a task of its own

    def _about(self, place: int) -> dict[str, object]:
        return {"chain": place, "deployment": self._lanes[place].placement.splitting.deployment_id}

    def _give_up(self, place: int, error: DispatcherError) -> None:
        self._lanes[place].give_up(error)
        _log.error("nothing is left to mend the chain with: %s", error, extra=self._about(place))

    def _give_up_in_time(self) -> None:
        for place, wait in list(self._waits.items()):
            if self._lanes[place].state is not LaneState.MENDING:
                del self._waits[place]
            elif self._clock() > wait.until_s:
                del self._waits[place]
                self._give_up(place, wait.error)

    def _resume(self, lane: Lane, chain: Chain) -> None:
        if lane.state is not LaneState.OPEN:
            self._settings.incidents.note(Incident.FAILOVER)
        before = lane.resume(chain)
        if before is not None:
            self._close_later(before)
        for other in self._lanes:  # what waits there may go to this one
            other.resend()

    def _note(self, error: DispatcherError, trials: _Trials) -> bool:
        """Takes from an error which board is gone; whether another try may end otherwise."""
        name = error.board if isinstance(error, BoardError) and error.board in self._boards else ""
        is_first = name not in trials.names
        trials.names.add(name)
        if not name:  # a defect here, or a name that only a peer knows
            return is_first
        self._holdings.forget(name)  # it may have restarted
        if not (isinstance(error, BoardRefusedError) and is_first and self._answer([name])[name]):
            self._book.failed(name, str(error))
        return True  # or it has only lost the stage, which is brought again

    def _remedy(self, lane: Lane, trials: _Trials) -> ChainPlacement | None:
        """The chain without boards that are gone; if there is none, with those of them that answer now, each once."""
        planned, gone = self._planned[self._lanes.index(lane)], set(self._book.gone)
        found = self._best(lane, planned, gone)
        if found is not None:
            return found
        if self._clock() < self._unproved_at_s:
            return None
        answers = self._answer([name for name in gone if name not in trials.unproved])
        again = {name for name, answers_now in answers.items() if answers_now}
        for name in again:
            self._book.answered(name)
        trials.unproved |= again
        return self._best(lane, planned, gone - again, again) if again else None

    def _best(
        self, lane: Lane, planned: ChainPlacement, gone: Collection[str], unproved: Collection[str] = ()
    ) -> ChainPlacement | None:
        """As planned, or in smaller groups."""
        spares, left_bytes = self._spares(lane, unproved), self._holdings.left_bytes()
        ways = [planned, *in_smaller_groups(planned, self._bundle.splittings, gone)]
        return best_remedy([(way, Room(spares, left_bytes, self._holdings.of(way))) for way in ways], gone)

    def _answer(self, names: Sequence[str], *, gives_way: bool = False) -> dict[str, bool]:
        """Whether each of these boards answers now that it is ready to serve; all are asked at once."""
        return dict(zip(names, self._work.run(together(map(self._answers, names)), gives_way=gives_way)))

    async def _answers(self, name: str) -> bool:
        try:
            return await self._ask(self._boards[name])
        except BoardError:
            return False

    async def _ask(self, board: Board) -> bool:
        async with BoardControl(board, credentials=self._settings.credentials, timeout_s=_ASK_TIMEOUT_S) as control:
            description = await control.describe()
        self._holdings.heard(board.name, description.memory_available_bytes)
        return not description.draining

    def _open(self, placement: ChainPlacement, *, gives_way: bool) -> Chain:
        missing = self._holdings.missing(placement)
        if missing:
            self._work.run(self._deploy(placement, missing), gives_way=gives_way)
        chain = self._make_chain(placement)
        try:
            self._work.run(chain.open(self._timeout_s), gives_way=gives_way)
        except BaseException:
            run_in_loop(chain.close())
            raise
        return chain

    @property
    def _timeout_s(self) -> float:
        return min(self._settings.open_timeout_s, _OPEN_TIMEOUT_S)

    async def _deploy(self, placement: ChainPlacement, stages: Sequence[StagePlacement]) -> None:
        deployed = await deploy_stages(
            self._bundle, placement.splitting, stages, credentials=self._settings.credentials, timeout_s=self._timeout_s
        )
        for stage in deployed:
            name = stage.placement.board.name
            self._holdings.hold(placement, [stage.placement])
            self._holdings.heard(name, stage.description.memory_available_bytes)
            self.runtimes.compare(name, stage.runtime)

    def _spares(self, lane: Lane | None = None, unproved: Collection[str] = ()) -> list[Board]:
        """Boards that no plan wants, nor a lane that is open; but for this one's own."""
        open_lanes = [other for other in self._lanes if other.state is LaneState.OPEN and other is not lane]
        placements = [*self._planned.values(), *(other.placement for other in open_lanes)]
        used = {stage.board.name for placement in placements for stage in placement.stages}
        usable = (board for name, board in self._boards.items() if self._book.is_well(name) or name in unproved)
        return [board for board in usable if board.name not in used]

    def _warm_up(self) -> None:
        spares = self._spares()
        used = [name for name in self._boards if name not in {board.name for board in spares}]
        self._answer(used, gives_way=True)  # for the memory they have: whether they answer, their streams tell
        self._warm(spares)

    def _warm(self, spares: Sequence[Board]) -> None:
        self._work.run(together(map(self._warm_one, spares)), gives_way=True)

    async def _warm_one(self, board: Board) -> None:
        wanted = [(placement, stage) for placement in self._planned.values() for stage in placement.stages]
        try:
            await self._ask(board)
            for placement, stage in sorted(
                wanted, key=lambda pair: -weight(pair[0].splitting.partitions[pair[1].stage_index])
            ):
                is_held = (board.name, stage.stage_index) in self._holdings.of(placement)
                room_bytes = self._holdings.left_bytes().get(board.name, float("inf"))
                if not is_held and needed_bytes(placement.splitting.partitions[stage.stage_index]) <= room_bytes:
                    await self._deploy(placement, [StagePlacement(stage.chain_index, stage.stage_index, board)])
        except BoardError as error:
            self._book.failed(board.name, str(error))
            _log.warning("a spare cannot be used: %s", error)

    def _look_after_boards(self) -> None:
        self._give_up_in_time()
        due = self._book.gone if self._waits else self._book.due  # whoever waits has them asked more often
        spares: list[Board] = []
        if self._clock() - self._spares_asked_s > _ASK_SPARES_EVERY_S:
            self._spares_asked_s = self._clock()
            spares = self._spares()
        if due:
            self._hear(self._answer(due, gives_way=True))
        for lane, planned in zip(self._lanes, self._planned.values()):
            self._improve(lane, planned)
        self._warm(spares)  # asks them, too

    def _hear(self, answers: dict[str, bool]) -> None:
        for name, answers_now in answers.items():
            if not answers_now:
                self._book.failed(name, f"board {name} does not answer.")
                continue
            self._book.answered(name)
            if self._book.is_well(name):
                _log.warning("board %s has proved well again", name)
                self._holdings.forget(name)

    def _improve(self, lane: Lane, planned: ChainPlacement) -> None:
        """Opens a better chain, now that boards have proved well: the planned one at last, or any where there is none."""
        if lane.state is LaneState.CLOSED or self._clock() < self._improve_at_s:
            return
        better = self._best(lane, planned, self._book.gone)
        if better is None and lane.state is not LaneState.OPEN and self._clock() >= self._unproved_at_s:
            unproved = self._book.proving
            better = self._best(lane, planned, set(self._book.gone) - set(unproved), unproved)
            self._unproved_at_s = self._clock() + _UNPROVED_AGAIN_S
        if better is None or (
            lane.state is LaneState.OPEN and merit(better, planned) <= merit(lane.placement, planned)
        ):
            return
        try:
            chain = self._open(better, gives_way=True)
        except DispatcherError as error:
            self._improve_at_s = self._clock() + _IMPROVE_AGAIN_S
            if isinstance(error, BoardError) and error.board in self._boards:
                self._holdings.forget(error.board)
                self._book.failed(error.board, str(error))
            _log.warning("a better chain, %s, could not be opened: %s", better.route, error)
            return
        _log.warning("the chain goes on as %s%s", better.route, ", as planned" if better == planned else "")
        self._resume(lane, chain)

    def _close_later(self, chain: Chain) -> None:
        """Lets a chain answer what it has, meanwhile."""
        thread = threading.Thread(target=lambda: run_in_loop(chain.close()), name="boardline-closing", daemon=True)
        self._closing = [*(t for t in self._closing if t.is_alive()), thread]
        thread.start()
