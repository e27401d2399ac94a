"""The best chain whose stages are groups of neighbouring boards: how many stages, where to cut, how many boards for each.

    T[k, g, j] = min over groups h that end before g begins, and positions i < j, of
                 T[k - 1, h, i] + link(leader of h, leader of g, i) + stage(g, i, j)

with the larger of two in place of + where the slowest step counts; then, among the chains that are as fast, the one of least
latency. A group is a run of boards in their given order, its first board leads it, and boards between groups may be left out.

What a group takes for a stage is dear to find out, and cheap to bound from below. So the recurrence is first solved with
bounds; whatever stages of its best chain are bounds only are found out, and it is solved again, until the best chain has none: as
no other chain costs less than its bounds, it is the best. Exact for this order of boards, these groups and positions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from partitioning.planning.judge import Objective
from partitioning.planning.problem import FloatArray, InfeasiblePlanError, PlanningError

# Boards [first, stop) in their order.
Group = tuple[int, int]
_Join = Callable[[FloatArray, FloatArray], FloatArray]


class GroupStages(Protocol):
    """What groups take for stages. Positions are counted as in `ChainProblem`."""

    def at_least_s(self, group: Group) -> FloatArray:
        """(n_positions, n_positions) seconds that stages between two positions take at least; inf where there can be none."""

    def take_s(self, group: Group, position: int) -> FloatArray:
        """(n_positions,) seconds that the stages take which begin at a position; asked once for each at most."""


@dataclass(frozen=True)
class LeaderLinks:
    """What frames take between leaders.

    Attributes:
        link_s: (n_boards + 1, n_boards + 1, n_positions) seconds that what crosses a position occupies a link; the last board
            is the dispatcher.
        passing_s: of the same shape, seconds until one frame is there.
    """

    link_s: FloatArray
    passing_s: FloatArray


@dataclass(frozen=True)
class GroupChain:
    """Stage k is that of groups[k], from positions[k] to positions[k + 1]."""

    groups: tuple[Group, ...]
    positions: tuple[int, ...]
    bottleneck_s: float
    latency_s: float

    @property
    def stages(self) -> list[tuple[Group, int, int]]:
        """Group and positions of each."""
        return list(zip(self.groups, self.positions[:-1], self.positions[1:]))


def plan_groups(
    stages: GroupStages,
    links: LeaderLinks,
    groups: Sequence[Group],
    objective: Objective = Objective.THROUGHPUT,
    n_stages: Collection[int] | None = None,
) -> GroupChain:
    """The best chain of these groups.

    Args:
        groups: that may do a stage, one at least.
        n_stages: that the chain may have; None for any number.
    Raises: InfeasiblePlanError: no chain of them can hold the model. PlanningError: energy, which groups are not planned for.
    """
    if objective is Objective.ENERGY:
        raise PlanningError("groups of boards are planned for throughput or latency, not for energy.")
    search = _Search(stages, links, groups, n_stages)
    limit_s = np.inf
    if objective is Objective.THROUGHPUT:
        limit_s = search.best(np.maximum, links.link_s).cost_s
    found = search.best(np.add, links.passing_s, limit_s)
    steps_s = [search.costs[g][i, j] for g, i, j in found.stages]
    hops = zip((-1, *(a for a, _ in found.groups)), found.groups, found.positions)
    links_s = [links.link_s[before, leader, position] for before, (leader, _), position in hops]
    return GroupChain(found.groups, found.positions, float(max(*steps_s, *links_s)), found.cost_s)


@dataclass(frozen=True)
class _Found:
    cost_s: float
    groups: tuple[Group, ...]
    positions: tuple[int, ...]

    @property
    def stages(self) -> list[tuple[Group, int, int]]:
        return list(zip(self.groups, self.positions[:-1], self.positions[1:]))


class _Search:
    def __init__(
        self, stages: GroupStages, links: LeaderLinks, groups: Sequence[Group], n_stages: Collection[int] | None
    ) -> None:
        self._stages = stages
        self._links = links
        self._n_stages = n_stages
        self._known: set[tuple[Group, int]] = set()
        self.costs = {group: stages.at_least_s(group).copy() for group in groups}

    def best(self, join: _Join, between_s: FloatArray, limit_s: float = np.inf) -> _Found:
        """The cheapest chain all of whose stages are found out, and no step of which takes longer than the limit."""
        allowed_s = np.where(self._links.link_s <= limit_s, between_s, np.inf)
        while True:
            within = {group: np.where(cost <= limit_s, cost, np.inf) for group, cost in self.costs.items()}
            found = _cheapest(within, allowed_s, join, self._n_stages)
            unknown = [(group, i) for group, i, _ in found.stages if (group, i) not in self._known]
            if not unknown:
                return found
            for group, i in unknown:
                self.costs[group][i] = self._stages.take_s(group, i)
                self._known.add((group, i))


def _cheapest(
    stage_s: Mapping[Group, FloatArray], between_s: FloatArray, join: _Join, n_stages: Collection[int] | None
) -> _Found:
    """The recurrence. Of chains that cost the same the one of fewest stages. Raises: InfeasiblePlanError: none is possible."""
    groups = list(stage_s)
    end = between_s.shape[2] - 1
    value = np.array([join(between_s[-1, a, 0], stage_s[a, b][0]) for a, b in groups])  # (n_groups, n_positions)
    origins: list[Any] = []  # by stage after the first: (n_groups, n_positions, 2) the group before, and where it ends
    best, best_at = np.inf, (0, 0)
    while np.isfinite(value).any():
        n = len(origins) + 1
        last = int(value[:, end].argmin())
        if value[last, end] < best and (n_stages is None or n in n_stages):
            best, best_at = float(value[last, end]), (n, last)
        if n_stages is not None and n >= max(n_stages, default=0):
            break
        value, origin = _lengthened(value, groups, stage_s, between_s, join)
        origins.append(origin)
    if not np.isfinite(best):
        raise InfeasiblePlanError("no chain of such groups of neighbouring boards can hold the model.")
    n, g = best_at
    found, positions = [groups[g]], [end]
    for origin in reversed(origins[: n - 1]):
        g, position = (int(x) for x in origin[g, positions[0]])
        found.insert(0, groups[g])
        positions.insert(0, position)
    return _Found(best, tuple(found), (0, *positions))


def _lengthened(
    value: FloatArray, groups: Sequence[Group], stage_s: Mapping[Group, FloatArray], between_s: FloatArray, join: _Join
) -> tuple[FloatArray, Any]:
    """Chains of one stage more: what they cost, and what each comes from."""
    longer, origin = np.full_like(value, np.inf), np.zeros((*value.shape, 2), dtype=int)
    for g, (leader, stop) in enumerate(groups):
        before = [h for h, (_, ended) in enumerate(groups) if ended <= leader]
        if not before:
            continue
        leaders = [groups[h][0] for h in before]
        arriving_s = join(value[before], between_s[leaders, leader])  # (n_before, n_positions)
        by, total_s = arriving_s.argmin(0), join(arriving_s.min(0)[:, None], stage_s[leader, stop])
        begin = total_s.argmin(0)
        longer[g] = total_s.min(0)
        origin[g, :, 0], origin[g, :, 1] = np.array(before)[by[begin]], begin
    return longer, origin
