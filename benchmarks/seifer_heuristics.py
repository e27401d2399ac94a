"""Published planning heuristics, written from their descriptions: SEIFER's k-path matching, greedy joint, random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.seifer import SeiferInstance
from benchmarks.seifer_paths import find_path
from partitioning.planning import Chain, judge_chain

Array = np.ndarray[Any, Any]
Heuristic = Callable[[np.random.Generator, SeiferInstance], "Chain | None"]

_CLASS_COUNTS = range(2, 21, 3)  # as in the paper; each instance gets its best


def seifer_k_path(generator: np.random.Generator, instance: SeiferInstance) -> Chain | None:
    """SEIFER: the partition that moves the least in all, its large transfers on fast links first.

    Transfers are sorted into classes by size. From the largest class down, each run of neighbouring transfers of a class is a
    path of boards; colour coding finds one whose slowest link is as fast as possible among the boards still free.
    It is given more than its authors gave it: the best of all their class counts, and of its single-tensor cuts and all cuts
    that the model has; a partition of the least sum among those that have a board for each part.
    """
    chains = [
        Chain(boards, positions)
        for positions in _partitions(instance)
        for boards in _matchings(generator, instance, positions)
    ]
    return _best(instance, chains)


def greedy_joint(generator: np.random.Generator, instance: SeiferInstance) -> Chain | None:
    """The same partitions; from every first board, always on over the fastest link to a free one; the best of all."""
    del generator  # nothing is random here
    chains = [
        Chain(_greedy_path(instance.bytes_per_s, first, len(positions) - 1), positions)
        for positions in _partitions(instance)
        for first in range(len(instance.bytes_per_s))
    ]
    return _best(instance, chains)


def random_placement(generator: np.random.Generator, instance: SeiferInstance) -> Chain | None:
    """As few parts as memory allows, cut at random where that many are enough, on random boards.

    Single-tensor cuts, or all cuts where those leave too many parts. Unlike the published baseline, which draws one cut in
    each interval of a greedy split, it never draws a part that is too big.
    """
    n_boards = len(instance.bytes_per_s)
    for allowed in (instance.is_single_tensor, np.ones_like(instance.is_single_tensor)):
        fits = _fits(instance) & (allowed | (np.arange(len(allowed)) == len(allowed) - 1))
        needed = _parts_needed(fits)
        if needed[0] <= n_boards:
            positions = _random_positions(generator, fits, needed)
            boards = generator.permutation(n_boards)[: len(positions) - 1]
            return Chain(tuple(int(b) for b in boards), positions)
    return None


HEURISTICS: dict[str, Heuristic] = {
    "SEIFER k-path": seifer_k_path,
    "greedy joint": greedy_joint,
    "random": random_placement,
}


def _partitions(instance: SeiferInstance) -> Iterator[tuple[int, ...]]:
    """The least-sum partition over single-tensor cuts and the one over all cuts, where there is one."""
    everywhere = np.ones_like(instance.is_single_tensor)
    for allowed in (instance.is_single_tensor, everywhere):
        positions = _least_sum_partition(instance, allowed)
        if positions is not None:
            yield positions


def _least_sum_partition(instance: SeiferInstance, allowed: Array) -> tuple[int, ...] | None:
    """Positions 0 .. end whose parts all fit and whose crossing bytes add up to the least, with a board for each part."""
    fits = _fits(instance)
    end = len(fits) - 1
    weight = np.where(allowed, instance.problem.crossing_bytes, np.inf)
    weight[[0, end]] = 0  # the dispatcher's links are free
    least = np.full(end + 1, np.inf)
    least[0] = 0
    best: tuple[float, tuple[int, ...]] | None = None
    choices: list[Array] = []
    for _ in range(len(instance.bytes_per_s)):
        offered = np.where(fits, (least + weight)[:, None], np.inf)
        choices.append(offered.argmin(axis=0))
        least = offered.min(axis=0)
        if best is None or least[end] < best[0]:
            best = (float(least[end]), _trace(choices, end))
    return best[1] if best is not None and np.isfinite(best[0]) else None


def _trace(choices: list[Array], position: int) -> tuple[int, ...]:
    positions = [position]
    for choice in reversed(choices):
        positions.append(int(choice[positions[-1]]))
    return tuple(reversed(positions))


def _matchings(
    generator: np.random.Generator, instance: SeiferInstance, positions: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    """Boards for a partition, per class count."""
    sizes = instance.problem.crossing_bytes
    transfers = sizes[list(positions[1:-1])]
    if len(transfers) == 0:
        yield (0,)
        return
    tried = set()
    for n_classes in _CLASS_COUNTS:
        classes = tuple(int(c) for c in np.digitize(transfers, np.histogram_bin_edges(sizes, bins=n_classes)))
        order = tuple(np.argsort(np.argsort(classes, kind="stable"), kind="stable")), _runs_by_class(classes)
        if str(order[1]) not in tried:  # other classes, but the same runs in the same order: the same matching
            tried.add(str(order[1]))
            boards = _match(generator, instance.bytes_per_s, order[1], len(positions) - 1)
            if boards is not None:
                yield boards


def _runs_by_class(classes: tuple[int, ...]) -> list[tuple[int, int]]:
    """(first, stop) of each run of transfers of one class: the largest class first, and in it the longest run."""
    edges = [0, *(i for i in range(1, len(classes)) if classes[i] != classes[i - 1]), len(classes)]
    runs = list(zip(edges[:-1], edges[1:]))
    return sorted(runs, key=lambda run: (-classes[run[0]], run[0] - run[1]))


def _match(
    generator: np.random.Generator, bytes_per_s: Array, runs: list[tuple[int, int]], n_parts: int
) -> tuple[int, ...] | None:
    """Places run after run; transfer i goes from part i to part i + 1."""
    placed: list[int | None] = [None] * n_parts
    for first, stop in runs:
        ends = placed[first], placed[stop]
        path = _fastest_path(generator, bytes_per_s, placed, stop - first + 1, *ends)
        if path is None:
            return None
        placed[first : stop + 1] = path
    return tuple(b for b in placed if b is not None)


def _fastest_path(
    generator: np.random.Generator,
    bytes_per_s: Array,
    placed: list[int | None],
    n_vertices: int,
    start: int | None,
    end: int | None,
) -> list[int] | None:
    """A path over free boards (and the given ends) whose slowest link is the fastest, by bisection on that link."""
    if n_vertices == 2 and start is not None and end is not None:
        return [start, end]
    usable = np.ones(len(bytes_per_s), bool)
    usable[[b for b in placed if b is not None and b not in (start, end)]] = False
    usable_pairs = usable[:, None] & usable & ~np.eye(len(usable), dtype=bool)
    speeds = np.unique(bytes_per_s[usable_pairs])
    low, high, best = 0, len(speeds) - 1, None
    while low <= high:
        middle = (low + high) // 2
        path = find_path(generator, usable_pairs & (bytes_per_s >= speeds[middle]), n_vertices, start, end)
        if path is None:
            high = middle - 1
        else:
            low, best = middle + 1, path
    return best


def _greedy_path(bytes_per_s: Array, first: int, n_parts: int) -> tuple[int, ...]:
    boards = [first]
    free = np.ones(len(bytes_per_s), bool)
    while len(boards) < n_parts:
        free[boards[-1]] = False
        boards.append(int(np.where(free, bytes_per_s[boards[-1]], -1).argmax()))
    return tuple(boards)


def _best(instance: SeiferInstance, chains: list[Chain]) -> Chain | None:
    return min(chains, key=lambda chain: judge_chain(instance.problem, chain), default=None)


def _fits(instance: SeiferInstance) -> Array:
    """(n_positions, n_positions) bool: every board holds what lies between."""
    fits: Array = np.isfinite(instance.problem.stage_s[0])
    return fits


def _random_positions(generator: np.random.Generator, fits: Array, needed: Array) -> tuple[int, ...]:
    positions = [0]
    while needed[positions[-1]] > 0:
        possible = fits[positions[-1]] & (needed < needed[positions[-1]])
        positions.append(int(generator.choice(np.flatnonzero(possible))))
    return tuple(positions)


def _parts_needed(fits: Array) -> Array:
    """(n_positions,) the least number of parts from there to the end."""
    end = len(fits) - 1
    needed = np.full(end + 1, np.inf)
    needed[end] = 0
    for position in range(end - 1, -1, -1):
        needed[position] = 1 + needed[fits[position]].min(initial=np.inf)
    return needed
