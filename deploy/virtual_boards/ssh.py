"""How to log in to virtual boards: throw-away machines with keys of their own image, which nobody need tell apart."""

from __future__ import annotations

from pathlib import Path

from deploy.virtual_boards.recipe import USER

# All boards of an architecture have one image's host key, under addresses that the next fleet has again. A connection to a
# board whose power was cut ends by itself, yet only after more than an emulated board on a busy machine may be silent.
COMMON_OPTIONS = (
    *("-F", "none"),
    *("-o", "StrictHostKeyChecking=no"),
    *("-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "IdentitiesOnly=yes"),
    *("-o", "ServerAliveInterval=15"),
    *("-o", "ServerAliveCountMax=4"),
    *("-o", "LogLevel=ERROR"),
)
_CONNECT_TIMEOUT_S = 20


def ssh_command(host: str, private_key: Path, command: str) -> list[str]:
    """A command line that runs `command` in a shell of the board's."""
    options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_TIMEOUT_S}", "-i", str(private_key)]
    return ["ssh", *COMMON_OPTIONS, *options, f"{USER}@{host}", command]
