"""Faults of a board that can be brought about here, and undone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# An address of nobody: what is sent to it gets lost without a word.
_NOBODY = "02:00:00:00:00:01"


@dataclass(frozen=True)
class Target:
    """A board as faults need it.

    Attributes:
        pid: of its node service.
        namespace: its network namespace's name.
        neighbours: the addresses of all other machines.
    """

    name: str
    pid: int
    namespace: str
    neighbours: Sequence[str]


def kill(target: Target) -> None:
    """SIGKILL: the system closes its connections."""
    os.kill(target.pid, signal.SIGKILL)


def freeze(target: Target) -> None:
    """SIGSTOP: its system answers for it."""
    os.kill(target.pid, signal.SIGSTOP)


def cut(target: Target) -> None:
    """Nothing comes in or goes out, and nobody is told."""
    _ip(target, "link", "set", "dev", "eth0", "down")


def cut_one_way(target: Target) -> None:
    """What it sends gets lost; what it is sent comes in."""
    for host in target.neighbours:
        _ip(target, "neighbour", "replace", host, "lladdr", _NOBODY, "nud", "permanent", "dev", "eth0")


def nothing(target: Target) -> None:
    """Whoever asked for the trial strikes."""


def undo(target: Target) -> None:
    """Brings the link back, and lets a process that was stopped run; a killed one is to be started again."""
    _ip(target, "link", "set", "dev", "eth0", "up")
    for host in target.neighbours:
        _ip(target, "neighbour", "del", host, "dev", "eth0", is_needed=False)
    os.kill(target.pid, signal.SIGCONT)


def _ip(target: Target, *words: str, is_needed: bool = True) -> None:
    subprocess.run(["ip", "-n", target.namespace, *words], check=is_needed, capture_output=not is_needed, timeout=10)


FAULTS: dict[str, Callable[[Target], None]] = {
    "kill": kill,
    "freeze": freeze,
    "cut": cut,
    "cut-one-way": cut_one_way,
    # Killed and started again, over and over.
    "flap": nothing,
}
