"""Every part's processor time, measured without a service."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.chain.invoke_cpu import invoke_cpu_ms
from bundle import Bundle


def test_each_part_of_the_splitting_is_measured(zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    found = invoke_cpu_ms(bundle, bundle.splittings[0].cut_indices)
    assert len(found) == 2
    assert all(ms > 0 for ms in found)
