"""`certs` as a user types it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dispatcher_client import certs_command
from dispatcher_client.certificates import FleetDirectory, Holder, Right, make_fleet, read_credentials
from dispatcher_client.certificates.authority import LEAF_DAYS
from dispatcher_client.cli import main
from tests.dispatcher_client.certificates.handshakes import shake_hands

Run = Callable[..., tuple[int, str, str]]

BOARDS = "boards:\n- {name: pi1, address: '10.0.0.11:50051'}\n- {name: pi2, address: '[fe80::2%eth0]:50051'}\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command beside boards.yaml; its exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boards.yaml").write_text(BOARDS)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dispatcher_client", "certs", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def made(run: Run, *arguments: str) -> str:
    """The output of a command that succeeds."""
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    return out


def follow(run: Run, out: str) -> str:
    """Does what a command or `show` says is next."""
    (command,) = re.findall(r"python -m dispatcher_client certs (rotate .*)", out)
    return made(run, *command.split())


def test_fleet_is_made_shown_renewed_and_given_a_new_authority(run: Run, tmp_path: Path) -> None:
    assert "until " in made(run, "init", "fleet", "--fleet", "green")
    out = made(run, "issue", "fleet", "--boards", "boards.yaml")
    assert re.search(r"^pi1: board, until 20..-..-.., copy fleet/pi1/ to it$", out, re.MULTILINE)
    made(run, "issue", "fleet", "camera", "--right", "stream", "--days", "20")
    made(run, "issue", "fleet", "laptop", "--right", "operate")
    fleet = tmp_path / "fleet"
    shake_hands(fleet / "pi2", fleet / "camera", "fe80::2")

    shown = made(run, "show", "fleet")
    for words in (
        "certificates of green",
        "pi2",
        "fe80::2",
        "stream, operate",
        "(ends soon)",
        "next: renew camera and copy",
    ):
        assert words in shown
    assert "camera: client" in follow(run, shown)
    assert "camera" in made(run, "rotate", "fleet")  # twenty days again
    assert "camera" in made(run, "rotate", "fleet", "camera", "--days", "90")
    assert made(run, "rotate", "fleet") == "nothing to do\n"
    assert [line.split(":")[0] for line in made(run, "rotate", "fleet", "--all").splitlines()] == [
        "camera",
        "laptop",
        "pi1",
        "pi2",
    ]

    before = json.loads(made(run, "show", "fleet", "--json"))
    assert (before["step"], before["next"]) == ("settled", None)
    out = made(run, "rotate", "fleet", "--authority")
    assert "step 1 of 3 is done" in made(run, "show", "fleet")
    out = follow(run, out)
    assert "step 2 of 3 is done" in made(run, "show", "fleet")
    follow(run, out)
    after = json.loads(made(run, "show", "fleet", "--json"))
    assert (after["step"], after["next"]) == ("settled", None)
    assert [row["name"] for row in after["certificates"]] == ["authority", "camera", "laptop", "pi1", "pi2"]
    for old, new in zip(before["certificates"], after["certificates"]):
        assert old["authority"] != new["authority"]
        same = ("name", "kind", "rights", "addresses", "state")
        assert [old[key] for key in same] == [new[key] for key in same]


def test_boards_that_have_theirs_are_left_and_those_that_moved_need_replace(run: Run, tmp_path: Path) -> None:
    made(run, "init", "fleet", "--fleet", "green")
    made(run, "issue", "fleet", "pi1", "--address", "10.0.0.11", "--address", "pi1.local")
    was = read_credentials(tmp_path / "fleet" / "pi1").certificate
    out = made(run, "issue", "fleet", "--boards", "boards.yaml")
    assert "have theirs already: pi1" in out
    assert read_credentials(tmp_path / "fleet" / "pi1").certificate == was
    assert "nothing to do" in made(run, "issue", "fleet", "--boards", "boards.yaml")

    (tmp_path / "boards.yaml").write_text(BOARDS.replace("10.0.0.11", "10.0.0.99"))
    status, _, err = run("issue", "fleet", "--boards", "boards.yaml")
    assert status == 1
    assert "the name pi1 is taken by a board (10.0.0.11, pi1.local)" in err
    made(run, "issue", "fleet", "--boards", "boards.yaml", "--replace")
    assert read_credentials(tmp_path / "fleet" / "pi1").holder.addresses == ("10.0.0.99",)


def test_show_of_one_machines_credentials_says_whom_it_trusts(run: Run, tmp_path: Path) -> None:
    make_fleet(tmp_path / "fleet", {"pi1": ["10.0.0.11"]}, {}, fleet="green")
    (tmp_path / "fleet" / "pi1").rename(tmp_path / "etc")
    shown = json.loads(made(run, "show", "etc", "--json"))
    assert (shown["fleet"], shown["step"], shown["next"]) == ("green", None, None)
    authority, leaf = shown["certificates"]
    assert (leaf["name"], leaf["kind"], leaf["rights"]) == ("pi1", "board", ["stream"])
    assert (leaf["addresses"], leaf["state"]) == (["10.0.0.11"], "good")
    assert leaf["days_left"] in (364, 365)  # the second in which it was made counts
    assert leaf["authority"] == authority["authority"]
    assert datetime.fromisoformat(leaf["ends"]).utcoffset() == timedelta(0)
    assert "change of authority" not in made(run, "show", "etc")


def test_show_exits_with_1_when_something_has_ended(run: Run, tmp_path: Path) -> None:
    then = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=8)
    with_one_ended = FleetDirectory.make(tmp_path / "fleet", "green", then)
    with_one_ended.issue([Holder.client("camera", "stream")], days=7)
    with_one_ended.issue([Holder.board("pi1", [])])
    for directory in ("fleet", "fleet/camera"):
        status, out, err = run("show", directory)
        assert (status, err) == (1, "")
        assert "(ended)" in out
    states = {row["name"]: row["state"] for row in json.loads(run("show", "fleet", "--json")[1])["certificates"]}
    assert states == {"authority": "good", "camera": "ended", "pi1": "good"}
    assert run("show", "fleet/pi1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["issue", "fleet"], "either NAME or --boards FILE is needed"),
        (["issue", "fleet", "pi1", "--boards", "boards.yaml"], "and not both"),
        (["issue", "fleet", "--boards", "boards.yaml", "--right", "stream"], "Leave out --address and --right"),
        (["issue", "fleet", "--boards", "none.yaml"], "none.yaml does not exist"),
        (["issue", "fleet", "pi1"], "is pi1 a board or a client?"),
        (["issue", "fleet", "pi1", "--right", "rule"], "'rule' is no right. Say --right stream or --right operate"),
        (["issue", "fleet", "pi1", "--right", "stream", "--address", "a"], "cannot be given together"),
        (["issue", "fleet", "pi1", "--address", "10.0.0.11:50051"], "neither an IP address nor a host name"),
        (["issue", "fleet", "../pi1", "--address", "10.0.0.11"], "is no name"),
        (["issue", "fleet", "authority", "--right", "stream"], "the authority lies there"),
        (["issue", "fleet", "pi1", "--address", "10.0.0.11"], "the name pi1 is taken"),
        (["issue", "fleet", "pi1", "--right", "stream"], "the name pi1 is taken by a board"),
        (["issue", "fleet", "pi2", "--address", "a", "--days", "0"], "0 days are out of range"),
        (["issue", "none", "pi1", "--address", "a"], "holds no authority"),
        (["rotate", "fleet", "pi9"], "nobody in fleet is called pi9"),
        (["rotate", "fleet", "pi1", "--all"], "NAME and --all cannot be given together"),
        (["rotate", "fleet", "--authority", "--forget-old"], "--authority and --forget-old cannot be given together"),
        (["rotate", "fleet", "--finish"], "--finish goes with --authority"),
        (["rotate", "fleet", "--authority", "--days", "9"], "this step makes none"),
        (["rotate", "fleet", "--authority", "--finish"], "no new authority is trusted by every machine yet"),
        (["rotate", "fleet", "--forget-old"], "no old authority to forget"),
        (["show", "none"], "holds no authority"),
        (["init", "fleet", "--fleet", "green"], "exists already"),
        (["init", "other", "--fleet", "a b"], "is no name of a fleet"),
    ],
)
def test_wrong_call_ends_with_one_clear_error(run: Run, tmp_path: Path, arguments: list[str], words: str) -> None:
    make_fleet(tmp_path / "fleet", {"pi1": ["10.0.0.11"]}, {})
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "fleet").rglob("*.pem")}
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert words in err
    assert "Traceback" not in err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "fleet").rglob("*.pem")} == before


def test_missing_package_is_named_with_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    status, _, err = run("show", "fleet")
    assert status == 1
    assert "pip install 'boardline[client]'" in err


def test_options_are_those_of_the_library() -> None:
    assert [right.value for right in Right] == list(certs_command._RIGHTS)
    assert LEAF_DAYS == certs_command._LIFE_DAYS
