"""Goes over from one version of a model to another while requests come, or back to the one that served."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from dispatcher_client import remedies
from dispatcher_client.deployment import OnUpload, store
from dispatcher_client.entrance import Entrance
from dispatcher_client.errors import VersionMisfitError
from dispatcher_client.holdings import MEMORY_SHARE
from dispatcher_client.placement import ChainPlacement
from dispatcher_client.release import Release
from dispatcher_client.rollout_states import ENDS, REQUESTS_WAIT, TRANSITIONS, RolloutEvent, RolloutState
from dispatcher_client.service import ServiceSettings
from dispatcher_client.values import choose_taps, public_name
from fleet.board_control import BoardControl
from fleet.errors import BoardError, BoardRefusedError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from protos.v1.control_plane_pb2 import Description
from protos.v1.manifest_pb2 import Manifest
from protos.v1.tensor_pb2 import TensorSpec
from transport.credentials import Credentials
from transport.tensor_spec import describe

_log = logging.getLogger(__name__)
_ASK_TIMEOUT_S = 5.0
# Boards hear a moment after the dispatcher that a stream has ended.
_STREAMS_END_WITHIN_S, _LOOK_AGAIN_S = 3.0, 0.05
_MIB = 2**20


def require_fit(serving: Manifest, new: Manifest, taps: Sequence[str] = ()) -> None:
    """Raises VersionMisfitError unless what an application passes to the one may be passed to the other.

    Scales of quantised tensors may differ, as they do after every training: real numbers are quantised with the scale of the
    version that they go to.
    Args: taps: those that the application asked for, which both versions have.
    """
    problems = [
        *_differences("input", serving.inputs, new.inputs),
        *_differences("output", serving.outputs, new.outputs),
        *_differences("tap", choose_taps(serving, taps), choose_taps(new, taps)),
    ]
    if (serving.batch or 1) != (new.batch or 1):
        problems.append(f"it was split for a batch of {new.batch or 1}, expected {serving.batch or 1}")
    if problems:
        raise VersionMisfitError(
            f"{new.model_name} cannot take the place of the version that serves, which goes on: {'; '.join(problems)}. "
            "Open a dispatcher of its own for it."
        )
    pairs = [*zip(serving.inputs, new.inputs), *zip(serving.outputs, new.outputs)]
    rescaled = [public_name(new) for old, new in pairs if old.quantization != new.quantization]
    if rescaled:
        _log.warning("the new version has other scales: %s; who passes integers must use them", ", ".join(rescaled))


def _differences(what: str, serving: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> list[str]:
    if len(serving) != len(new):
        return [f"it has {len(new)} {what}s, expected {len(serving)}"]
    return [
        f"{what} {describe(came)}, expected {describe(expected)}"
        for expected, came in zip(serving, new)
        if (_form(came), public_name(came)) != (_form(expected), public_name(expected))
    ]


def _form(spec: TensorSpec) -> tuple[int, tuple[int, ...], bool]:
    return spec.dtype, tuple(spec.shape), spec.HasField("quantization")


class Rollout:
    """One change from `old`, which serves, to `new`, which is not open yet. Runs once, by the table of `rollout_states.py`."""

    def __init__(
        self,
        old: Release,
        new: Release,
        boards: Sequence[Board],
        settings: ServiceSettings,
        entrance: Entrance[Release],
        switch: Callable[[Release], None],
        on_upload: OnUpload,
    ) -> None:
        """Args: boards: all that may hold either. switch: has requests go to this one from now on."""
        self._old, self._new = old, new
        self._boards = {board.address: board for board in boards}.values()
        self._settings = settings
        self._entrance = entrance
        self._switch = switch
        self._on_upload = on_upload
        self._before: dict[str, Description] = {}
        self._short: list[Board] = []  # of memory for both versions
        self._error: BaseException | None = None  # the first
        self.state = RolloutState.ASKING
        self._works: dict[RolloutState, Callable[[], RolloutEvent]] = {
            RolloutState.ASKING: self._ask,
            RolloutState.OPENING: self._go_over,
            RolloutState.RETIRING: self._retire,
            RolloutState.STORING: self._store,
            RolloutState.PAUSING: self._pause,
            RolloutState.REPLACING: self._go_over,
            RolloutState.RETURNING: self._return,
            RolloutState.UNLOADING: self._unload_old,
        }

    def run(self) -> None:
        """Opens the new one, switches, lets the old one answer what it has, and unloads it.

        Where a board has no memory for both, requests wait from when the old one has answered until the new one is open.
        Raises: what opening the new one raises; the old one serves on, and nothing of the new one stays loaded.
        """
        while self.state not in ENDS:
            if self.state not in REQUESTS_WAIT:
                self._step()
                continue
            with self._entrance.shut():
                while self.state in REQUESTS_WAIT:
                    self._step()
        if self._error is not None:
            raise self._error

    def _step(self) -> None:
        try:
            event = self._works[self.state]()
        except BaseException as error:  # an interruption, too: requests must not be left waiting
            self._error = self._error or error
            event = RolloutEvent.FAILED
        self.state = TRANSITIONS[self.state, event]

    def _ask(self) -> RolloutEvent:
        self._before = run_in_loop(describe_all(self._boards, credentials=self._settings.credentials))
        self._short = self._boards_short_of_memory()
        return RolloutEvent.SHORT if self._short else RolloutEvent.ROOM

    def _go_over(self) -> RolloutEvent:
        self._open_new()
        self._switch(self._new)
        return RolloutEvent.OPENED

    def _retire(self) -> RolloutEvent:
        self._finish_old()
        return RolloutEvent.LEFT

    def _store(self) -> RolloutEvent:
        _log.warning(
            "no memory for two versions on %s: requests wait while one takes the other's place",
            ", ".join(board.name for board in self._short),
        )
        settings = self._settings
        run_in_loop(
            store(
                self._new.bundle,
                self._new.placements,
                credentials=settings.credentials,
                timeout_s=settings.open_timeout_s,
                on_upload=self._on_upload,
            )
        )
        return RolloutEvent.STORED

    def _pause(self) -> RolloutEvent:
        self._finish_old()
        kept = self._unload(self._short)
        if kept:
            raise BoardRefusedError(
                kept[0], "has no memory for two versions, and other applications use the one that serves."
            )
        return RolloutEvent.LEFT

    def _return(self) -> RolloutEvent:
        """Loads again what was unloaded."""
        try:
            self._old.open(self._on_upload)
        except BaseException as error:
            self._entrance.exchange(None)  # who comes hears that nothing is open; `open` may be tried
            _log.error("the version that served cannot be opened again: %s", error)
            raise
        return RolloutEvent.OPENED

    def _unload_old(self) -> RolloutEvent:
        self._unload(self._boards)
        return RolloutEvent.UNLOADED

    def _open_new(self) -> None:
        try:
            # The old one serves: better back to it than to half a fleet.
            self._new.open(self._on_upload, goes_around=False)
        except BaseException as error:
            _log.error("the version that served goes on: %s", error)
            unwanted = set(self._new.deployment_ids) - set(self._old.deployment_ids)
            run_in_loop(unload_new(self._boards, unwanted, self._before, credentials=self._settings.credentials))
            raise

    def _finish_old(self) -> None:
        try:
            self._entrance.wait_until_left(self._old)
            self._old.finish()
        finally:
            self._old.close()

    def _unload(self, boards: Collection[Board]) -> list[str]:
        """Unloads the old version, but for what the new one uses, too; names of boards that keep some for others."""
        unwanted = [name for name in self._old.deployment_ids if name not in self._new.deployment_ids]
        return run_in_loop(unload_unused(boards, unwanted, credentials=self._settings.credentials))

    def _boards_short_of_memory(self) -> list[Board]:
        """Boards that cannot hold both. Raises: BoardRefusedError: a board that cannot hold even the new one alone."""
        short = []
        for board, needed_bytes in _needed_bytes(self._new.placements, self._before):
            description = self._before.get(board.name)
            if description is None:
                continue
            room_bytes = _room_bytes(board, description)
            if needed_bytes <= room_bytes:
                continue
            leaving = set(self._old.deployment_ids) - set(self._new.deployment_ids)
            freed_bytes = sum(s.partition_bytes for s in description.stages if s.deployment_id in leaving)
            if needed_bytes > room_bytes + freed_bytes:
                raise BoardRefusedError(
                    board.name,
                    f"the new version needs {needed_bytes / _MIB:.1f} MiB there, {(room_bytes + freed_bytes) / _MIB:.1f} MiB "
                    "are free without the version that serves, which goes on. Split it for more boards.",
                )
            short.append(board)
        return short


def require_room_beside(placements: Sequence[ChainPlacement], held: Mapping[str, Description]) -> None:
    """Raises BoardRefusedError: a board has no memory for these chains beside what it holds."""
    for board, needed_bytes in _needed_bytes(placements, held):
        room_bytes = _room_bytes(board, held[board.name]) if board.name in held else needed_bytes
        if needed_bytes > room_bytes:
            raise BoardRefusedError(
                board.name,
                f"has {max(room_bytes, 0.0) / _MIB:.1f} MiB for partitions beside those that it holds, "
                f"{needed_bytes / _MIB:.1f} MiB are needed. Undeploy something, or copy the bundle into the directory of "
                "versions by hand: who follows it then unloads the old version first.",
            )


def _needed_bytes(placements: Sequence[ChainPlacement], held: Mapping[str, Description]) -> list[tuple[Board, float]]:
    """What each board must take that it does not hold."""
    needed: dict[str, tuple[Board, float]] = {}
    for placement in placements:
        for stage in placement.stages:
            described = held.get(stage.board.name, Description()).stages
            key = placement.splitting.deployment_id, stage.stage_index
            if key not in {(s.deployment_id, s.stage_index) for s in described}:
                size = remedies.needed_bytes(placement.splitting.partitions[stage.stage_index])
                before = needed.get(stage.board.name, (stage.board, 0.0))[1]
                needed[stage.board.name] = stage.board, before + size
    return list(needed.values())


async def describe_all(boards: Collection[Board], *, credentials: Credentials | None) -> dict[str, Description]:
    """What boards are and hold, by name. Those that do not answer are left out: if they are needed, opening says so."""

    async def ask(board: Board) -> Description | None:
        try:
            async with _control(board, credentials) as control:
                return await control.describe()
        except BoardError:
            return None

    answers = await asyncio.gather(*(ask(board) for board in boards))
    return {board.name: answer for board, answer in zip(boards, answers) if answer is not None}


async def unload_new(
    boards: Collection[Board],
    deployment_ids: Collection[str],
    before: Mapping[str, Description],
    *,
    credentials: Credentials | None,
) -> None:
    """Unloads deployments from boards that did not hold them before, unless others use them by now."""

    def unwanted(board: Board) -> list[str]:
        held = {stage.deployment_id for stage in before.get(board.name, Description()).stages}
        return [name for name in deployment_ids if name not in held]

    await asyncio.gather(*(unload_unused([board], unwanted(board), credentials=credentials) for board in boards))


async def unload_unused(
    boards: Collection[Board], deployment_ids: Collection[str], *, credentials: Credentials | None
) -> list[str]:
    """Unloads deployments from boards, but for what still has streams, another application's; names of boards that keep some.

    Boards that do not answer are left alone, and told of in the log.
    """

    async def unload(board: Board) -> bool:
        stop_s = time.monotonic() + _STREAMS_END_WITHIN_S
        try:
            async with _control(board, credentials) as control:
                while in_use := _in_use(await control.describe(), deployment_ids):
                    if time.monotonic() > stop_s:
                        break
                    await asyncio.sleep(_LOOK_AGAIN_S)
                for name in deployment_ids:
                    if name not in in_use:
                        await control.unload(name)
        except BoardError as error:
            _log.warning("an old version may still be loaded: %s", error)
            return False
        if in_use:
            _log.warning("board %s keeps %s, which others use", board.name, ", ".join(sorted(in_use)))
        return bool(in_use)

    if not deployment_ids:
        return []
    kept = await asyncio.gather(*(unload(board) for board in boards))
    return [board.name for board, keeps in zip(boards, kept) if keeps]


def _in_use(description: Description, deployment_ids: Collection[str]) -> set[str]:
    return {s.deployment_id for s in description.stages if s.streams and s.deployment_id in deployment_ids}


def _control(board: Board, credentials: Credentials | None) -> BoardControl:
    return BoardControl(board, credentials=credentials, timeout_s=_ASK_TIMEOUT_S)


def _room_bytes(board: Board, description: Description) -> float:
    """What partitions may still take: of what is free, and of what boards.yaml allows."""
    free_bytes = MEMORY_SHARE * description.memory_available_bytes
    if board.memory_bytes is None:
        return free_bytes
    return min(free_bytes, board.memory_bytes - sum(s.partition_bytes for s in description.stages))
