"""A bundle's manifest.json, which comes from wherever the bundle does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bundle import BundleError, open_bundle
from bundle.manifest import FORMAT_VERSION, render_manifest
from protos.v1.manifest_pb2 import Manifest, Partition, Splitting
from protos.v1.tensor_pb2 import DType, TensorSpec
from tests.fuzz.target import Run, Target

_WORDS = "format_version splittings partitions start_op stop_op arriving leaving inputs outputs shape quantization scale name"


def _seeds() -> Iterator[bytes]:
    x, y, z = (TensorSpec(name=name, dtype=DType.INT8, shape=[2, 3]) for name in "xyz")
    first = Partition(stop_op=2, inputs=[x], outputs=[y], arriving=[x], leaving=[y, x])
    second = Partition(start_op=2, stop_op=3, inputs=[y], outputs=[z], arriving=[y, x], leaving=[z])
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        model_name="m",
        inputs=[x],
        outputs=[z],
        splittings=[Splitting(partitions=[first, second])],
        operator_order=[0, 2, 1],
        batch=2,
    )
    yield render_manifest(manifest).encode()
    manifest.splittings[0].partitions[0].file.path = "../../passwd"
    yield render_manifest(manifest).replace("\n", "").replace(" ", "").encode()


def _start(scratch: Path) -> AbstractContextManager[Run]:
    def read(data: bytes) -> None:
        (scratch / "manifest.json").write_bytes(data)
        bundle = open_bundle(scratch)
        assert bundle.splittings
        for partition in bundle.splittings[0].partitions:
            bundle.file_path(partition.file)
        bundle.load_sample()

    return nullcontext(read)


TARGET = Target(
    "manifest", _start, (BundleError,), _seeds, (*_WORDS.encode().split(), b"[[", b"{}", b"1e400", b"-1", b"NaN")
)
