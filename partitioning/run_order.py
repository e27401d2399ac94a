"""The best order of one run of operators, by dynamic programming over the sets of operators that can be done first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from partitioning.graph import Graph

# Sets that are looked at before a run counts as too large. Measured: 0.1 s; 4 branches of 12 operators have 28,561.
_MOST_SETS = 2**15


class _State(NamedTuple):
    """A set of operators that are done: the least bytes crossed before this position, those that cross it, what can be next."""

    total_bytes: int
    crossing_bytes: int
    ready: int


def order_run(
    graph: Graph, needed: Sequence[AbstractSet[int]], start: int, stop: int, most_bytes: int
) -> list[int] | None:
    """Operators start .. stop - 1 in the order that crosses the fewest bytes, summed over the positions between them.

        T[D] = min over operators o that can be the last of D of T[D - o] + crossing(D - o);   crossing({}) counts as 0

    D are the sets that hold all that their operators need; what comes before the run is done, what comes after is not.
    Args:
        needed: by op index, the operators that must come before.
        most_bytes: what the present order crosses; if no other crosses less, it stays.
    Returns: None if there are too many sets.
    """
    run = _Run(graph, needed, start, stop)
    layer = {0: run.beginning()}
    last: dict[int, int] = {}  # set -> the operator that is last in its best order
    for _ in range(start, stop):
        following: dict[int, _State] = {}
        for done, state in layer.items():
            total_bytes = state.total_bytes + state.crossing_bytes
            if total_bytes >= most_bytes:
                continue
            for op in _members(state.ready):
                larger = done | 1 << op
                if larger not in following:
                    following[larger], last[larger] = run.after(larger, op, state), op
                elif total_bytes < following[larger].total_bytes:
                    following[larger], last[larger] = following[larger]._replace(total_bytes=total_bytes), op
            if len(last) > _MOST_SETS:
                return None
        layer = following
    order: list[int] = []
    for done in layer:  # the set of all, or nothing if no order crosses less
        while done:
            order.append(start + last[done])
            done ^= 1 << last[done]
    return order[::-1] or list(range(start, stop))


def _members(operators: int) -> Iterator[int]:
    while operators:
        yield (operators & -operators).bit_length() - 1
        operators &= operators - 1


class _Run:
    """What one more operator changes. Operators are counted from the run's start; a set of them is the bits of a number."""

    def __init__(self, graph: Graph, needed: Sequence[AbstractSet[int]], start: int, stop: int) -> None:
        ops = graph.operators[start:stop]
        self._needed = [_as_bits(needed[op.op_index], start) for op in ops]
        self._followers = [[f for f, n in enumerate(self._needed) if n >> k & 1] for k in range(len(ops))]
        size = [tensor.size_bytes for tensor in graph.tensors]
        self._made_bytes = [sum(size[t] for t in op.outputs if t in graph.last_use) for op in ops]
        present = [*dict.fromkeys(graph.inputs), *(t for op in graph.operators[:start] for t in op.outputs)]
        self._present_bytes = sum(size[t] for t in present if graph.last_use.get(t, -1) >= start)
        # By operator: (who reads it in the run, bytes) of each tensor that need not be kept once they all have.
        passing = {*present, *(t for op in ops for t in op.outputs)}
        readers = {t: _as_bits({op.op_index for op in ops if t in op.inputs}, start) for t in passing}
        self._read = [
            [(readers[t], size[t]) for t in set(op.inputs) if t in passing and graph.last_use[t] < stop] for op in ops
        ]

    def beginning(self) -> _State:
        """Nothing of the run is done; what crosses there is made up for, as that position is not between two of the run."""
        ready = sum(1 << k for k, needed in enumerate(self._needed) if not needed)
        return _State(-self._present_bytes, self._present_bytes, ready)

    def after(self, done: int, op: int, before: _State) -> _State:
        """The state of the set `done`, which is the one before and an operator."""
        freed_bytes = sum(size for readers, size in self._read[op] if not readers & ~done)
        ready = before.ready ^ 1 << op
        for follower in self._followers[op]:
            if not self._needed[follower] & ~done:
                ready |= 1 << follower
        crossing_bytes = before.crossing_bytes + self._made_bytes[op] - freed_bytes
        return _State(before.total_bytes + before.crossing_bytes, crossing_bytes, ready)


def _as_bits(ops: AbstractSet[int], start: int) -> int:
    return sum(1 << op - start for op in ops if op >= start)
