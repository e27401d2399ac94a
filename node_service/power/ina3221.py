"""The INA3221 of Jetsons: three rails a chip, as JetPack 4 shows them (iio) and as later ones do (hwmon).

Rails of a total are parts of it: on a Nano POM_5V_IN, on a Xavier NX or Orin Nano VDD_IN. An AGX has no total rail; its rails are
added, which misses what the carrier board takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from node_service.power.sensor import Kind, Sensor, read_name, read_number

_TOTALS = ("POM_5V_IN", "VDD_IN")
_NOT_CONNECTED = "NC"
_MILLI, _MICRO = 1e-3, 1e-6


def find_ina3221(root: Path) -> Sensor | None:
    """All chips of the board as one sensor; None without any."""
    old = {rail: (path,) for rail, path in _old_rails(root)}
    new = dict(_new_rails(root))
    if not old and not new:
        return None
    rails = [*old, *new]
    whole = [rail for rail in rails if rail in _TOTALS] or rails
    return Sensor("ina3221", Kind.WATTS, whole, partial(_read, old, new))


def _old_rails(root: Path) -> list[tuple[str, Path]]:
    """JetPack 4: power in milliwatts, counted from 0."""
    found = []
    for device in sorted(root.glob("sys/bus/i2c/drivers/ina3221x/*/iio:device*")):
        for name in sorted(device.glob("rail_name_*")):
            rail = read_name(name)
            if rail and _NOT_CONNECTED not in rail:
                found.append((rail, device / f"in_power{name.name.rpartition('_')[2]}_input"))
    return found


def _new_rails(root: Path) -> list[tuple[str, tuple[Path, Path]]]:
    """JetPack 5 and 6: millivolts and milliamperes of channels 1 to 3; in4 to in7 are shunts, not rails."""
    found = []
    for device in sorted(root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*")):
        for channel in (1, 2, 3):
            rail = read_name(device / f"in{channel}_label")
            if rail and _NOT_CONNECTED not in rail:
                found.append((rail, (device / f"in{channel}_input", device / f"curr{channel}_input")))
    return found


def _read(old: Mapping[str, tuple[Path]], new: Mapping[str, tuple[Path, Path]]) -> dict[str, float]:
    watts = {rail: read_number(power) * _MILLI for rail, (power,) in old.items()}
    for rail, (volts, amperes) in new.items():
        watts[rail] = read_number(volts) * read_number(amperes) * _MICRO
    return watts
