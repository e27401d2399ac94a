"""One source of power or energy figures, whatever it is behind the files."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class Kind(enum.Enum):
    """What a reading is."""

    WATTS = "watts"
    JOULES = "joules"  # since some moment; falls when the counter wraps around or starts anew


@dataclass(frozen=True)
class Sensor:
    """Rails that are read together.

    Attributes:
        source: what it is: ina3221, pmic, hwmon, rapl, power_supply.
        whole: the rails whose sum is what the board takes, each part of it once; empty if it sees parts only.
        read: one value per rail. Raises: OSError, ValueError: it cannot be read now.
        wraps_at_j: of JOULES: what a rail's counter reaches before it begins at 0.
    """

    source: str
    kind: Kind
    whole: Sequence[str]
    read: Callable[[], Mapping[str, float]]
    wraps_at_j: float = 0.0


def read_number(path: Path) -> float:
    """The number in a file of sysfs. Raises: OSError, ValueError."""
    return float(path.read_text())


def read_name(path: Path) -> str:
    """The text in a file of sysfs, without its end of line; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
