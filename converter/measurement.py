"""Times the operators of a model on this machine, each on the data that it gets inside the model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from partitioning import Cut, Graph, InfeasibleSplitError, extract_partition, plan_partitions
from runtime import Runner, TfliteRuntime
from transport.tensor_spec import Array

# Enough runs for a median that one interruption does not move, unless the model is slow.
_RUNS = 5
_BUDGET_S = 0.25


def median_run_s(runner: Runner, arguments: Sequence[Array]) -> float:
    """Median time of one run in seconds, of up to five runs within a quarter of a second and at least one."""
    times: list[float] = []
    while len(times) < _RUNS and sum(times) < _BUDGET_S:
        begun = time.perf_counter()
        runner.run(arguments)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def measure_operators(
    graph: Graph,
    cuts: Sequence[Cut],
    inputs: Mapping[int, Array],
    runtime: TfliteRuntime,
    threads: int,
    n_parts: int,
    on_progress: Callable[[str, float | None], None],
) -> list[float]:
    """Seconds per operator, shape (n_ops,).

    Every piece between neighbouring legal cuts is run as a file of its own; its time stands at its first operator, since it
    cannot be divided. The sum is a little more than the whole model takes: each piece pays for its own call.
    Raises: InfeasibleSplitError: the model has too few legal cuts, said before anything is measured.
    """
    legal = [c.cut_index for c in cuts if c.obstacle is None]
    n_ops = len(graph.operators)
    if not 1 <= n_parts <= len(legal) + 1:
        raise InfeasibleSplitError(
            f"{n_parts} parts were asked for; this model has {n_ops} operators and {len(legal)} legal cuts, "
            f"so at most {len(legal) + 1} parts. Ask for 1 to {len(legal) + 1}."
        )
    op_s = [0.0] * n_ops
    values = dict(inputs)
    pieces = plan_partitions(graph, legal)
    for done, piece in enumerate(pieces):
        on_progress(f"measuring operators {piece.start_op} to {piece.stop_op} of {n_ops}", done / len(pieces))
        runner = Runner(runtime, extract_partition(graph, piece), threads)
        arguments = [values[t] for t in piece.inputs]
        values.update(zip(piece.outputs, runner.run(arguments)))
        op_s[piece.start_op] = median_run_s(runner, arguments)
    return op_s
