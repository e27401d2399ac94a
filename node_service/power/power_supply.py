"""Batteries and USB-C supplies that say what they give."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from node_service.power.sensor import Kind, Sensor, read_name, read_number

_MICRO = 1e-6
_BATTERY = "Battery"


def find_power_supply(root: Path) -> Sensor | None:
    """All supplies that can be read; the board takes what comes from outside or, where nothing does, from batteries."""
    rails = {}
    for supply in sorted(root.glob("sys/class/power_supply/*")):
        try:
            _watts(supply)
        except (OSError, ValueError):
            continue
        rails[supply.name] = supply
    outside = [name for name, path in rails.items() if read_name(path / "type") != _BATTERY]
    return Sensor("power_supply", Kind.WATTS, outside or list(rails), partial(_read, rails)) if rails else None


def _read(rails: Mapping[str, Path]) -> dict[str, float]:
    return {name: _watts(path) for name, path in rails.items()}


def _watts(supply: Path) -> float:
    """What it gives: a battery that is charged gives nothing. Some drivers show a current that flows out as negative."""
    if read_name(supply / "status") in ("Charging", "Full", "Not charging"):
        return 0.0
    power = supply / "power_now"
    if power.exists():
        return abs(read_number(power)) * _MICRO
    return read_number(supply / "voltage_now") * _MICRO * abs(read_number(supply / "current_now")) * _MICRO
