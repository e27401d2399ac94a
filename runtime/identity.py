"""What must be equal on two machines for them to compute equal bits."""

from __future__ import annotations

import platform
from pathlib import Path

from protos.v1.manifest_pb2 import RuntimeIdentity


def identify(runtime_name: str, runtime_version: str, delegate: str = "") -> RuntimeIdentity:
    """The identity of a runtime on this machine, with what says which delegate computes; "" for none."""
    return RuntimeIdentity(
        runtime=runtime_name,
        version=runtime_version,
        architecture=platform.machine(),
        processor=_processor(),
        delegate=delegate,
    )


def same_bits_promised(one: RuntimeIdentity, other: RuntimeIdentity) -> bool:
    """Whether the project promises equal bits: one version of one runtime on one architecture, without a delegate.

    A delegate computes in its own way, on hardware that is not told of here, and may do so otherwise for a part of a model than
    for the whole: nothing is promised where there is one, be it the same on both. Across versions, runtimes or architectures
    results differ by rounding, so nothing is promised there. The processor's model is not part of the promise's condition; it is
    recorded because kernels are chosen by its features.
    """
    if one.delegate or other.delegate:
        return False
    return (one.runtime, one.version, one.architecture) == (
        other.runtime,
        other.version,
        other.architecture,
    )


def _processor() -> str:
    """The processor's name where Linux gives one: `model name` on x86, the device tree's model on ARM boards."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
        return Path("/proc/device-tree/model").read_text().rstrip("\0\n")
    except OSError:
        return platform.processor()
