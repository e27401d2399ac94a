"""The cuts of a graph: every position between two operators, what crosses it, and why some cannot be used."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from partitioning.graph import Graph, Operator, Tensor
from partitioning.subgraphs import reachable_subgraphs
from partitioning.tflite_schema import text


@dataclass(frozen=True)
class Cut:
    """The position before operator `cut_index` (1 .. len(operators) - 1).

    `crossing` holds every tensor computed (or given) before the cut and read (or returned) after it.
    `obstacle` says why nothing can be cut here; None for a legal cut.
    """

    cut_index: int
    before: Operator
    after: Operator
    crossing: tuple[Tensor, ...]
    obstacle: str | None

    @property
    def crossing_bytes(self) -> int:
        """Bytes of all crossing tensors."""
        return sum(t.size_bytes for t in self.crossing)


def list_cuts(graph: Graph) -> list[Cut]:
    """Every position between two operators, legal or not, in execution order."""
    obstacles = _state_obstacles(graph)
    cuts = []
    for cut_index in range(1, len(graph.operators)):
        crossing = tuple(graph.tensors[t] for t in crossing_tensors(graph, cut_index))
        untransferable = [t for t in crossing if t.dtype is None]
        obstacle = obstacles.get(cut_index)
        if untransferable:
            names = ", ".join(f"{t.name} ({t.type_name})" for t in untransferable)
            obstacle = f"tensors without a fixed element size cannot travel: {names}"
        before, after = graph.operators[cut_index - 1], graph.operators[cut_index]
        cuts.append(Cut(cut_index, before, after, crossing, obstacle))
    return cuts


def crossing_tensors(graph: Graph, cut_index: int) -> list[int]:
    """Tensor indices that live across the position before operator `cut_index`.

    Model inputs first, in the model's order, then tensors in the order they are computed. At 0 all model inputs, at
    len(operators) all that leaves the model: see `Graph.leaving`.
    """
    if cut_index == 0:
        return list(dict.fromkeys(graph.inputs))
    if cut_index == len(graph.operators):
        return list(graph.leaving)
    born = [t for t in dict.fromkeys(graph.inputs) if t not in graph.producer]
    born += [t for op in graph.operators[:cut_index] for t in op.outputs]
    return [t for t in born if graph.last_use.get(t, -1) >= cut_index]


def _state_obstacles(graph: Graph) -> dict[int, str]:
    """Cut index -> reason, for cuts between two operators that share state kept inside the runtime."""
    users: dict[str, list[int]] = defaultdict(list)
    for op in graph.operators:
        for state in _states(graph, op):
            users[state].append(op.op_index)
    return {
        cut_index: f"operators {ops[0]} and {ops[-1]} share {state}, which cannot be in two partitions"
        for state, ops in users.items()
        for cut_index in range(min(ops) + 1, max(ops) + 1)
    }


def _states(graph: Graph, op: Operator) -> set[str]:
    main = graph.model.subgraphs[0]
    raw = main.operators[op.source_index]
    states = {f"the variable tensor {graph.tensors[t].name}" for t in op.inputs if graph.tensors[t].is_variable}
    reached = reachable_subgraphs(graph.model, [raw])
    for inner in [raw, *(o for i in reached for o in graph.model.subgraphs[i].operators or [])]:
        options = inner.builtinOptions
        # VAR_HANDLE names its variable so; HASHTABLE has a number in tableId.
        if hasattr(options, "sharedName"):
            states.add(f"the variable {text(options.sharedName)}")
        if hasattr(options, "tableId"):
            states.add(f"the hash table {options.tableId}")
    return states
