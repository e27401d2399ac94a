"""Energy from a counter of joules, where the machine has one. A board without one has no energy figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

SYSTEM_ROOT = Path("/")
_MICRO = 1e-6


class EnergyCounter(Protocol):
    """A sensor that counts."""

    def joules(self) -> float:
        """Energy used since the counter was opened; never falls. Raises: OSError: the sensor is gone."""


class RaplCounter:
    """RAPL of x86 processors: one counter per package, each of which wraps around.

    To be read at least once per wrap; the shortest known is some ten minutes at full load.
    """

    def __init__(self, zones: Sequence[Path]) -> None:
        """Raises: OSError: a counter cannot be read; since 2020 only root may."""
        self._counted_uj = 0
        self._last_uj = {zone: _number(zone / "energy_uj") for zone in zones}
        self._range_uj = {zone: _number(zone / "max_energy_range_uj") for zone in zones}

    def joules(self) -> float:
        """Energy of all packages since the counter was opened."""
        for zone, last_uj in self._last_uj.items():
            now_uj = _number(zone / "energy_uj")
            self._counted_uj += now_uj - last_uj
            if now_uj < last_uj:
                self._counted_uj += self._range_uj[zone] + 1
            self._last_uj[zone] = now_uj
        return self._counted_uj * _MICRO


def find_counter(root: Path = SYSTEM_ROOT) -> EnergyCounter | None:
    """This machine's counter, or None if it has none that this process may read."""
    # intel-rapl:0 is a package; intel-rapl:0:0 is a part of it, and adding both would count it twice.
    zones = [z for z in sorted(root.glob("sys/class/powercap/intel-rapl:*")) if z.name.count(":") == 1]
    try:
        return RaplCounter([z for z in zones if _name(z).startswith("package")] or zones) if zones else None
    except (OSError, ValueError):
        return None


def _name(zone: Path) -> str:
    return (zone / "name").read_text().strip()


def _number(path: Path) -> int:
    return int(path.read_text())
