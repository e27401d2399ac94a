"""What changes a fleet's directory, to be killed everywhere. Whatever is found, every machine accepts every other one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from dispatcher_client.certificates import FleetDirectory, Holder, make_fleet
from dispatcher_client.certificates.authority_change import Step, begin, finish, forget_old, step_of
from tests.dispatcher_client.certificates.handshakes import shake_hands
from tests.kill_everywhere import KillCase

BOARDS, CLIENTS = {"pi1": ["10.0.0.11"]}, {"laptop": "operate"}
_NOW = datetime.now(timezone.utc).replace(microsecond=0)


def prepared(*steps: Callable[[FleetDirectory], object]) -> Callable[[Path], None]:
    """The fleet after some steps, copied to its machines."""
    made: list[Path] = []

    def prepare(place: Path) -> None:
        if not made:
            made.append(place.with_name("prepared"))
            make_fleet(made[0], BOARDS, CLIENTS, days=20, now=_NOW)
            for step in steps:
                with FleetDirectory.opened(made[0], _NOW) as fleet:
                    step(fleet)
        for copy in ("fleet", "machines"):
            shutil.copytree(made[0], place / copy)

    return prepare


def look(place: Path) -> Step:
    """How far it is; each machine must have a pair, and accept the others, copied before or just now."""
    fleet = FleetDirectory(place / "fleet", _NOW)
    assert set(fleet.names) >= {"laptop", "pi1"}
    now, before = place / "fleet", place / "machines"
    for board, client in ((now, now), (now, before), (before, now)):
        shake_hands(board / "pi1", client / "laptop", "pi1")
    return step_of(fleet)


def look_at_step(place: Path) -> str:
    return look(place).value


def issue_board(place: Path) -> None:
    with FleetDirectory.opened(place / "fleet", _NOW) as fleet:
        fleet.issue(fleet.missing([Holder.board("pi2", ["10.0.0.12"])]))


def look_for_board(place: Path) -> str:
    look(place)
    fleet = FleetDirectory(place / "fleet", _NOW)
    if not (place / "fleet" / "pi2").exists():
        return "old"
    shake_hands(place / "fleet" / "pi2", place / "machines" / "laptop", "10.0.0.12")
    return "new" if fleet.credentials("pi2").holder.covers(Holder.board("pi2", ["10.0.0.12"])) else "other"


def renew(place: Path) -> None:
    with FleetDirectory.opened(place / "fleet", _NOW) as fleet:
        fleet.renew(fleet.ending_soon(), days=90)


def look_for_renewed(place: Path) -> str:
    look(place)
    fleet = FleetDirectory(place / "fleet", _NOW)
    ends = {fleet.credentials(name).ends - _NOW for name in fleet.names}
    return {(20,): "old", (20, 90): "mixed", (90,): "new"}[tuple(sorted(end // timedelta(days=1) for end in ends))]


def step(change: Callable[[FleetDirectory], object]) -> Callable[[Path], None]:
    def act(place: Path) -> None:
        with FleetDirectory.opened(place / "fleet", _NOW) as fleet:
            if change is not forget_old or step_of(fleet) is Step.FINISHED:
                change(fleet)

    return act


def make_directory(place: Path) -> None:
    if not (place / "fleet" / "authority").exists():
        FleetDirectory.make(place / "fleet", "green", _NOW)


def look_for_authority(place: Path) -> str:
    if not (place / "fleet" / "authority").exists():
        return "old"
    return "new" if FleetDirectory(place / "fleet").authorities.current.fleet == "green" else "other"


def case(prepare: Callable[[Path], None], act: Callable[[Path], None], see: Callable[[Path], str]) -> KillCase:
    return KillCase(prepare, act, see, step_bytes=200, also_before=("bundle.building.exchange",))


INIT = case(lambda place: None, make_directory, look_for_authority)
ISSUE = case(prepared(), issue_board, look_for_board)
RENEW = case(prepared(), renew, look_for_renewed)
BEGIN = case(prepared(), step(begin), look_at_step)
FINISH = case(prepared(begin), step(finish), look_at_step)
FORGET_OLD = case(prepared(begin, finish), step(forget_old), look_at_step)
