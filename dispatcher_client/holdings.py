"""What boards hold and have room for, as far as the dispatcher knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispatcher_client.placement import ChainPlacement, StagePlacement
from dispatcher_client.remedies import needed_bytes
from fleet.inventory import Board

# Of what a board says is free, what partitions may take.
MEMORY_SHARE = 0.9


class Holdings:
    """Stages by the board that has loaded them, and bytes that are left there. Not thread-safe."""

    def __init__(self, boards: Iterable[Board]) -> None:
        self._boards = {board.name: board for board in boards}
        self._held: set[tuple[str, str, int]] = set()  # board, deployment, stage
        self._needed_bytes: dict[tuple[str, int], float] = {}  # by deployment and stage
        self._free_bytes: dict[str, float] = {}

    def hold(self, placement: ChainPlacement, stages: Sequence[StagePlacement]) -> None:
        """These are loaded, or will be before anything is sent."""
        deployment_id = placement.splitting.deployment_id
        for stage in stages:
            self._held.add((stage.board.name, deployment_id, stage.stage_index))
            partition = placement.splitting.partitions[stage.stage_index]
            self._needed_bytes[deployment_id, stage.stage_index] = needed_bytes(partition)

    def forget(self, board_name: str) -> None:
        """It may have restarted, with nothing loaded."""
        self._held = {held for held in self._held if held[0] != board_name}

    def heard(self, board_name: str, available_bytes: float) -> None:
        """It says that so much memory is free."""
        self._free_bytes[board_name] = MEMORY_SHARE * available_bytes

    def missing(self, placement: ChainPlacement) -> list[StagePlacement]:
        """The stages that their boards have not loaded."""
        held = self.of(placement)
        return [stage for stage in placement.stages if (stage.board.name, stage.stage_index) not in held]

    def of(self, placement: ChainPlacement) -> set[tuple[str, int]]:
        """(board name, stage index) of what is loaded of this deployment, on whatever boards."""
        return {
            (name, stage) for name, deployment, stage in self._held if deployment == placement.splitting.deployment_id
        }

    def left_bytes(self) -> dict[str, float]:
        """For partitions beside those that boards hold; of a board without an entry nothing is known."""
        left_bytes = dict(self._free_bytes)
        for name, board in self._boards.items():
            if board.memory_bytes is not None:
                held_bytes = sum(self._needed_bytes[held[1:]] for held in self._held if held[0] == name)
                left_bytes[name] = min(left_bytes.get(name, float("inf")), max(0.0, board.memory_bytes - held_bytes))
        return left_bytes
