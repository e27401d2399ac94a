"""Runs programs of an image that is being made, also those of another architecture, and leaves the machine as it was.

Programs of another architecture run under qemu-user, which the kernel has to be told of by binfmt_misc. Since Linux 6.7
that is a matter of each user namespace: what is registered in one of our own ends with it, and is nobody else's.

    unshare --user          identity mapping of all ids, so that files belong to whom they should
      unshare --mount --pid    where binfmt_misc is mounted and the emulator registered; its end ends all in it
        chroot ROOT              debootstrap's second stage, then the recipe's own
"""

from __future__ import annotations

import select
import subprocess
from pathlib import Path

from deploy.virtual_boards.architecture import Architecture
from deploy.virtual_boards.errors import ToolError
from deploy.virtual_boards.processes import last_lines

_ALL_IDS = "0 0 4294967295\n"
_START_TIMEOUT_S = 20.0
_EMULATORS = Path("/usr/bin")
_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "container": "lxc",  # debootstrap then does not try to make device nodes, which takes the first user namespace
}
# Says that it is in its user namespace, and waits until ids are mapped there.
_ENTER = 'echo entered; read -r _ && exec "$@" >&2'
_WORK = """\
set -eu
root=$1 emulator=$2 setup=$3
if [ -n "$emulator" ]; then
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  printf %s "$emulator" > /proc/sys/fs/binfmt_misc/register
fi
chroot "$root" /debootstrap/debootstrap --second-stage
mount -t proc proc "$root/proc"
chroot "$root" sh -euc "$setup"
"""


def configure_root(root: Path, kind: Architecture, setup: str, log: Path, *, timeout_s: float) -> None:
    """Configures the unpacked packages below `root`, and runs the script `setup` there.

    Raises: ToolError: something failed, with the end of the log; this kernel cannot do it; or the time is over.
    """
    emulator = binfmt_line(kind, _EMULATORS / kind.program_emulator) if kind.is_foreign else ""
    inner = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", _WORK, "sh"]
    argv = ["unshare", "--user", "--", "sh", "-c", _ENTER, "sh", *inner, str(root), emulator, setup]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, env=_ENVIRONMENT
        )
    with process:
        try:
            _map_ids(process)
            process.communicate(b"\n", timeout=timeout_s)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"the {kind.name} image was not configured: {error}\n{last_lines(log)}") from error
        finally:
            process.kill()
    if process.returncode != 0:
        raise ToolError(f"the {kind.name} image was not configured ({log}):\n{last_lines(log)}")


def binfmt_line(kind: Architecture, interpreter: Path) -> str:
    """What binfmt_misc takes for programs of an architecture, 64 bit and little-endian.

    Flag F has the kernel open the interpreter now, as the image has none. The mask leaves out the ABI's name and the lowest
    bit of the type, which tells programs (2) from position-independent ones (3).
    """
    magic = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + kind.elf_machine.to_bytes(2, "little")
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
    return f":{kind.program_emulator}:M::{_escaped(magic)}:{_escaped(mask)}:{interpreter}:F"


def _map_ids(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], _START_TIMEOUT_S)[0] or not process.stdout.readline():
        raise OSError("this kernel, or this user, has no user namespaces")
    for what in ("uid_map", "gid_map"):
        Path(f"/proc/{process.pid}/{what}").write_text(_ALL_IDS)


def _escaped(value: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in value)
