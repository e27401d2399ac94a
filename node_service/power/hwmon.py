"""Power and energy of any chip that Linux shows under hwmon: INA219, INA226, INA23x, and others by what their files are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from node_service.power.sensor import Kind, Sensor, read_name, read_number

_MICRO = 1e-6
# Monitors that people solder into the board's supply, and the platform's own meter.
_WHOLE = re.compile(r"ina2\d\d|power_meter")
_OWN_FILE = ("ina3221",)
_POWER = re.compile(r"power(\d+)_(input|average)")
_ENERGY = re.compile(r"energy(\d+)_input")


def find_hwmon(root: Path) -> list[Sensor]:
    """A sensor for all power inputs and one for all energy inputs; none of them where there are none."""
    sensors = []
    for kind, pattern in ((Kind.WATTS, _POWER), (Kind.JOULES, _ENERGY)):
        rails = dict(_rails(root, pattern))
        if rails:
            whole = [rail for rail, path in rails.items() if _WHOLE.fullmatch(read_name(path.parent / "name"))]
            sensors.append(Sensor("hwmon", kind, whole, partial(_read, rails)))
    return sensors


def _rails(root: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, Path]]:
    for chip in sorted(root.glob("sys/class/hwmon/hwmon*")):
        name = read_name(chip / "name")
        if name in _OWN_FILE:
            continue
        seen = set()
        for path in sorted(chip.iterdir(), reverse=True):  # input before average, of which chips have one or both
            found = pattern.fullmatch(path.name)
            if found and found.group(1) not in seen:
                seen.add(found.group(1))
                label = read_name(path.with_name(re.sub("_(input|average)", "_label", path.name)))
                # Numbers of hwmon change from boot to boot; the device behind it has a name that stays.
                yield f"{_device(chip)}/{label or path.name.partition('_')[0]}", path


def _device(chip: Path) -> str:
    device = chip / "device"
    return f"{read_name(chip / 'name')}-{device.resolve().name}" if device.exists() else read_name(chip / "name")


def _read(rails: Mapping[str, Path]) -> dict[str, float]:
    return {rail: read_number(path) * _MICRO for rail, path in rails.items()}
