"""A second set of emulated boards beside the plaintext ones: the same, with mutual TLS on every hop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.boards import BoardSpec, EmulatedBoards
from benchmarks.boards.thread_quota import ThreadQuota
from benchmarks.chain.measuring import RunRequest, SpareCore
from dispatcher_client.certificates import Right, make_fleet

_OPERATOR = "operator"


@dataclass(frozen=True)
class SecureBoards:
    """Boards of the names that the plaintext ones have, and the dispatcher's credentials."""

    boards: EmulatedBoards
    operator: Path

    def request(self, plaintext: RunRequest) -> RunRequest:
        """The same run with TLS."""
        spare = plaintext.spare and spare_core(self.boards, plaintext.spare.cores)
        return replace(plaintext, boards=self.boards.named, credentials=self.operator, spare=spare)


@contextlib.contextmanager
def secure_boards(specs: Sequence[BoardSpec], scratch: Path) -> Iterator[SecureBoards]:
    """Args: scratch: where their certificates are made."""
    made = make_fleet(scratch / "fleet", {spec.name: [] for spec in specs}, {_OPERATOR: Right.OPERATE})
    with EmulatedBoards(specs, credentials=made) as boards:
        yield SecureBoards(boards, made[_OPERATOR])


def spare_core(boards: EmulatedBoards, cores: float) -> SpareCore | None:
    """What holds each board's computing thread to its share of a core; None where that cannot be emulated."""
    if "cpu" in boards.not_emulated:
        return None
    return SpareCore(cores, {b.spec.name: (b.process.pid, ThreadQuota(b.group)) for b in boards.boards})
