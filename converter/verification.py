"""Runs a bundle's partitions one after the other and compares their bytes with the whole model's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bundle import Bundle, BundleSplitting
from bundle.partition_files import partition_files
from converter.group_run import run_group
from partitioning import Graph
from partitioning.taps import tapped_model, with_named_taps
from protos.v1.tensor_pb2 import TensorSpec
from runtime import Runner, TfliteRuntime, same_bits_promised
from transport.tensor_spec import Array


@dataclass(frozen=True)
class Verification:
    """What was compared.

    Attributes:
        differing_by_splitting: for each splitting, the outputs and taps whose bytes differ between its parts and the whole,
            run here.
        differing_from_record: outputs where the whole model, run here, differs from the answer that the bundle records;
            None if the bundle was made with another runtime, version or architecture, where that is no error.
    """

    differing_by_splitting: tuple[tuple[str, ...], ...]
    differing_from_record: tuple[str, ...] | None
    compared_bytes: int

    @property
    def differing(self) -> tuple[str, ...]:
        """Outputs that differ in any splitting."""
        return tuple(dict.fromkeys(name for names in self.differing_by_splitting for name in names))

    @property
    def is_identical(self) -> bool:
        """Whether everything that must be equal is."""
        return not self.differing and not self.differing_from_record


def verify_bundle(bundle: Bundle, runtime: TfliteRuntime, threads: int = 1) -> Verification:
    """Runs every splitting's parts, and the whole, on the bundle's sample.

    Raises: BundleError: a missing or damaged file. ModelLoadError: the runtime refuses a file.
    """
    manifest = bundle.manifest
    compared = [*manifest.outputs, *manifest.taps]
    inputs, recorded = bundle.load_sample()
    whole = _run_whole(bundle, runtime, threads, inputs)
    answers = [_run_parts(bundle, splitting, runtime, threads, inputs) for splitting in bundle.splittings]
    comparable = same_bits_promised(manifest.measured_on, runtime.identity)
    return Verification(
        differing_by_splitting=tuple(_differing(compared, whole, answer) for answer in answers),
        differing_from_record=_differing(compared, whole, recorded) if comparable else None,
        compared_bytes=sum(whole[t.name].nbytes for t in compared),
    )


def _run_parts(
    bundle: Bundle, splitting: BundleSplitting, runtime: TfliteRuntime, threads: int, inputs: dict[str, Array]
) -> dict[str, Array]:
    values = dict(inputs)
    for partition in splitting.leaders:
        arguments = [values[t.name] for t in partition.inputs]
        if partition.HasField("share"):
            group = splitting.group_of(partition)
            files = {file.sha256: bundle.file_path(file) for part in group for file in partition_files(part)}
            outputs = run_group(group, files, runtime, threads, arguments)
        else:
            outputs = Runner(runtime, bundle.file_path(partition.file), threads).run(arguments)
        values.update(zip((t.name for t in partition.outputs), outputs))
        values = {t.name: values[t.name] for t in partition.leaving}  # the next part has nothing else either
    return values


def _run_whole(bundle: Bundle, runtime: TfliteRuntime, threads: int, inputs: dict[str, Array]) -> dict[str, Array]:
    path = bundle.file_path(bundle.manifest.whole)
    # The file's own order, in which a tensor may stand twice; the manifest names each once.
    graph = Graph.from_bytes(path.read_bytes())
    outputs = Runner(runtime, path, threads).run([inputs[graph.tensors[t].name] for t in graph.inputs])
    answer = dict(zip((graph.tensors[t].name for t in graph.outputs), outputs))
    if bundle.manifest.taps:
        taps = with_named_taps(graph, [spec.name for spec in bundle.manifest.taps])
        runner = Runner(runtime, tapped_model(taps), threads)
        tapped = dict(zip((port.name for port in runner.outputs), runner.run([inputs[p.name] for p in runner.inputs])))
        answer |= {spec.name: tapped[spec.name] for spec in bundle.manifest.taps}
    return answer


def _differing(specs: Iterable[TensorSpec], one: dict[str, Array], other: dict[str, Array]) -> tuple[str, ...]:
    return tuple(s.alias or s.name for s in specs if one[s.name].tobytes() != other[s.name].tobytes())
