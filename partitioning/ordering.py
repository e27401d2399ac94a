"""Another order of a graph's operators, in which fewer bytes cross the positions between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from partitioning.cuts import crossing_tensors, list_cuts
from partitioning.errors import PartitioningError
from partitioning.graph import IMPURE_KINDS, Graph, Operator
from partitioning.run_order import order_run
from partitioning.subgraphs import called_subgraphs


class OrderError(PartitioningError):
    """An order does not name every operator once, or has one before what it needs."""


def narrowed(graph: Graph) -> Graph:
    """The graph in its narrow order, or as it is where that gains nothing.

    Nor where an operator of another branch would come between two that share state, so that fewer cuts were legal.
    """
    order = narrow_order(graph)
    if order is None:
        return graph
    better = reorder(graph, order)
    legal = [sum(cut.obstacle is None for cut in list_cuts(g)) for g in (graph, better)]
    return better if legal[1] >= legal[0] else graph


def narrow_order(graph: Graph) -> tuple[int, ...] | None:
    """Op indices in an order that crosses fewer bytes, summed over all positions between two operators; None if none does.

    A file's order runs through parallel branches as the converter happened to write them. Positions that one tensor crosses
    at most divide the graph into runs whose orders do not touch one another, and each run gets its best order. That is exact
    if every result is used and every operator reads something: one without a reader or an input could go to another run.
    A run with too many orders is divided near its middle, where the fewest bytes cross, and each half ordered by itself.
    Operators with state, or with effects outside their tensors, stay in their order.
    """
    n_ops = len(graph.operators)
    needed = needed_before(graph)
    crossing = [crossing_tensors(graph, position) for position in range(n_ops)]
    crossing_bytes = [sum(graph.tensors[t].size_bytes for t in tensors) for tensors in crossing]

    def ordered(start: int, stop: int) -> list[int]:
        found = order_run(graph, needed, start, stop, sum(crossing_bytes[start + 1 : stop]))
        if found is not None:
            return found
        quarter = (stop - start) // 4
        middle = min(range(start + 1 + quarter, stop - quarter), key=crossing_bytes.__getitem__)
        return [*ordered(start, middle), *ordered(middle, stop)]

    edges = [0, *(p for p in range(1, n_ops) if len(crossing[p]) <= 1), n_ops]
    order = [op for start, stop in zip(edges[:-1], edges[1:]) for op in ordered(start, stop)]
    return None if order == list(range(n_ops)) else tuple(order)


def reorder(graph: Graph, order: Sequence[int]) -> Graph:
    """The same graph with its operators in this order and renumbered; `source_index` stays, so extraction works as before.

    Inside a partition operators run in the file's order, which is as valid.
    Args:
        order: op indices of the graph, each once, none before what it needs.
    Raises: OrderError: it is not such an order.
    """
    if sorted(order) != list(range(len(graph.operators))):
        raise OrderError(f"an order must name each of the {len(graph.operators)} operators once, it is {list(order)}.")
    place = {op: index for index, op in enumerate(order)}
    early = [op for op, needed in enumerate(needed_before(graph)) if any(place[n] > place[op] for n in needed)]
    if early:
        raise OrderError(f"operators {early} come before what they need. Have each come after what it reads.")
    return replace(graph, operators=tuple(replace(graph.operators[op], op_index=place[op]) for op in order))


def crossed_bytes(graph: Graph) -> int:
    """Bytes that cross a position between two operators, summed over all positions."""
    crossing = [t for position in range(1, len(graph.operators)) for t in crossing_tensors(graph, position)]
    return sum(graph.tensors[t].size_bytes for t in crossing)


def needed_before(graph: Graph) -> list[set[int]]:
    """By operator, those that must come before it: what computes its inputs and, if it has effects, the last that has any."""
    needed = []
    last_with_effects: set[int] = set()
    for op in graph.operators:
        needed.append({graph.producer[t] for t in op.inputs if t in graph.producer})
        if _has_effects(graph, op):
            needed[-1] |= last_with_effects
            last_with_effects = {op.op_index}
    return needed


def _has_effects(graph: Graph, op: Operator) -> bool:
    raw = graph.model.subgraphs[0].operators[op.source_index]
    has_state = any(graph.tensors[t].is_variable for t in op.inputs)
    return op.kind in IMPURE_KINDS or has_state or bool(called_subgraphs(raw))
