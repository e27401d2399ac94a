"""Trees of files as boards show them, made from the documented layouts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write(root: Path, files: Mapping[str, object]) -> None:
    """Each file with its end of line, as sysfs has it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def jetson_nano(root: Path) -> None:
    """JetPack 4: a total rail and two of its parts, in milliwatts."""
    device = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    for index, (rail, milliwatts) in enumerate([("POM_5V_IN", 5200), ("POM_5V_GPU", 1100), ("POM_5V_CPU", 1900)]):
        write(
            root,
            {
                f"{device}/rail_name_{index}": rail,
                f"{device}/in_power{index}_input": milliwatts,
                f"{device}/in_voltage{index}_input": 5000,
                f"{device}/in_current{index}_input": milliwatts // 5,
            },
        )


def jetson_orin_nano(root: Path) -> None:
    """JetPack 5 and 6: volts and amperes; in7 is a sum of shunts."""
    device = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    rails = [("VDD_IN", 4900, 1200), ("VDD_CPU_GPU_CV", 4900, 400), ("VDD_SOC", 4900, 300)]
    for channel, (rail, millivolts, milliamperes) in enumerate(rails, start=1):
        write(
            root,
            {
                f"{device}/in{channel}_label": rail,
                f"{device}/in{channel}_input": millivolts,
                f"{device}/curr{channel}_input": milliamperes,
                f"{device}/in{channel + 3}_input": 77,
            },
        )
    write(
        root, {f"{device}/name": "ina3221", f"{device}/in7_label": "sum of shunt voltages", f"{device}/in7_input": 231}
    )


def agx_orin(root: Path) -> None:
    """Two chips, no total rail, one channel that is not connected."""
    chips = {
        "1-0040/hwmon/hwmon4": [("VDD_GPU_SOC", 8000, 500), ("VDD_CPU_CV", 8000, 250), ("VIN_SYS_5V0", 5000, 600)],
        "1-0041/hwmon/hwmon5": [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 100), ("NC", 0, 0)],
    }
    for chip, rails in chips.items():
        for channel, (rail, millivolts, milliamperes) in enumerate(rails, start=1):
            base = f"sys/bus/i2c/drivers/ina3221/{chip}"
            write(
                root,
                {
                    f"{base}/in{channel}_label": rail,
                    f"{base}/in{channel}_input": millivolts,
                    f"{base}/curr{channel}_input": milliamperes,
                },
            )


def ina226_on_a_pi(root: Path) -> None:
    """A monitor soldered into the supply, beside a chip that measures a part, and one without power."""
    write(
        root,
        {
            "sys/class/hwmon/hwmon0/name": "cpu_thermal",
            "sys/class/hwmon/hwmon0/temp1_input": 51000,
            "sys/class/hwmon/hwmon1/name": "ina226",
            "sys/class/hwmon/hwmon1/in1_input": 5100,
            "sys/class/hwmon/hwmon1/curr1_input": 800,
            "sys/class/hwmon/hwmon1/power1_input": 4080000,
            "sys/class/hwmon/hwmon2/name": "amdgpu",
            "sys/class/hwmon/hwmon2/power1_average": 9000000,
            "sys/class/hwmon/hwmon2/power1_label": "PPT",
            "sys/class/hwmon/hwmon3/name": "ina3221",
            "sys/class/hwmon/hwmon3/power1_input": 1,
        },
    )


def rapl(root: Path, energy_uj: int = 1000, range_uj: int = 999_999) -> Path:
    """A package with a part of it, and the platform beside them; the package's directory."""
    base = "sys/class/powercap"
    for zone, name, value in (
        ("intel-rapl:0", "package-0", energy_uj),
        ("intel-rapl:0:0", "core", 5),
        ("intel-rapl:1", "psys", 0),
    ):
        write(
            root,
            {
                f"{base}/{zone}/name": name,
                f"{base}/{zone}/energy_uj": value,
                f"{base}/{zone}/max_energy_range_uj": range_uj,
            },
        )
    return root / base / "intel-rapl:0"


def battery_and_usb(root: Path, status: str = "Discharging") -> None:
    """A battery that gives its current as negative, and a USB-C supply that is empty."""
    base = "sys/class/power_supply"
    write(
        root,
        {
            f"{base}/BAT0/type": "Battery",
            f"{base}/BAT0/status": status,
            f"{base}/BAT0/voltage_now": 12_000_000,
            f"{base}/BAT0/current_now": -500_000,
            f"{base}/AC/type": "Mains",
            f"{base}/AC/online": 0,
        },
    )


PI5 = """\
 3V7_WL_SW_A current(0)=0.00000000A
   3V3_SYS_A current(1)=0.10000000A
  VDD_CORE_A current(7)=2.00000000A
 3V7_WL_SW_V volt(8)=3.79999600V
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.90000000V
    EXT5V_V volt(24)=5.06788000V
     BATT_V volt(25)=3.01110800V
"""
