"""One virtual board: a computer that qemu plays, with its power switch and its console."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.virtual_boards.errors import BoardBootError, BoardCommandError, FleetSpecError
from deploy.virtual_boards.image import BaseImage
from deploy.virtual_boards.network import NETMASK, board_host, board_mac, board_tap
from deploy.virtual_boards.processes import last_lines, run
from deploy.virtual_boards.ssh import ssh_command

_ANSWER_TIMEOUT_S = 30.0
_POLL_S = 0.25
_GONE_TIMEOUT_S = 30.0
_OVERLAY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class BoardSpec:
    """A board: its name, its place in the fleet, which gives its address, and its memory and cores."""

    name: str
    index: int
    memory_mib: int
    cores: int = 1


class VirtualBoard:
    """A board with Debian, systemd and SSH.

    board.boot(timeout_s=120)
    board.run("sudo systemctl restart ssh")
    board.power_cut()  # as pulling the plug: what was not synced may be lost
    board.boot(timeout_s=120)
    """

    def __init__(
        self, spec: BoardSpec, image: BaseImage, enter: Callable[[Sequence[str]], list[str]], directory: Path
    ) -> None:
        """Args: enter: a command line that runs another where the boards' network is. directory: for overlay and log."""
        self.spec = spec
        self.image = image
        self.host = board_host(spec.index)
        self.log = directory / f"{spec.name}.log"  # its console's, over all boots, and the emulator's own
        self._disk = directory / f"{spec.name}.qcow2"
        self._enter = enter
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = "on" if self.is_on else "off"
        return f"<VirtualBoard {self.spec.name} {self.image.kind.name} {self.host} {state}>"

    @property
    def is_on(self) -> bool:
        """Whether the emulator runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The emulator's process while the board is on."""
        return self._process.pid if self._process is not None and self.is_on else None

    def boot(self, *, timeout_s: float) -> None:
        """Turns the board on and waits until it answers. Raises: FleetSpecError: it is on. BoardBootError."""
        self.turn_on()
        self.wait_until_ready(timeout_s=timeout_s)

    def turn_on(self) -> None:
        """Turns the board on, with the disk as it was when power went. Raises: FleetSpecError: it is on. ToolError."""
        if self.is_on:
            raise FleetSpecError(f"{self.spec.name} is on already.")
        if not self._disk.exists():
            backing = ["-f", "qcow2", "-F", "qcow2", "-b", str(self.image.disk)]
            run(["qemu-img", "create", "-q", *backing, str(self._disk)], timeout_s=_OVERLAY_TIMEOUT_S)
        command = self._enter(emulator_command(self.spec, self.image, self._disk, self.log))
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal is for whoever holds the board.
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_ready(self, *, timeout_s: float) -> None:
        """Waits until one can log in. Raises: BoardBootError: with the end of the console's log."""
        deadline_s = time.monotonic() + timeout_s
        while not self._answers():
            if not self.is_on:
                raise BoardBootError(f"{self.spec.name} went off while it booted. {self._console()}")
            if time.monotonic() > deadline_s:
                raise BoardBootError(
                    f"{self.spec.name} did not answer over SSH within {timeout_s:g} s. {self._console()}"
                )
            time.sleep(_POLL_S)

    def run(self, command: str, *, timeout_s: float = 60.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command in a shell of the board's, as user `pi`, who may `sudo`.

        Args: check: whether an exit status other than 0 is an error; 255 may also come from ssh itself.
        Raises: BoardCommandError: it failed, or did not end within `timeout_s`.
        """
        argv = self._enter(ssh_command(self.host, self.image.private_key, command))
        try:
            done = subprocess.run(  # noqa: S603
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BoardCommandError(f"{self.spec.name}: `{command}` did not end within {timeout_s:g} s.") from error
        if check and done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip() or "nothing"
            raise BoardCommandError(f"{self.spec.name}: `{command}` ended with {done.returncode} and said: {said}")
        return done

    def power_cut(self) -> None:
        """Takes the power away; returns once the emulator is gone. A board that is off stays so."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_GONE_TIMEOUT_S)
            self._process = None

    def shut_down(self, *, timeout_s: float = 90.0) -> None:
        """Has the board shut down and waits until it is off. Raises: FleetSpecError: it is off. BoardCommandError."""
        if self._process is None or not self.is_on:
            raise FleetSpecError(f"{self.spec.name} is off already.")
        # The connection may end before the command does.
        self.run("sudo systemctl poweroff", timeout_s=timeout_s, check=False)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise BoardCommandError(
                f"{self.spec.name} did not shut down within {timeout_s:g} s. {self._console()}"
            ) from None

    def _answers(self) -> bool:
        try:
            return self.run("true", timeout_s=_ANSWER_TIMEOUT_S, check=False).returncode == 0
        except BoardCommandError:
            return False

    def _console(self) -> str:
        return f"The end of {self.log}:\n{last_lines(self.log)}"


def emulator_command(spec: BoardSpec, image: BaseImage, disk: Path, log: Path) -> list[str]:
    """The command line of qemu: one disk, one network card, entropy, and a serial console that goes to a file.

    Without KVM, which the small machines that run checks do not have. The disk's writes reach this machine's kernel and not
    its disk: a board's power cut keeps what the board synced, this machine's own power cut would not.
    """
    kind = image.kind
    command = [kind.emulator, "-name", spec.name, "-nodefaults", "-no-user-config", "-display", "none"]
    command += [*kind.machine_options, "-accel", "tcg,thread=multi,tb-size=256"]
    command += ["-smp", str(spec.cores), "-m", str(spec.memory_mib)]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", _kernel_arguments(spec, image)]
    command += [
        "-drive",
        f"id=disk,if=none,format=qcow2,cache=unsafe,file={disk}",
        "-device",
        "virtio-blk-pci,drive=disk",
    ]
    command += ["-netdev", f"tap,id=net,ifname={board_tap(spec.index)},script=no,downscript=no"]
    command += ["-device", f"virtio-net-pci,netdev=net,mac={board_mac(spec.index)},romfile="]
    command += ["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"]
    return [*command, "-chardev", f"file,id=console,append=on,path={log}", "-serial", "chardev:console"]


def _kernel_arguments(spec: BoardSpec, image: BaseImage) -> str:
    """systemd-network-generator makes the network's configuration of `ip=`.

    Where addresses are drawn, the emulator translates every program anew that starts: half of a Python's start.
    """
    arguments = [
        "root=/dev/vda",
        "rootfstype=ext4",
        "ro",
        f"console={image.kind.console}",
        "mitigations=off",
        "norandmaps",
    ]
    network = ["net.ifnames=0", f"ip={board_host(spec.index)}:::{NETMASK}:{spec.name}:eth0:none"]
    return " ".join([*arguments, *network, f"systemd.hostname={spec.name}"])
