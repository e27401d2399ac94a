"""One trial after the other on emulated boards, each of which is whole again before the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.boards import EmulatedBoards
from benchmarks.faults.faults import Target, undo
from benchmarks.faults.trial import TrialRequest, TrialResult, run_trial
from fleet.inventory import Inventory

_TRIAL_TIMEOUT_S = 180.0
_FLAP_S = 2.0
_LOOK_EVERY_S = 0.05


def run_trials(
    cluster: EmulatedBoards,
    bundle: Path,
    n_boards: int,
    fault: str,
    seeds: Sequence[int],
    n_struck: int,
    after_s: float,
) -> Iterator[TrialResult]:
    """The first `n_boards` boards serve and may be struck, the others are spares."""
    named = cluster.named
    inventory = Inventory(tuple(named), spares=tuple(board.name for board in named[n_boards:]))
    hosts = [cluster.dispatcher_host, *(board.address.host for board in named)]
    for seed in seeds:
        targets = [
            Target(b.spec.name, b.process.pid, b.namespace.name, [h for h in hosts if h != b.address.host])
            for b in cluster.boards
        ]
        started = bundle.parent / "started"
        started.unlink(missing_ok=True)
        request = TrialRequest(bundle, inventory, targets[:n_boards], fault, seed, n_struck, after_s, str(started))
        ended = threading.Event()
        flapping = threading.Thread(target=_flap, args=(cluster, started, ended), daemon=True)
        if fault == "flap":
            flapping.start()
        try:
            result = cluster.call(run_trial, request, timeout_s=_TRIAL_TIMEOUT_S + after_s)
        finally:
            ended.set()
            if fault == "flap":
                flapping.join()
        for target in targets:
            if target.name in result.struck:
                if fault not in ("kill", "flap"):
                    undo(target)
                cluster.restart(target.name)
        yield result


def _flap(cluster: EmulatedBoards, started: Path, ended: threading.Event) -> None:
    """On a thread: from the moment of the fault on kills the boards, and starts them again, every two seconds."""
    while not started.exists():
        if ended.wait(_LOOK_EVERY_S):
            return
    names = started.read_text().split()
    while True:
        for board in cluster.boards:
            if board.spec.name in names:
                board.process.kill()
        if ended.wait(_FLAP_S):
            return
        for name in names:
            cluster.restart(name)
        if ended.wait(_FLAP_S):
            return
