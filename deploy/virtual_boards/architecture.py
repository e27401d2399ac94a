"""The kinds of processor that a virtual board can have, and what each takes."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass

from deploy.virtual_boards.errors import FleetSpecError


@dataclass(frozen=True)
class Architecture:
    """One kind of processor.

    Args:
        name: as Debian calls it.
        machine: as the kernel and qemu call it.
        elf_machine: e_machine in the header of its programs, from elf.h.
        emulator_package: the Debian package of its qemu-system.
        machine_options: the board and processor that qemu-system plays.
        console: the kernel's name of the serial port.
        memory_mib: memory of a board.
    """

    name: str
    machine: str
    elf_machine: int
    emulator_package: str
    machine_options: tuple[str, ...]
    console: str
    memory_mib: int

    @property
    def emulator(self) -> str:
        """The program that plays a board."""
        return f"qemu-system-{self.machine}"

    @property
    def program_emulator(self) -> str:
        """The program that runs single programs of this architecture on another one's kernel."""
        return f"qemu-{self.machine}-static"

    @property
    def is_foreign(self) -> bool:
        """Whether this machine's own processor cannot run its programs."""
        return platform.machine() != self.machine


ARCHITECTURES = {
    kind.name: kind
    for kind in (
        Architecture("amd64", "x86_64", 0x3E, "qemu-system-x86", ("-machine", "q35", "-cpu", "max"), "ttyS0", 512),
        # The Raspberry Pi 4's processor; `max` would spend time on emulating pointer authentication.
        Architecture(
            "arm64", "aarch64", 0xB7, "qemu-system-arm", ("-machine", "virt", "-cpu", "cortex-a72"), "ttyAMA0", 512
        ),
    )
}


def architectures(names: Iterable[str]) -> list[Architecture]:
    """The named ones, in order. Raises: FleetSpecError: none of that name."""
    wanted = list(names)
    unknown = sorted(set(wanted) - set(ARCHITECTURES))
    if unknown:
        raise FleetSpecError(
            f"no virtual boards of the architecture {', '.join(unknown)}; there are {', '.join(ARCHITECTURES)}."
        )
    return [ARCHITECTURES[name] for name in wanted]
