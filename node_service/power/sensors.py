"""All sensors of power and energy that this machine has."""

from __future__ import annotations

from pathlib import Path

from node_service.power.hwmon import find_hwmon
from node_service.power.ina3221 import find_ina3221
from node_service.power.pmic import find_pmic
from node_service.power.power_supply import find_power_supply
from node_service.power.rapl import find_rapl
from node_service.power.sensor import Sensor

SYSTEM_ROOT = Path("/")


def find_sensors(root: Path = SYSTEM_ROOT) -> list[Sensor]:
    """What can be read, the first that sees the whole board being the one to trust; empty on a board without a sensor."""
    found = [find_ina3221(root), find_pmic(root), *find_hwmon(root), find_rapl(root), find_power_supply(root)]
    return [sensor for sensor in found if sensor is not None]
