"""Chains of groups: as good as trying every one, and without finding out what stages take that cannot matter."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioning.planning import InfeasiblePlanError, Objective, PlanningError
from partitioning.planning.group_search import Group, GroupChain, LeaderLinks, plan_groups
from partitioning.planning.problem import FloatArray

BOTH = (Objective.THROUGHPUT, Objective.LATENCY)


class Stages:
    """Of random times; the bounds are a share of them."""

    def __init__(self, seed: int, n_boards: int, n_positions: int, *, tightness: float = 0.5) -> None:
        generator = np.random.default_rng(seed)
        self.groups = [(a, b) for a in range(n_boards) for b in range(a + 1, n_boards + 1)]
        self.times: dict[Group, FloatArray] = {}
        self.asked: list[tuple[Group, int]] = []
        self._tightness = tightness
        work = generator.integers(1, 9, n_positions - 1)
        for a, b in self.groups:
            of_group = np.full((n_positions, n_positions), np.inf)
            for i, j in itertools.combinations(range(n_positions), 2):
                if generator.random() < 0.9:
                    of_group[i, j] = work[i:j].sum() / (b - a) + generator.integers(0, 4)
            self.times[a, b] = of_group
        shape = n_boards + 1, n_boards + 1, n_positions
        link_s = generator.integers(0, 5, shape).astype(float)
        self.links = LeaderLinks(link_s, link_s + generator.integers(0, 3, shape))

    def at_least_s(self, group: Group) -> FloatArray:
        times = self.times[group]
        bounds: FloatArray = np.multiply(times, self._tightness, out=times.copy(), where=np.isfinite(times))
        return bounds

    def take_s(self, group: Group, position: int) -> FloatArray:
        assert (group, position) not in self.asked
        self.asked.append((group, position))
        taken: FloatArray = self.times[group][position]
        return taken


def all_chains(groups: Sequence[Group], end: int) -> Iterator[tuple[tuple[Group, ...], tuple[int, ...]]]:
    """Every chain of groups, in order and apart, with every choice of cuts."""
    for n in range(1, end + 1):
        for chosen in itertools.combinations(sorted(groups), n):
            if all(one[1] <= other[0] for one, other in zip(chosen[:-1], chosen[1:])):
                for cuts in itertools.combinations(range(1, end), n - 1):
                    yield chosen, (0, *cuts, end)


def judge(stages: Stages, groups: Sequence[Group], positions: Sequence[int]) -> tuple[float, float]:
    """(slowest step, latency), written again."""
    steps, total = [], 0.0
    before = -1
    for (a, b), i, j in zip(groups, positions[:-1], positions[1:]):
        steps += [stages.times[a, b][i, j], stages.links.link_s[before, a, i]]
        total += stages.times[a, b][i, j] + stages.links.passing_s[before, a, i]
        before = a
    return max(steps), total


def key(objective: Objective, bottleneck_s: float, latency_s: float) -> tuple[float, ...]:
    return (bottleneck_s, latency_s) if objective is Objective.THROUGHPUT else (latency_s,)


@given(
    seed=st.integers(0, 10**6),
    n_boards=st.integers(1, 4),
    n_positions=st.integers(2, 6),
    objective=st.sampled_from(BOTH),
    n_stages=st.none() | st.sets(st.integers(1, 4), min_size=1),
    size=st.none() | st.integers(1, 2),
    tightness=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_no_other_chain_of_groups_is_better(
    seed: int,
    n_boards: int,
    n_positions: int,
    objective: Objective,
    n_stages: set[int] | None,
    size: int | None,
    tightness: float,
) -> None:
    stages = Stages(seed, n_boards, n_positions, tightness=tightness)
    groups = [(a, b) for a, b in stages.groups if size in (None, b - a)]
    tried = [
        key(objective, *judge(stages, chosen, positions))
        for chosen, positions in all_chains(groups, n_positions - 1)
        if n_stages is None or len(chosen) in n_stages
    ]
    best = min(tried, default=(np.inf,))
    if not groups or not np.isfinite(best).all():
        with pytest.raises(InfeasiblePlanError):
            plan_groups(stages, stages.links, groups, objective, n_stages)
        return
    found = plan_groups(stages, stages.links, groups, objective, n_stages)
    assert n_stages is None or len(found.groups) in n_stages
    assert judge(stages, found.groups, found.positions) == pytest.approx((found.bottleneck_s, found.latency_s))
    assert key(objective, found.bottleneck_s, found.latency_s) == pytest.approx(best)


@pytest.mark.parametrize("objective", BOTH)
def test_good_bounds_spare_most_of_the_finding_out(objective: Objective) -> None:
    rough, exact = (Stages(7, 6, 12, tightness=tightness) for tightness in (0.0, 1.0))
    plans: list[GroupChain] = [plan_groups(s, s.links, s.groups, objective) for s in (rough, exact)]
    costs = [key(objective, plan.bottleneck_s, plan.latency_s) for plan in plans]
    assert costs[0] == costs[1]
    assert 4 * len(exact.asked) < len(rough.asked)


def test_boards_may_be_left_out_before_between_and_behind_groups() -> None:
    stages = Stages(0, 5, 3)
    for (a, _), times in stages.times.items():
        times[0, 1], times[1, 2], times[0, 2] = 1.0 if a == 1 else 9.0, 1.0 if a == 3 else 9.0, np.inf
    stages.links.link_s[:] = stages.links.passing_s[:] = 0.0
    found = plan_groups(stages, stages.links, [(a, a + 1) for a in range(5)])
    assert found == GroupChain(((1, 2), (3, 4)), (0, 1, 2), 1.0, 2.0)


def test_energy_is_refused() -> None:
    stages = Stages(0, 2, 3)
    with pytest.raises(PlanningError, match="throughput or latency, not for energy"):
        plan_groups(stages, stages.links, stages.groups, Objective.ENERGY)
