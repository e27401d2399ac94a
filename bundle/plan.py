"""The plan: which board serves which part of the model, in one chain or in several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from bundle.errors import PlanError

# A cut index, or the name of a layer or tensor, which only the converter can turn into one.
CutName = Union[int, str]
# A plan's file has six decimals of a share.
_ROUNDED = 1e-5
# Where something stands in a plan: ("chains", 0, "stages", 1, "until").
Place = tuple[Union[str, int], ...]


@dataclass(frozen=True)
class PlannedSegment:
    """Operators that the boards of a group share in one way: all that comes after the segment before and before `until`.

    Attributes:
        until: an operator's index; None: the stage's end.
        by: "rows", "channels", or "" where one board alone has a share.
        shares: of each board of the group, in proportion; 0: it does nothing here.
    """

    by: str
    shares: tuple[float, ...]
    until: int | None = None

    @property
    def proportions(self) -> list[float]:
        """The shares of 1 in all."""
        whole = sum(self.shares) or 1.0
        return [share / whole for share in self.shares]


def are_alike(some: Sequence[PlannedSegment], others: Sequence[PlannedSegment], stop_op: int) -> bool:
    """Whether a group shares a stage, which ends at `stop_op`, in the same way by both."""
    return len(some) == len(others) and all(
        (one.by, one.until or stop_op) == (other.by, other.until or stop_op)
        and len(one.shares) == len(other.shares)
        and all(abs(a - b) <= _ROUNDED for a, b in zip(one.proportions, other.proportions))
        for one, other in zip(some, others)
    )


@dataclass(frozen=True)
class PlannedStage:
    """A part of the model: all that comes after the stage before and before `until`; None is the model's end.

    Attributes:
        board: who serves it; of a group, its leader.
        shared_with: the others of a group.
        segments: how the group shares it, if that is planned.
    """

    board: str
    until: CutName | None = None
    shared_with: tuple[str, ...] = ()
    segments: tuple[PlannedSegment, ...] = ()

    @property
    def boards(self) -> tuple[str, ...]:
        """All that serve it, the leader first."""
        return (self.board, *self.shared_with)


@dataclass(frozen=True)
class PlannedChain:
    """Stages in the order in which frames pass them; the last one ends where the model does."""

    stages: tuple[PlannedStage, ...]

    @property
    def cuts(self) -> tuple[CutName, ...]:
        """Where the chain cuts the model, in order."""
        return tuple(stage.until for stage in self.stages if stage.until is not None)

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """How many boards serve each stage."""
        return tuple(len(stage.boards) for stage in self.stages)


@dataclass(frozen=True)
class Plan:
    """Chains over disjoint boards.

    Attributes:
        model: name of the model, as in its bundle's manifest.
        objective: what the plan was made for, as "throughput".
    Raises: PlanError: see `find_faults`.
    """

    model: str
    objective: str
    chains: tuple[PlannedChain, ...]

    def __post_init__(self) -> None:
        if not self.chains or not all(chain.stages for chain in self.chains):
            raise PlanError("a plan needs at least one chain, and each of its chains at least one stage.")
        faults = [f"chain {place[1]}, stage {place[3]}: {text}" for place, text in find_faults(self.chains)]
        if faults:
            raise PlanError("\n".join(faults))

    @property
    def board_names(self) -> tuple[str, ...]:
        """Every board that the plan needs, chain by chain."""
        return tuple(board for chain in self.chains for stage in chain.stages for board in stage.boards)


def find_faults(chains: Sequence[PlannedChain]) -> Iterator[tuple[Place, str]]:
    """What is wrong with a plan whatever model and boards it is for: boards named twice, cuts missing, left over or falling."""
    seen: dict[str, str] = {}
    for chain_index, chain in enumerate(chains):
        for index, stage in enumerate(chain.stages):
            place = ("chains", chain_index, "stages", index)
            for board in stage.boards:
                if board in seen:
                    yield (
                        (*place, "board"),
                        f"board {board} has {seen[board]} already. Give every stage a board of its own, or join the two stages "
                        "into one.",
                    )
                seen.setdefault(board, f"stage {index} of chain {chain_index}")
            for number, segment in enumerate(stage.segments):
                if len(segment.shares) != len(stage.boards):
                    yield (
                        (*place, "segments", number, "shares"),
                        f"segment {number} has {len(segment.shares)} shares for {len(stage.boards)} boards. Give each board one, 0 "
                        "if it does nothing.",
                    )
        yield from _wrong_cuts(chain, chain_index)


def _wrong_cuts(chain: PlannedChain, chain_index: int) -> Iterator[tuple[Place, str]]:
    reached = 0
    for index, stage in enumerate(chain.stages):
        place = ("chains", chain_index, "stages", index)
        is_last = index + 1 == len(chain.stages)
        if stage.until is None and not is_last:
            yield place, f"board {stage.board} has no until: where does the next stage begin? Add one, as until: 34."
        elif stage.until is not None and is_last:
            yield (
                (*place, "until"),
                f"board {stage.board} ends at {stage.until}, and no stage comes after it. Remove until, or add a stage.",
            )
        elif isinstance(stage.until, int):
            if stage.until <= reached:
                yield (
                    (*place, "until"),
                    f"board {stage.board} ends at {stage.until}, where {reached} was reached before. Cuts must rise.",
                )
            reached = stage.until
