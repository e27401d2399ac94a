"""Keeps lanes in service: finds another chain for one that broke, and goes back once the boards have proved well again."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bundle import Bundle
from dispatcher_client.board_health import HealthBook
from dispatcher_client.chain import Chain
from dispatcher_client.deployment import deploy_stages
from dispatcher_client.errors import ChainClosedError, DispatcherError
from dispatcher_client.lane import Lane, LaneState
from dispatcher_client.placement import ChainPlacement, StagePlacement
from dispatcher_client.remedies import Room, find_remedy
from fleet.board_control import BoardControl
from fleet.errors import BoardError, BoardRefusedError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from fleet.together import together

_log = logging.getLogger(__name__)
_TICK_S = 0.25
_ASK_TIMEOUT_S = 1.0
# Spares say when they fail only if they are asked.
_ASK_SPARES_EVERY_S = 2.0
# Stages are loaded by then; a board that takes longer for a connection and a message is no help.
_OPEN_TIMEOUT_S = 5.0
# Of what a board says is free, what partitions may take.
_MEMORY_SHARE = 0.9


@dataclass(frozen=True)
class RecoverySettings:
    """How chains are opened, and how long a broken one may take to mend before its requests end with the error."""

    insecure: bool
    open_timeout_s: float
    timeout_s: float = 30.0


@dataclass
class _Break:
    lane: Lane
    chain: Chain
    error: DispatcherError
    at_s: float = field(default_factory=time.monotonic)


class Recovery:
    """One thread that mends lanes one after the other, and asks boards that are gone whether they are back."""

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
        self._boards = list(boards)
        self._make_chain = make_chain
        self._settings = settings
        self._clock = clock
        self._book = HealthBook((board.name for board in boards), clock)
        self._lanes: list[Lane] = []
        self._planned: dict[int, ChainPlacement] = {}  # where each lane belongs, by its place
        self._held: set[tuple[str, str, int]] = set()  # board, deployment, stage
        self._free_bytes: dict[str, float] = {}
        self._breaks: queue.SimpleQueue[_Break | None] = queue.SimpleQueue()
        self._spares_asked_s = clock()
        self._opening: Chain | None = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="boardline-recovery", daemon=True)
        self.failovers = 0

    def serve(self, placements: Sequence[ChainPlacement]) -> list[Lane]:
        """A lane for each placement; its chain is yet to be opened. Called once."""
        self._lanes = [Lane(self._make_chain(placement), self._broke) for placement in placements]
        self._planned = dict(enumerate(placements))
        self._held = {
            (s.board.name, placement.splitting.deployment_id, s.stage_index)
            for placement in placements
            for s in placement.stages
        }
        return self._lanes

    def start(self) -> None:
        """The lanes' chains are open: mends them from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Mends nothing more; what is being opened is given up."""
        self._is_stopped = True
        self._breaks.put(None)
        opening = self._opening
        if opening is not None:
            run_in_loop(opening.close())
        if self._thread.is_alive():
            self._thread.join()

    async def warm_spares(self) -> None:
        """Loads on each spare what it has memory for, the heaviest stages first. Spares that do not answer are left out."""
        await together(self._warm(board) for board in self._spares())

    def _broke(self, lane: Lane, chain: Chain, error: DispatcherError) -> None:
        self._breaks.put(_Break(lane, chain, error))

    def _run(self) -> None:
        while True:
            try:
                broken = self._breaks.get(timeout=_TICK_S)
            except queue.Empty:
                self._guarded(self._look_after_boards)
                continue
            if broken is None:
                return
            self._guarded(lambda broken=broken: self._mend(broken))  # type: ignore[misc]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # nobody may wait for ever for a thread that has ended
            _log.exception("a defect in mending chains")
            for lane in self._lanes:
                if lane.state is LaneState.MENDING:
                    lane.give_up(
                        DispatcherError("a defect in the dispatcher kept a chain from being mended; see its log.")
                    )

    def _mend(self, broken: _Break) -> None:
        lane, error = broken.lane, broken.error
        if lane.chain is not broken.chain or lane.state is not LaneState.MENDING:
            return
        _log.warning("a chain broke: %s", error)
        self._close_later(broken.chain)
        for other in self._lanes:
            if other.state is LaneState.OPEN:
                lane.hand_over(other)
                break
        give_up_s = self._clock() + self._settings.timeout_s
        while lane.state is LaneState.MENDING and not self._is_stopped:
            self._note(error)
            placement = find_remedy(self._planned[self._lanes.index(lane)], self._book.gone, self._room(lane))
            if placement is None or self._clock() > give_up_s:
                lane.give_up(error)
                _log.error("nothing is left to mend the chain with: %s", error)
                return
            try:
                chain = self._open(placement)
            except DispatcherError as another:
                error = another
                continue
            unused = lane.resume(chain)
            self.failovers += 1
            if unused is not None:
                self._close_later(unused)
            _log.warning("the chain goes on as %s after %.3f s", placement.route, self._clock() - broken.at_s)

    def _note(self, error: DispatcherError) -> None:
        if not isinstance(error, BoardError):
            return
        self._held = {held for held in self._held if held[0] != error.board}  # it may have restarted
        if isinstance(error, BoardRefusedError) and self._answers(error.board):
            return  # it lost the stage, which is brought again
        self._book.failed(error.board, str(error))

    def _answers(self, name: str) -> bool:
        """Whether it answers that it is ready to serve."""
        board = next((board for board in self._boards if board.name == name), None)
        if board is None:
            return False
        try:
            return run_in_loop(self._ask(board))
        except BoardError:
            return False

    async def _ask(self, board: Board) -> bool:
        async with BoardControl(board, insecure=self._settings.insecure, timeout_s=_ASK_TIMEOUT_S) as control:
            description = await control.describe()
        self._free_bytes[board.name] = _MEMORY_SHARE * description.memory_available_bytes
        return not description.draining

    def _open(self, placement: ChainPlacement) -> Chain:
        deployment_id = placement.splitting.deployment_id
        missing = [s for s in placement.stages if (s.board.name, deployment_id, s.stage_index) not in self._held]
        if missing:
            run_in_loop(self._deploy(placement, missing))
        chain = self._opening = self._make_chain(placement)
        try:
            if self._is_stopped:
                raise ChainClosedError("the chain was closed.")
            run_in_loop(chain.open(min(self._settings.open_timeout_s, _OPEN_TIMEOUT_S)))
        except BaseException:
            run_in_loop(chain.close())
            raise
        finally:
            self._opening = None
        return chain

    async def _deploy(self, placement: ChainPlacement, stages: Sequence[StagePlacement]) -> None:
        settings = self._settings
        await deploy_stages(
            self._bundle, placement.splitting, stages, insecure=settings.insecure, timeout_s=settings.open_timeout_s
        )
        deployment_id = placement.splitting.deployment_id
        self._held |= {(s.board.name, deployment_id, s.stage_index) for s in stages}

    def _room(self, lane: Lane) -> Room:
        deployment_id = lane.placement.splitting.deployment_id
        held = {(board, stage) for board, deployment, stage in self._held if deployment == deployment_id}
        return Room(self._spares(), self._memory_bytes(), held)

    def _memory_bytes(self) -> dict[str, float]:
        limits = {board.name: float(board.memory_bytes) for board in self._boards if board.memory_bytes is not None}
        return {**self._free_bytes, **limits}

    def _spares(self) -> list[Board]:
        used = {s.board.name for lane in self._lanes for s in lane.placement.stages if lane.state is LaneState.OPEN}
        used |= {s.board.name for placement in self._planned.values() for s in placement.stages}
        return [board for board in self._boards if board.name not in used and self._book.is_well(board.name)]

    async def _warm(self, board: Board) -> None:
        try:
            await self._ask(board)
            room = self._memory_bytes().get(board.name, float("inf"))
            for placement in self._planned.values():
                for stage in placement.stages:
                    size = placement.splitting.partitions[stage.stage_index].file.size_bytes
                    key = (board.name, placement.splitting.deployment_id, stage.stage_index)
                    if key in self._held or size > room:
                        continue
                    await self._deploy(placement, [StagePlacement(stage.chain_index, stage.stage_index, board)])
                    room -= size
        except BoardError as error:
            self._book.failed(board.name, str(error))
            _log.warning("a spare cannot be used: %s", error)

    def _look_after_boards(self) -> None:
        due = self._book.due
        if self._clock() - self._spares_asked_s > _ASK_SPARES_EVERY_S:
            self._spares_asked_s = self._clock()
            due += [board.name for board in self._spares()]
        for name in due:
            was_well = self._book.is_well(name)
            if self._answers(name):
                self._book.answered(name)
                if not was_well and self._book.is_well(name):
                    _log.warning("board %s has proved well again", name)
                    self._held = {held for held in self._held if held[0] != name}
            else:
                self._book.failed(name, f"board {name} does not answer.")
        for index, lane in enumerate(self._lanes):
            self._go_back(lane, self._planned[index])
        if due:
            run_in_loop(self.warm_spares())

    def _go_back(self, lane: Lane, planned: ChainPlacement) -> None:
        """To the boards that the plan wants, once all of them are well."""
        is_elsewhere = lane.placement.stages != planned.stages or lane.state is LaneState.FAILED
        if not is_elsewhere or lane.state is LaneState.MENDING:
            return
        if not all(self._book.is_well(s.board.name) for s in planned.stages):
            return
        try:
            chain = self._open(planned)
        except DispatcherError as error:
            self._note(error)
            return
        before = lane.resume(chain)
        _log.warning("the chain goes on as %s, as planned", planned.route)
        if before is not None:
            self._close_later(before)

    def _close_later(self, chain: Chain) -> None:
        """Lets a chain answer what it has, meanwhile."""
        threading.Thread(target=lambda: run_in_loop(chain.close()), name="boardline-closing", daemon=True).start()
