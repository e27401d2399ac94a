"""Virtual boards: Debian with systemd and SSH under qemu, to try playbooks on what they are written for.

As commands: `python -m deploy.virtual_boards image|up`; from Python: `VirtualFleet`.

What is not a real board's: the kernel, which is Debian's for cloud machines, without sensors, governors or a device tree of
a Raspberry Pi; and time, because every instruction is translated: nothing measured here says how fast a board is.
"""

from deploy.virtual_boards.errors import (
    BoardBootError,
    BoardCommandError,
    FleetSpecError,
    MissingToolsError,
    ToolError,
    VirtualBoardError,
)
from deploy.virtual_boards.fleet import VirtualFleet
from deploy.virtual_boards.image import BaseImage, ready_image
from deploy.virtual_boards.machine import VirtualBoard

__all__ = [
    "BaseImage",
    "BoardBootError",
    "BoardCommandError",
    "FleetSpecError",
    "MissingToolsError",
    "ToolError",
    "VirtualBoard",
    "VirtualBoardError",
    "VirtualFleet",
    "ready_image",
]
