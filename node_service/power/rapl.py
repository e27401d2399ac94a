"""RAPL of x86 processors: a counter of microjoules per package, each of which wraps around."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from node_service.power.sensor import Kind, Sensor, read_name, read_number

_MICRO = 1e-6


def find_rapl(root: Path) -> Sensor | None:
    """The packages; None without any that this process may read: since 2020 only root may."""
    # intel-rapl:0 is a package; intel-rapl:0:0 is a part of it, and adding both would count it twice.
    zones = [z for z in sorted(root.glob("sys/class/powercap/intel-rapl:*")) if z.name.count(":") == 1]
    packages = [z for z in zones if read_name(z / "name").startswith("package")] or zones
    rails = {read_name(zone / "name") or zone.name: zone / "energy_uj" for zone in packages}
    try:
        _read(rails)
        wraps_at_j = min((read_number(z / "max_energy_range_uj") for z in packages), default=0.0) * _MICRO
    except (OSError, ValueError):
        return None
    return Sensor("rapl", Kind.JOULES, list(rails), partial(_read, rails), wraps_at_j) if rails else None


def _read(rails: Mapping[str, Path]) -> dict[str, float]:
    return {rail: read_number(path) * _MICRO for rail, path in rails.items()}
