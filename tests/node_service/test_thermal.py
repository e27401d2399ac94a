"""Temperature and throttling, on trees as boards show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_service.thermal import ThermalSensors, ThrottleWatch

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


def write(root: Path, files: dict[str, str]) -> ThermalSensors:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return ThermalSensors(root)


def zone(number: int, kind: str, temperature: str) -> dict[str, str]:
    path = f"sys/class/thermal/thermal_zone{number}"
    return {f"{path}/type": kind, f"{path}/temp": temperature}


def test_machine_that_says_nothing_is_well(tmp_path: Path) -> None:
    sensors = ThermalSensors(tmp_path)
    assert sensors.temperature_c() is None
    assert sensors.hot() is None
    assert ThrottleWatch(sensors).reasons() == []


def test_temperature_is_the_hottest_processor_zone(tmp_path: Path) -> None:
    sensors = write(
        tmp_path,
        {**zone(0, "CPU-therm", "51500"), **zone(1, "tj-thermal", "53250"), **zone(2, "battery", "90000")},
    )
    assert sensors.temperature_c() == pytest.approx(53.25)


def test_zones_that_are_switched_off_are_passed_over(tmp_path: Path) -> None:
    sensors = write(tmp_path, {**zone(0, "cpu-thermal", "48000"), **zone(1, "soc0-thermal", "")})
    (tmp_path / "sys/class/thermal/thermal_zone2/temp").mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone2/type").write_text("cpu1-thermal")
    assert sensors.temperature_c() == pytest.approx(48)


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        ("0", []),
        ("50005", ["the firmware throttles", "the supply's voltage is too low"]),
        ("20000", ["the firmware caps the clock"]),
        ("8", ["the firmware's soft temperature limit is reached"]),
        ("nonsense", []),
    ],
)
@pytest.mark.parametrize(
    "path", [FIRMWARE, "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"]
)
def test_firmware_of_a_raspberry_pi_names_the_reason(tmp_path: Path, bits: str, words: list[str], path: str) -> None:
    assert ThrottleWatch(write(tmp_path, {path: bits})).reasons() == words


def test_throttling_that_passes_is_remembered(tmp_path: Path) -> None:
    watch = ThrottleWatch(write(tmp_path, {FIRMWARE: "0"}))
    write(tmp_path, {FIRMWARE: "4"})
    watch.look()
    write(tmp_path, {FIRMWARE: "0"})
    assert watch.reasons() == ["the firmware throttles"]


def test_cooling_by_a_lower_clock_is_throttling_and_a_fan_is_not(tmp_path: Path) -> None:
    device = "sys/class/thermal/cooling_device"
    sensors = write(
        tmp_path,
        {
            f"{device}0/type": "pwm-fan",
            f"{device}0/cur_state": "3",
            f"{device}1/type": "thermal-cpufreq-0",
            f"{device}1/cur_state": "2",
            f"{device}2/type": "thermal-cpufreq-1",
            f"{device}2/cur_state": "0",
        },
    )
    assert sensors.throttled() == {"the kernel lowers the clock to cool (thermal-cpufreq-0)"}


def test_events_of_the_processors_own_protection_are_counted_from_the_start_of_the_watch(tmp_path: Path) -> None:
    counter = "sys/devices/system/cpu/cpu{}/thermal_throttle/{}_throttle_count"
    sensors = write(tmp_path, {counter.format(0, "core"): "7", counter.format(1, "package"): "1"})
    watch = ThrottleWatch(sensors)
    assert watch.reasons() == []
    write(tmp_path, {counter.format(0, "core"): "10"})
    assert watch.reasons() == ["the processor throttled itself 3 times"]


@pytest.mark.parametrize(("temperature", "is_hot"), [("79000", False), ("81000", True)])
def test_board_is_hot_within_five_degrees_of_where_the_kernel_slows_it_down(
    tmp_path: Path, temperature: str, is_hot: bool
) -> None:
    path = "sys/class/thermal/thermal_zone0"
    trips = {
        f"{path}/trip_point_0_type": "active",
        f"{path}/trip_point_0_temp": "50000",
        f"{path}/trip_point_1_type": "passive",
        f"{path}/trip_point_1_temp": "85000",
        f"{path}/trip_point_2_type": "critical",
        f"{path}/trip_point_2_temp": "105000",
    }
    hot = write(tmp_path, {**zone(0, "cpu-thermal", temperature), **trips}).hot()
    assert (hot == "hot: 81 C, and the kernel slows the processor down from 85 C on") is is_hot
    assert (hot is None) is not is_hot
