"""Every kind of sensor on the layout of a board that has it: rails, units, and which of them are the whole board."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from node_service.power import Kind, find_sensors
from node_service.power.pmic import find_pmic, parse_rails
from tests.node_service.power import trees


@pytest.mark.parametrize(
    ("make", "source", "whole", "watts"),
    [
        (trees.jetson_nano, "ina3221", ["POM_5V_IN"], {"POM_5V_IN": 5.2, "POM_5V_GPU": 1.1, "POM_5V_CPU": 1.9}),
        (trees.jetson_orin_nano, "ina3221", ["VDD_IN"], {"VDD_IN": 5.88, "VDD_CPU_GPU_CV": 1.96, "VDD_SOC": 1.47}),
        (
            trees.agx_orin,
            "ina3221",
            ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"],
            {"VDD_GPU_SOC": 4.0, "VDD_CPU_CV": 2.0, "VIN_SYS_5V0": 3.0, "VDDQ_VDD2_1V8AO": 0.5},
        ),
        (trees.ina226_on_a_pi, "hwmon", ["ina226/power1"], {"ina226/power1": 4.08, "amdgpu/PPT": 9.0}),
        (trees.battery_and_usb, "power_supply", ["BAT0"], {"BAT0": 6.0}),
    ],
)
def test_rails_and_the_whole_board(
    tmp_path: Path, make: Callable[[Path], None], source: str, whole: list[str], watts: dict[str, float]
) -> None:
    make(tmp_path)
    (sensor,) = find_sensors(tmp_path)
    assert (sensor.source, sensor.kind, list(sensor.whole)) == (source, Kind.WATTS, whole)
    assert sensor.read() == pytest.approx(watts)


def test_board_without_a_sensor_has_none(tmp_path: Path) -> None:
    assert find_sensors(tmp_path) == []


def test_jetson_is_not_measured_twice_by_the_general_interface(tmp_path: Path) -> None:
    """Its chip stands under /sys/class/hwmon as well."""
    trees.jetson_orin_nano(tmp_path)
    trees.write(tmp_path, {"sys/class/hwmon/hwmon3/name": "ina3221", "sys/class/hwmon/hwmon3/power1_input": 1})
    assert [sensor.source for sensor in find_sensors(tmp_path)] == ["ina3221"]


def test_energy_inputs_are_counters(tmp_path: Path) -> None:
    trees.write(tmp_path, {"sys/class/hwmon/hwmon0/name": "ina230", "sys/class/hwmon/hwmon0/energy1_input": 2_500_000})
    (sensor,) = find_sensors(tmp_path)
    assert (sensor.kind, sensor.whole, sensor.read()) == (Kind.JOULES, ["ina230/energy1"], {"ina230/energy1": 2.5})


def test_chips_of_one_name_are_told_apart_by_what_is_behind_them(tmp_path: Path) -> None:
    for index, device in enumerate(("1-0040", "1-0041")):
        chip = f"sys/class/hwmon/hwmon{index}"
        trees.write(tmp_path, {f"{chip}/name": "ina219", f"{chip}/power1_input": 1_000_000, f"devices/{device}/x": 0})
        (tmp_path / chip / "device").symlink_to(tmp_path / "devices" / device)
    (sensor,) = find_sensors(tmp_path)
    assert sensor.read() == {"ina219-1-0040/power1": 1.0, "ina219-1-0041/power1": 1.0}


def test_rapl_counts_packages_and_not_their_parts(tmp_path: Path) -> None:
    trees.rapl(tmp_path, 250_000)
    (sensor,) = find_sensors(tmp_path)
    assert (sensor.source, sensor.kind, list(sensor.whole)) == ("rapl", Kind.JOULES, ["package-0"])
    assert sensor.read() == pytest.approx({"package-0": 0.25})
    assert sensor.wraps_at_j == pytest.approx(0.999999)


@pytest.mark.parametrize("content", [None, "not a number"])
def test_rapl_that_cannot_be_read_is_none(tmp_path: Path, content: str | None) -> None:
    energy = trees.rapl(tmp_path) / "energy_uj"
    energy.unlink()
    if content is None:
        energy.mkdir()  # as good as forbidden: root may read any file
    else:
        energy.write_text(content)
    assert find_sensors(tmp_path) == []


@pytest.mark.parametrize("status", ["Charging", "Full"])
def test_battery_that_is_charged_gives_nothing(tmp_path: Path, status: str) -> None:
    trees.battery_and_usb(tmp_path, status)
    (sensor,) = find_sensors(tmp_path)
    assert sensor.read() == {"BAT0": 0.0}


def test_supply_from_outside_counts_before_batteries(tmp_path: Path) -> None:
    trees.battery_and_usb(tmp_path)
    trees.write(
        tmp_path,
        {
            "sys/class/power_supply/ucsi-source-psy-1/type": "USB",
            "sys/class/power_supply/ucsi-source-psy-1/power_now": 7_000_000,
        },
    )
    (sensor,) = find_sensors(tmp_path)
    assert list(sensor.whole) == ["ucsi-source-psy-1"]
    assert sensor.read()["ucsi-source-psy-1"] == 7.0


class Firmware:
    """Answers as the mailbox of a Raspberry Pi does."""

    def __init__(self, text: str, error: int = 0) -> None:
        self.text, self.error = text, error
        self.asked: list[str] = []

    def __call__(self, message: bytearray) -> None:
        size, request, tag, room, _, _ = struct.unpack_from("=6I", message)
        assert (size, request, tag, room) == (len(message), 0, 0x00030080, 1024)
        self.asked.append(message[24:1048].split(b"\0")[0].decode())
        struct.pack_into("=I1024s", message, 20, self.error, self.text.encode())


def test_pi5_pairs_volts_and_amperes_by_name(tmp_path: Path) -> None:
    firmware = Firmware(trees.PI5)
    sensor = find_pmic(tmp_path, firmware)
    assert sensor is not None
    assert sensor.read() == pytest.approx({"3V7_WL_SW": 0.0, "3V3_SYS": 0.33, "VDD_CORE": 1.8})
    assert list(sensor.whole) == ["3V7_WL_SW", "3V3_SYS", "VDD_CORE"]
    assert set(firmware.asked) == {"pmic_read_adc"}


def test_pi5_of_other_firmware_writes_shorter_lines() -> None:
    assert parse_rails("VDD_CORE_A=2.0A\nVDD_CORE_V=0.9V\n") == pytest.approx({"VDD_CORE": 1.8})


@pytest.mark.parametrize("firmware", [Firmware("", 1), Firmware('error=1 error_msg="Command not registered"')])
def test_earlier_pi_has_no_such_sensor(tmp_path: Path, firmware: Firmware) -> None:
    assert find_pmic(tmp_path, firmware) is None


def test_mailbox_that_is_no_device_is_no_sensor(tmp_path: Path) -> None:
    trees.write(tmp_path, {"dev/vcio": ""})
    assert find_sensors(tmp_path) == []
