"""Writes the sizes of the models that SEIFER plans, taken from their TFLite graphs: `python -m benchmarks.make_seifer_models`."""

from __future__ import annotations

import json

from benchmarks.keras_models import tflite_file
from benchmarks.seifer_models import MODELS, MODELS_DIRECTORY, ModelSizes
from partitioning import Graph, list_cuts
from partitioning.cuts import crossing_tensors
from terminal import command_app, progress, run

app = command_app("Makes the models that benchmarks.planner plans.")


@app.command()
def make_seifer_models() -> None:
    """Convert each model, float32 with random weights, and write its sizes; some two minutes.

    Example: python -m benchmarks.make_seifer_models
    """
    MODELS_DIRECTORY.mkdir(exist_ok=True)
    with progress() as display:
        for name in display.track(MODELS, description="converting"):
            sizes = _sizes(Graph.from_bytes(tflite_file(name).read_bytes()))
            path = MODELS_DIRECTORY / f"{name}.json"
            path.write_text(json.dumps(sizes.as_json(), separators=(",", ":")) + "\n")


def _sizes(graph: Graph) -> ModelSizes:
    n_ops = len(graph.operators)
    crossing = [crossing_tensors(graph, position) for position in range(n_ops + 1)]
    return ModelSizes(
        resident_bytes=tuple(_constant_bytes(graph, op_index) for op_index in range(n_ops)),
        working_bytes=tuple(
            sum(graph.tensors[t].size_bytes for t in {*op.inputs, *op.outputs}) for op in graph.operators
        ),
        output_bytes=tuple(sum(graph.tensors[t].size_bytes for t in op.outputs) for op in graph.operators),
        crossing_bytes=tuple(sum(graph.tensors[t].size_bytes for t in tensors) for tensors in crossing),
        crossing_tensors=tuple(len(tensors) for tensors in crossing),
        positions=(0, *(cut.cut_index for cut in list_cuts(graph) if cut.obstacle is None), n_ops),
    )


def _constant_bytes(graph: Graph, op_index: int) -> int:
    """Bytes of the weights that an operator reads; a weight that two operators read counts for each."""
    op = graph.operators[op_index]
    source = graph.model.subgraphs[0].operators[op.source_index]
    constants = {int(t) for t in source.inputs if t >= 0}.difference(op.inputs)
    return sum(graph.tensors[t].size_bytes for t in constants)


def main() -> None:
    """Entry point of `python -m benchmarks.make_seifer_models`."""
    run(app, ())


if __name__ == "__main__":
    main()
