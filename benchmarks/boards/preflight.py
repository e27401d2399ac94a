"""What emulation needs of the machine and of the user, checked before anything is made."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.boards.errors import CannotEmulateError

# Bits of CapEff, from capability.h.
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
_PACKAGES = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux"}


def require_able() -> None:
    """Raises CannotEmulateError, naming everything that is missing."""
    missing = [*_missing_system(), *_missing_rights(), *_missing_commands()]
    if missing:
        raise CannotEmulateError("boards cannot be emulated here: " + "; ".join(missing) + ".")


def _missing_system() -> list[str]:
    if not sys.platform.startswith("linux"):
        return ["it takes Linux"]
    if not Path("/proc/self/ns/net").exists():
        return ["the kernel has no network namespaces"]
    return []


def _missing_rights() -> list[str]:
    """Asked of the process's capabilities, not of its user: root in a container often lacks them."""
    status = Path("/proc/self/status")
    if not status.exists():
        return []
    line = next(line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    held = int(line.split()[1], 16)
    lacking = sorted(name for name, bit in _CAPABILITIES.items() if not held >> bit & 1)
    if not lacking:
        return []
    return [f"this process lacks {' and '.join(lacking)} (run it as root, in a container with --privileged)"]


def _missing_commands() -> list[str]:
    return [
        f"the command {command} is not installed (Debian: apt-get install {package})"
        for command, package in _PACKAGES.items()
        if shutil.which(command) is None
    ]
