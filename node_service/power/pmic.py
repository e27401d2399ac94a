"""The power management chip of the Raspberry Pi 5: voltage and current of twelve rails, by one request to the firmware.

The firmware's mailbox answers as `vcgencmd pmic_read_adc` prints it, without a process for each sample. What is fed straight
from 5 V (USB, HATs, a fan) is in none of the rails. Earlier boards have no sensor of current, and answer with an error.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from node_service.power.sensor import Kind, Sensor

_DEVICE = "dev/vcio"
# _IOWR(100, 0, char *): the size of a pointer is part of it.
_REQUEST = 0xC0000000 | struct.calcsize("P") << 16 | 100 << 8
_GET_GENCMD_RESULT = 0x00030080
_TEXT_BYTES = 1024
# Size of the message, request, tag, size of its buffer, length, error; the text; the end tag.
_MESSAGE = struct.Struct(f"=6I{_TEXT_BYTES}sI")
_COMMAND = b"pmic_read_adc"
# "VDD_CORE_A current(7)=10.87A", "VDD_CORE_V volt(15)=0.89V" and, of other firmware, "VDD_CORE_V=0.89V".
_LINE = re.compile(r"^\s*(\S+)_([AV])(?:\s+(?:current|volt)\(\d+\))?=([0-9.]+)[AV]\s*$", re.MULTILINE)

Exchange = Callable[[bytearray], None]


def find_pmic(root: Path, exchange: Exchange | None = None) -> Sensor | None:
    """The sensor, if this is a board that has one.

    Args: exchange: what sends a message to the mailbox, and puts the answer into it; by default this machine's device.
    """
    device = root / _DEVICE
    if exchange is None and not device.exists():
        return None
    sensor_read = partial(_read, exchange or partial(_ask, device))
    try:
        rails = list(sensor_read())
    except (OSError, ValueError):
        return None
    return Sensor("pmic", Kind.WATTS, rails, sensor_read)


def _ask(device: Path, message: bytearray) -> None:
    handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, _REQUEST, message, True)
    finally:
        os.close(handle)


def _read(exchange: Exchange) -> dict[str, float]:
    message = bytearray(_MESSAGE.pack(_MESSAGE.size, 0, _GET_GENCMD_RESULT, _TEXT_BYTES, 0, 0, _COMMAND, 0))
    exchange(message)
    *_, error, text, _ = _MESSAGE.unpack(message)
    if error:
        raise OSError(f"the firmware answers {_COMMAND.decode()} with error {error}")
    return parse_rails(text.split(b"\0")[0].decode(errors="replace"))


def parse_rails(text: str) -> dict[str, float]:
    """Watts by rail; rails of which only the voltage is known are left out. Raises: ValueError: no rail in it."""
    volts: dict[str, float] = {}
    amperes: dict[str, float] = {}
    for rail, unit, value in _LINE.findall(text):
        (amperes if unit == "A" else volts)[rail] = float(value)
    # Not by the number in brackets: it does not pair a rail's two figures.
    watts = {rail: volts[rail] * current for rail, current in amperes.items() if rail in volts}
    if not watts:
        raise ValueError("no rail with voltage and current")
    return watts
