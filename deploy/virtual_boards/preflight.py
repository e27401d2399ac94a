"""Programs that images and boards take, looked for before anything is made."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from deploy.virtual_boards.architecture import Architecture
from deploy.virtual_boards.errors import MissingToolsError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PACKAGES = {
    "debootstrap": "debootstrap",
    "gpgv": "gpgv",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "nsenter": "util-linux",
    "qemu-img": "qemu-utils",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "tc": "iproute2",
    "unshare": "util-linux",
}


def require_tools(kinds: Iterable[Architecture]) -> None:
    """Raises: MissingToolsError: naming all that is missing, and the packages that have it."""
    commands = dict(_PACKAGES)
    for kind in kinds:
        commands[kind.emulator] = kind.emulator_package
        if kind.is_foreign:
            commands[kind.program_emulator] = "qemu-user-static"
    missing = {command: package for command, package in commands.items() if shutil.which(command) is None}
    if not KEYRING.exists():
        missing[str(KEYRING)] = "debian-archive-keyring"
    if missing:
        raise MissingToolsError(
            f"virtual boards take {', '.join(sorted(missing))}, not found here. On Debian: apt-get install "
            f"{' '.join(sorted(set(missing.values())))}"
        )
