"""Which segments a group of boards shares, and how: a dynamic programme over places between operators.

    T[p, c] = min over places q < p and ways d before them of T[q, d] + exchange(d -> q, p, c) + compute(q, p, c)

compute is that of the board which takes longest. A way is a division of a segment among the boards: one board alone, or shares
in proportion to speeds, along rows or channels. Exact for boards that exchange and compute in turn, all together
(bulk-synchronous); EdgeFlow and DeepThings choose segments by hand or greedily. The best plan is then followed event by event
(`costs.time_group`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from partitioning.cuts import crossing_tensors
from partitioning.graph import Graph
from partitioning.strips.costs import BoardTimes, FloatArray, GroupLinks, GroupTime, time_group
from partitioning.strips.group import GroupPlan, SharedSegment, plan_group, shares_of
from partitioning.strips.rules import obstacle_of, rule_of
from partitioning.strips.site import Site
from partitioning.strips.spans import SharedAxis, Span, hull

# Shares follow from what boards turn out to take: a slow one has the fixed part of its time, whatever its share. Where few rows
# cannot be divided more evenly, rounds swing to and fro and gain nothing.
_ROUNDS, _STEP, _EVEN, _PATIENCE = 8, 0.7, 1.02, 2


@dataclass(frozen=True)
class _Way:
    """How a segment is divided."""

    axis: SharedAxis | None
    shares: tuple[float, ...]

    @property
    def owned_along(self) -> SharedAxis:
        """Along which axis its boards own what they give."""
        return self.axis or SharedAxis.ROWS


@dataclass(frozen=True, eq=False)
class _Reach:
    """Of operators [begin, stop) divided in one way: what the boards take, and what each needs of what arrives."""

    begin: int
    compute_s: float
    needed: tuple[Mapping[int, Span], ...]


@dataclass(frozen=True)
class SharedPlan:
    """The best segments, what the boards do, and how long a frame takes."""

    segments: tuple[SharedSegment, ...]
    group: GroupPlan
    time: GroupTime


def plan_shared(
    graph: Graph,
    boards: Sequence[BoardTimes],
    links: GroupLinks,
    places: Sequence[int] | None = None,
    ops: tuple[int, int] | None = None,
    gathered: bool = False,
) -> SharedPlan:
    """The plan of the least latency; all operators on the first board if sharing gains nothing.

    Args:
        boards: the first takes what arrives and gives what leaves.
        places: rising op indices at which segments may begin; every one by default, and those outside of `ops` are left out.
        ops: operators [start, stop) that the boards share; the whole model by default.
        gathered: whether every segment's results go through the first board.
    """
    start, stop = ops or (0, len(graph.operators))
    timed = partial(time_segments, graph, boards, links)
    inner = range(start + 1, stop) if places is None else [place for place in places if start < place < stop]
    search = SegmentSearch(graph, boards, links, [start, *inner, stop], gathered)
    best = timed([SharedSegment(start, stop, None, _only(0, len(boards)))])
    speeds = [1.0 / float(board.whole_s[start:stop].sum()) for board in boards]
    in_vain = 0
    for _ in range(_ROUNDS):
        plan = timed(search.best(speeds))
        in_vain = 0 if plan.time.latency_s < best.time.latency_s else in_vain + 1
        best = min(best, plan, key=lambda p: p.time.latency_s)
        busy_s = _shared_s(graph, plan, boards)
        if max(busy_s) <= _EVEN * np.mean(busy_s) or in_vain == _PATIENCE:
            break
        speeds = [speed * (np.mean(busy_s) / s) ** _STEP if s else speed for speed, s in zip(speeds, busy_s)]
    return best


def time_segments(
    graph: Graph, boards: Sequence[BoardTimes], links: GroupLinks, segments: Sequence[SharedSegment]
) -> SharedPlan:
    """What boards do that share operators in these segments. Raises: SegmentError: they cannot."""
    group = plan_group(graph, segments)
    return SharedPlan(tuple(segments), group, time_group(graph, group, boards, links))


def _shared_s(graph: Graph, plan: SharedPlan, boards: Sequence[BoardTimes]) -> FloatArray:
    """(n,) what each board computes of shared segments."""
    busy_s = np.zeros(len(boards))
    for step in plan.group.steps:
        for board, strip in enumerate(step.strips):
            if strip is not None and strip.axis is not None:
                busy_s[board] += boards[board].strip_time_s(graph, strip)
    return busy_s


# Way that ends at a place -> seconds until then, the place before, and the way before.
_Ends = dict[_Way, tuple[float, int, _Way]]


class SegmentSearch:
    """The dynamic programme, for any run of operators between two places: what runs have in common is computed once.

    Args: places: rising, of a run's beginning and end as well. gathered: see `plan_shared`.
    """

    def __init__(
        self,
        graph: Graph,
        boards: Sequence[BoardTimes],
        links: GroupLinks,
        places: Sequence[int],
        gathered: bool = False,
    ) -> None:
        self._graph = graph
        self._gathered = gathered
        self._boards = boards
        self._links = links
        self._places = list(dict.fromkeys(places))
        sites = {axis: [Site(graph, op, axis) for op in graph.operators] for axis in SharedAxis}
        self._sites = {axis: [None if obstacle_of(s) else s for s in of_axis] for axis, of_axis in sites.items()}
        self._owned = cache(self._owners)
        self._reached = cache(lambda stop, way: list(self._reaches(stop, way)))
        self._arriving_s = cache(lambda before, reach, axis: self._exchange_s(before, reach.needed, axis))

    def best(self, speeds: Sequence[float]) -> list[SharedSegment]:
        """Segments of the least time from the first place to the last, in order, with shares in proportion to these."""
        first, last = self._places[0], self._places[-1]
        found = self._follow(speeds, first)
        ends = {way: seconds + self._gathering_s(way, first, last) for way, (seconds, _, _) in found[last].items()}
        way, stop = min(ends, key=ends.__getitem__), last
        segments: list[SharedSegment] = []
        while stop > first:
            _, begin, before = found[stop][way]
            segments.insert(0, SharedSegment(begin, stop, way.axis, way.shares, self._gathered))
            stop, way = begin, before
        return segments

    def least_s(self, speeds: Sequence[float], first: int, stops: Sequence[int]) -> list[float]:
        """Seconds of the best segments from a place to each of these later ones, by the recurrence above.

        The first board has what arrives at the first place, and in the end what leaves.
        """
        found = self._follow(speeds, first)
        return [
            min(seconds + self._gathering_s(way, first, stop) for way, (seconds, _, _) in found[stop].items())
            for stop in stops
        ]

    def _follow(self, speeds: Sequence[float], first: int) -> dict[int, _Ends]:
        """The best way to reach each place after the first, where the first board has all."""
        ways = self._ways(speeds)
        start = _Way(None, _only(0, len(self._boards)))
        found: dict[int, _Ends] = {first: {start: (0.0, -1, start)}}
        soonest_s = {first: 0.0}
        for stop in self._places[self._places.index(first) + 1 :]:
            best: _Ends = {}
            for way in ways:
                least = np.inf, -1, start
                for reach in self._reached(stop, way):
                    if reach.begin < first:
                        break
                    if soonest_s[reach.begin] + reach.compute_s >= least[0]:
                        continue  # no exchange is short enough
                    for before, (seconds, _, _) in found[reach.begin].items():
                        total_s = seconds + reach.compute_s
                        if total_s < least[0]:
                            if self._gathered:
                                total_s += self._gathering_s(before, first, reach.begin)
                            owning = start if self._gathered else before
                            total_s += self._arriving_s(owning, reach, way.axis)
                            least = min(least, (total_s, reach.begin, before), key=lambda option: option[0])
                if least[1] >= 0:
                    best[way] = least
            found[stop] = best
            soonest_s[stop] = min(seconds for seconds, _, _ in best.values())
        return found

    def _ways(self, speeds: Sequence[float]) -> list[_Way]:
        """Each board alone, then the fastest two, three and so on, the first always among them."""
        order = [0, *sorted(range(1, len(speeds)), key=lambda b: -speeds[b])]
        divisions = [
            tuple(speed if board in order[:n] else 0.0 for board, speed in enumerate(speeds))
            for n in range(2, len(speeds) + 1)
        ]
        alone = [_Way(None, _only(board, len(speeds))) for board in range(len(speeds))]
        return [*alone, *(_Way(axis, shares) for axis in SharedAxis for shares in divisions)]

    def _reaches(self, stop: int, way: _Way) -> Iterator[_Reach]:
        """Of all segments that end at a place, backwards: what a longer one needs follows from what a shorter one does."""
        n_boards = len(self._boards)
        needed: list[dict[int, Span]] = [{} for _ in range(n_boards)]
        compute_s = np.array([board.strip_s for board in self._boards])
        places = set(self._places)
        for op in reversed(self._graph.operators[self._places[0] : stop]):
            leaving = [t for t in op.outputs if self._graph.last_use.get(t, -1) >= stop]
            site = None if way.axis is None else self._sites[way.axis][op.op_index]
            if way.axis is not None and site is None:
                return
            for board in range(n_boards):
                open_ = needed[board]
                given = [open_.pop(t) for t in op.outputs if t in open_]
                given += [span for t in leaving if (span := self._owned(t, way)[board]).count]
                if not given:
                    continue
                span = hull(given)
                if site is None:
                    reads = {t: Span(0, SharedAxis.ROWS.extent(self._graph.tensors[t])) for t in op.inputs}
                    compute_s[board] += self._boards[board].whole_s[op.op_index]
                else:
                    reads = rule_of(site).reads(site, span)
                    compute_s[board] += self._boards[board].shared[site.axis, op.op_index].at(span.count)
                for t, part in reads.items():
                    open_[t] = hull([part, open_[t]]) if t in open_ else part
            if op.op_index in places:
                working = [float(s) for s, parts in zip(compute_s, needed) if parts]
                yield _Reach(op.op_index, max(working, default=0.0), tuple(dict(parts) for parts in needed))

    def _owners(self, t: int, way: _Way) -> list[Span]:
        return shares_of(way.owned_along.extent(self._graph.tensors[t]), way.shares)

    def _exchange_s(self, before: _Way, needed: Sequence[Mapping[int, Span]], axis: SharedAxis | None = None) -> float:
        """Until all have what they need, if what crosses the place is divided as the segment before it was."""
        n = len(self._boards)
        sent = np.zeros((n, n))
        for board, parts in enumerate(needed):
            for t, span in parts.items():
                tensor = self._graph.tensors[t]
                extent = before.owned_along.extent(tensor)
                start, stop = (span.start, span.stop) if axis is before.owned_along else (0, extent)
                for owner, owned in enumerate(self._owned(t, before)):
                    shared = min(stop, owned.stop) - max(start, owned.start)
                    if shared > 0 and owner != board:
                        sent[owner, board] += tensor.size_bytes * shared / extent
        return self._time_s(sent)

    def _gathering_s(self, way: _Way, first: int, last: int) -> float:
        arriving = crossing_tensors(self._graph, first)  # what only passes by stays with the first board
        leaving = [t for t in crossing_tensors(self._graph, last) if t not in arriving]
        return self._exchange_s(way, [dict.fromkeys(leaving, Span(0, 1)), *({} for _ in self._boards[1:])])

    def _time_s(self, sent: FloatArray) -> float:
        """The busiest side of a board's link, the board busiest with messages, and the slowest way of one."""
        if not sent.any():
            return 0.0
        busy_s = sent * self._links.s_per_byte
        n_messages = (sent > 0).sum(0) + (sent > 0).sum(1)
        handling_s = max(
            n * cost.fixed_s + received * cost.receive_s_per_byte + given * cost.send_s_per_byte
            for n, received, given, cost in zip(
                n_messages, sent.sum(0), sent.sum(1), [board.message for board in self._boards]
            )
        )
        slowest_s = max(busy_s.sum(0).max(), busy_s.sum(1).max())
        return float(slowest_s + handling_s + self._links.latency_s[sent > 0].max())


def _only(board: int, n_boards: int) -> tuple[float, ...]:
    return tuple(float(other == board) for other in range(n_boards))
