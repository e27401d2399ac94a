"""How hot the processor is, and whether it is slowed down. Machines that do not say are taken to be well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

SYSTEM_ROOT = Path("/")
# What thermal zones of processors are called: cpu-thermal, CPU-therm, soc_thermal, bcm2835_thermal, tj-thermal, x86_pkg_temp.
_PROCESSOR_WORDS = ("cpu", "soc", "bcm2835", "tj", "pkg", "core")
# Bits of the Raspberry Pi's get_throttled that say so now; 16 higher, that it was so in the firmware's last poll window.
_FIRMWARE_BITS = {
    0: "the supply's voltage is too low",
    1: "the firmware caps the clock",
    2: "the firmware throttles",
    3: "the firmware's soft temperature limit is reached",
}
_FIRMWARE_PATHS = ("sys/devices/platform/soc*/*firmware*/get_throttled",)
_COOLED_BY_CLOCK = ("cpufreq", "processor")
_HOT_MARGIN_C = 5.0
_MILLI = 1e-3


class ThermalSensors:
    """Reads what the kernel shows below `root`. Every read tolerates what is missing: zones that are switched off fail."""

    def __init__(self, root: Path = SYSTEM_ROOT) -> None:
        self._root = root

    def temperature_c(self) -> float | None:
        """The hottest processor zone; None without one."""
        return max((t for zone in self._zones() if (t := _celsius(zone / "temp")) is not None), default=None)

    def throttling_from_c(self) -> float | None:
        """The lowest temperature at which the kernel slows a processor down; None if it does not say."""
        trips = (trip for zone in self._zones() for trip in zone.glob("trip_point_*_type"))
        passive = (trip for trip in trips if _text(trip) == "passive")
        found = (_celsius(trip.with_name(trip.name.replace("_type", "_temp"))) for trip in passive)
        return min((t for t in found if t is not None and t > 0), default=None)

    def hot(self) -> str | None:
        """Why the board is about to be throttled; None if it is not, or does not say."""
        now_c, from_c = self.temperature_c(), self.throttling_from_c()
        if now_c is None or from_c is None or now_c < from_c - _HOT_MARGIN_C:
            return None
        return f"hot: {now_c:.0f} C, and the kernel slows the processor down from {from_c:.0f} C on"

    def throttle_events(self) -> int:
        """How often the processors' own protection has slowed them down since the machine started (x86)."""
        return sum(_numbers(self._root.glob("sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")))

    def throttled(self) -> set[str]:
        """Reasons why the processor is slowed down now."""
        return {*self._firmware_reasons(), *self._cooling_reasons()}

    def _zones(self) -> Iterator[Path]:
        for zone in sorted(self._root.glob("sys/class/thermal/thermal_zone*")):
            kind = _text(zone / "type").lower()
            if any(word in kind for word in _PROCESSOR_WORDS):
                yield zone

    def _firmware_reasons(self) -> Iterator[str]:
        for pattern in _FIRMWARE_PATHS:
            for path in self._root.glob(pattern):
                bits = _hexadecimal(path)
                yield from (why for bit, why in _FIRMWARE_BITS.items() if bits & (1 << bit | 1 << bit + 16))

    def _cooling_reasons(self) -> Iterator[str]:
        for device in sorted(self._root.glob("sys/class/thermal/cooling_device*")):
            kind = _text(device / "type")
            (state,) = _numbers([device / "cur_state"]) or (0,)
            if state > 0 and any(word in kind.lower() for word in _COOLED_BY_CLOCK):
                yield f"the kernel lowers the clock to cool ({kind})"


class ThrottleWatch:
    """Collects the reasons for throttling between its making and `reasons`; `look` now and then in between."""

    def __init__(self, sensors: ThermalSensors) -> None:
        self._sensors = sensors
        self._events = sensors.throttle_events()
        self._seen = sensors.throttled()

    def look(self) -> None:
        """Notes what is so now: firmware forgets after seconds."""
        self._seen |= self._sensors.throttled()

    def reasons(self) -> list[str]:
        """Every reason seen, sorted."""
        self.look()
        events = self._sensors.throttle_events() - self._events
        counted = {f"the processor throttled itself {events} times"} if events > 0 else set()
        return sorted(self._seen | counted)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _numbers(paths: Iterable[Path]) -> list[int]:
    texts = [_text(path) for path in paths]
    return [int(text) for text in texts if text.lstrip("-").isdigit()]


def _celsius(path: Path) -> float | None:
    found = _numbers([path])
    return found[0] * _MILLI if found else None


def _hexadecimal(path: Path) -> int:
    try:
        return int(_text(path), 16)  # bare, without 0x
    except ValueError:
        return 0
