"""The writer of bundles, to be killed everywhere; with the swap in one step, and in two."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import bundle.building
from bundle import BundleWriter, open_bundle
from protos.v1.manifest_pb2 import Manifest, Partition, Splitting
from protos.v1.tensor_pb2 import DType, TensorSpec
from tests.kill_everywhere import KillCase

PLAN = "made by a planner\n"


def write(place: Path, content: str, *, replace: bool = True) -> None:
    image = [TensorSpec(name="image", dtype=DType.INT8, shape=[3])]
    with BundleWriter(place / "parts", replace=replace) as writer:
        manifest = Manifest(format_version=2, model_name="tiny", inputs=image, outputs=image)
        manifest.whole.CopyFrom(writer.add_model(content.encode() * 1000, "whole"))
        file = writer.add_model(content.encode() * 1000)
        part = Partition(file=file, stop_op=1, arriving=image, leaving=image)
        manifest.splittings.append(Splitting(partitions=[part]))
        writer.finish(manifest, {"image": np.zeros(3, np.int8)}, {"image": np.ones(3, np.int8)}, PLAN)


def look(place: Path) -> str:
    if not (place / "parts").exists():
        return "none"
    found = open_bundle(place / "parts")
    found.load_sample()
    files = [found.manifest.whole, found.splittings[0].partitions[0].file]
    (content,) = {found.file_path(file).read_text() for file in files}
    assert (place / "parts" / "plan.yaml").read_text() == PLAN
    return content[:3]


def write_in_two_steps(place: Path) -> None:
    bundle.building.exchange = lambda first, second: False  # in a process of its own
    write(place, "new")


REPLACE = KillCase(
    lambda place: write(place, "old"),
    lambda place: write(place, "new"),
    look,
    also_before=("bundle.building.exchange",),
)
REPLACE_IN_TWO_STEPS = KillCase(lambda place: write(place, "old"), write_in_two_steps, look)
