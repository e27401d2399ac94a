"""Kills a writer of files at each of its operations on files, and within its writes, and says what is found afterwards.

`python -m tests.kill_everywhere MODULE CASE DIRECTORY`: CASE is a `KillCase` in that module. A process of its own, as it forks.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.listdir", "os.scandir"}
_EVENTS |= {"os.truncate", "os.link", "tempfile.mkstemp", "tempfile.mkdtemp", "fcntl.flock"}
# Without audit events.
_CALLS = ("fsync", "write", "fdatasync")
_MOST = 400


@dataclass(frozen=True)
class KillCase:
    """A writer. `prepare` makes the old state in an empty directory, `act` the new one, `look` opens the state and names it.

    Attributes: step_bytes: files are cut off at each multiple of it; of a writer whose files stay below it, never.
    also_before: modules' functions that change files without an audit event, as "module.function".
    """

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    look: Callable[[Path], str]
    step_bytes: int = 701
    also_before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kill:
    """Attributes: found: the state after the kill. healed: after the writer ran again.
    leftovers: files beyond those of a writer that was never killed.
    """

    how: str
    was_killed: bool
    found: str
    healed: str
    leftovers: list[str]


def kill_everywhere(module: str, case: str, directory: Path) -> list[Kill]:
    """One entry per place; the last one of each way, where the writer came to its end, included."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.kill_everywhere", module, case, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return [Kill(**json.loads(line)) for line in done.stdout.splitlines()]


def assert_old_or_new(kills: Iterable[Kill]) -> None:
    """From old to new, once, and nothing is left over."""
    kills = list(kills)
    for how in ("event", "byte"):
        runs = [kill for kill in kills if kill.how == how]
        assert [kill.was_killed for kill in runs] == [True] * (len(runs) - 1) + [False]
        found = [kill.found for kill in runs]
        assert found == sorted(found, key=["old", "new"].index), found
        assert (found[0], found[-1]) == ("old", "new")
    assert {kill.healed for kill in kills} == {"new"}
    assert {name for kill in kills for name in kill.leftovers} == set()
    assert sum(kill.how == "event" and kill.was_killed for kill in kills) > 3
    assert sum(kill.how == "byte" and kill.was_killed for kill in kills) > 1


def _run(case: KillCase, root: Path) -> None:
    clean = root / "clean"
    clean.mkdir()
    case.prepare(clean)
    case.act(clean)
    case.look(clean)
    usual = _shape(clean)
    for how, arm in (("event", _die_at_event), ("byte", _die_at_byte)):
        for count in range(_MOST):
            place = root / f"{how}-{count}"
            place.mkdir()
            case.prepare(place)
            status = _in_child(partial(arm, case, count), partial(case.act, place))
            was_killed = os.WIFSIGNALED(status)
            assert was_killed or os.WEXITSTATUS(status) == 0, f"{how} {count}: the writer failed"
            found = case.look(place)
            case.act(place)
            kill = Kill(how, was_killed, found, case.look(place), sorted(_shape(place) - usual))
            print(json.dumps(vars(kill)), flush=True)
            if not was_killed:
                break
        else:
            raise AssertionError(f"more than {_MOST} places")


def _in_child(*steps: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        for step in steps:
            step()
        status = 0
    finally:
        os._exit(status)


def _die_at_event(case: KillCase, count: int) -> None:
    left = itertools.count(count, -1)

    def tick() -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner: Any, name: str) -> None:
        call = getattr(owner, name)

        def ticking(*arguments: Any) -> Any:
            tick()
            return call(*arguments)

        setattr(owner, name, ticking)

    for name in _CALLS:
        before(os, name)
    for path in case.also_before:
        owner, _, name = path.rpartition(".")
        before(importlib.import_module(owner), name)
    sys.addaudithook(lambda event, arguments: tick() if event in _EVENTS else None)


def _die_at_byte(case: KillCase, count: int) -> None:
    limit = count * case.step_bytes
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _shape(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")}


if __name__ == "__main__":
    _run(getattr(importlib.import_module(sys.argv[1]), sys.argv[2]), Path(sys.argv[3]))
