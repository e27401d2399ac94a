"""`boards scan` as a user types it, in a network of machines of their own, with real node services and with liars."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.boards.inside import command_inside
from benchmarks.boards.leftovers import remove_cluster
from benchmarks.boards.network import NAMESPACES, Port, board_host, dispatcher_port, make_network
from benchmarks.boards.ownership import namespace_name, new_cluster_id
from benchmarks.boards.spec import DISPATCHER
from dispatcher_client.discovery import MOST_NAMES
from examples.local_boards import LocalFleet, local_fleet
from examples.local_process import LocalProcess
from fleet.inventory import load_boards
from tests.dispatcher_client.hostile_announcer import FLOOD_NAMES
from transport.credentials import ENVIRONMENT_VARIABLE

TIMEOUT_S = 60
# Whoever has just multicast an answer, as boards do when they start, gives it again a second later at the earliest.
LISTENS = "3"
PORT = 50051
MACHINES = ("pi1", "pi2", "stranger")
HOSTS = {name: board_host(index) for index, name in enumerate(MACHINES)}
_ANNOUNCED = re.compile(r"announced on the network as (\S+), at (\S+), port (\d+)")

Start = Callable[..., LocalProcess]
Scan = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def machines(able: None) -> Iterator[dict[str, Path]]:
    """Namespaces on one bridge: of the boards, of a stranger, and of the machine that looks for them."""
    cluster_id = new_cluster_id()
    try:
        make_network(cluster_id, [dispatcher_port(None), *(Port(name, host, None) for name, host in HOSTS.items())])
        yield {name: NAMESPACES / namespace_name(cluster_id, name) for name in (DISPATCHER, *MACHINES)}
    finally:
        remove_cluster(cluster_id)


@contextmanager
def running(machine: str, namespace: Path, serves: re.Pattern[str], *arguments: str) -> Iterator[LocalProcess]:
    """A process on a machine, from when its log says so to the end of the block."""
    command = command_inside(namespace, [sys.executable, "-m", *arguments])
    process = LocalProcess(f"{arguments[0]} on {machine}", command, serves)
    try:
        yield process
    finally:
        process.stop()


def announced(
    machines: dict[str, Path], machine: str, store: Path, *more: str, name: str = "", credentials: Path | None = None
) -> AbstractContextManager[LocalProcess]:
    """A node service that announces itself."""
    own = [] if "--insecure" in more else ["--credentials", str(credentials or local_fleet().board(name or machine))]
    arguments = ["--listen", f"{HOSTS[machine]}:{PORT}", "--store", str(store), "--name", name or machine, "--announce"]
    return running(machine, machines[machine], _ANNOUNCED, "node_service", "--threads", "1", *arguments, *own, *more)


@pytest.fixture(scope="module")
def pi1(machines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProcess]:
    """One board that all tests find."""
    with announced(machines, "pi1", tmp_path_factory.mktemp("pi1")) as node:
        yield node


@pytest.fixture
def start_node(machines: dict[str, Path], pi1: LocalProcess, tmp_path: Path) -> Iterator[Callable[..., LocalProcess]]:
    """Starts one more: its machine, and further arguments. It ends with the test."""
    with ExitStack() as stack:
        yield lambda machine, *more, **options: stack.enter_context(
            announced(machines, machine, tmp_path / machine, *more, **options)
        )


@pytest.fixture
def liar(machines: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[LocalProcess]:
    """What the stranger multicasts."""
    arguments = ("tests.dispatcher_client.hostile_announcer", HOSTS["stranger"], request.param)
    with running("stranger", machines["stranger"], re.compile("announcing"), *arguments) as process:
        yield process


@pytest.fixture
def scan(machines: dict[str, Path]) -> Scan:
    """Looks for boards from the dispatcher's machine."""

    def run(*arguments: str, asks: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if asks or name != ENVIRONMENT_VARIABLE}
        command = [sys.executable, "-m", "dispatcher_client", "boards", "scan", *arguments]
        return subprocess.run(
            command_inside(machines[DISPATCHER], command),
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {row["board"]: row for row in json.loads(done.stdout)}


def test_scan_drafts_the_boards_that_show_their_certificates(scan: Scan, start_node: Start, tmp_path: Path) -> None:
    start_node("pi2")
    done = scan("--seconds", LISTENS, "--output", str(tmp_path / "boards.yaml"))
    assert done.returncode == 0, done.stderr
    assert [(b.name, str(b.address)) for b in load_boards(tmp_path / "boards.yaml")] == [
        ("pi1", f"{HOSTS['pi1']}:{PORT}"),
        ("pi2", f"{HOSTS['pi2']}:{PORT}"),
    ]
    assert done.stdout.count("verified") == 2
    assert "showed the certificate" in (tmp_path / "boards.yaml").read_text()


@pytest.mark.usefixtures("pi1")
def test_scan_says_what_boards_are(scan: Scan) -> None:
    (row,) = rows(scan("--seconds", LISTENS, "--json")).values()
    assert row["cores"] == len(os.sched_getaffinity(0))
    assert row["architecture"] == os.uname().machine
    assert row["runtime"].startswith("ai-edge-litert ")
    assert (row["state"], row["tls"], row["why"]) == ("verified", True, "")


@pytest.mark.usefixtures("pi1")
def test_scan_without_credentials_asks_nobody_and_says_so(scan: Scan, tmp_path: Path) -> None:
    done = scan("--seconds", LISTENS, "--json", "--output", str(tmp_path / "boards.yaml"), asks=False)
    assert done.returncode == 0, done.stderr
    assert rows(done)["pi1"]["state"] == "unverified"
    assert "Unverified: nobody has asked for its certificate" in (tmp_path / "boards.yaml").read_text()


def test_board_of_another_authority_is_refused_and_left_out(scan: Scan, start_node: Start, tmp_path: Path) -> None:
    start_node("pi2", credentials=LocalFleet(tmp_path / "other").board("pi2"))
    done = scan("--seconds", LISTENS, "--json", "--output", str(tmp_path / "boards.yaml"))
    assert done.returncode == 1
    assert {name: row["state"] for name, row in rows(done).items()} == {"pi1": "verified", "pi2": "refused"}
    assert "certificates of one authority" in rows(done)["pi2"]["why"]
    assert [board.name for board in load_boards(tmp_path / "boards.yaml")] == ["pi1"]
    assert f"pi2 at {HOSTS['pi2']}:{PORT}: refused" in (tmp_path / "boards.yaml").read_text()


def test_board_with_anothers_certificate_or_none_is_refused(scan: Scan, start_node: Start) -> None:
    start_node("pi2", name="pi3", credentials=local_fleet().board("pi2"))
    start_node("stranger", "--insecure", name="pi4")
    done = scan("--seconds", LISTENS, "--json")
    assert done.returncode == 1
    assert {name: row["state"] for name, row in rows(done).items()} == {
        "pi1": "verified",
        "pi3": "refused",
        "pi4": "refused",
    }
    assert "plaintext" in rows(done)["pi4"]["why"]


def test_two_boards_of_one_name_are_both_seen_and_one_is_drafted(
    scan: Scan, pi1: LocalProcess, start_node: Start, tmp_path: Path
) -> None:
    assert pi1.said[1] == "pi1"
    assert start_node("pi2", name="pi1").said[1] == "pi1-2"
    done = scan("--seconds", LISTENS, "--output", str(tmp_path / "boards.yaml"))
    assert done.stdout.count("verified") == 2
    assert len(load_boards(tmp_path / "boards.yaml")) == 1
    assert "pi1 is above already" in (tmp_path / "boards.yaml").read_text()


def test_board_that_was_killed_is_not_found(scan: Scan, start_node: Start) -> None:
    node = start_node("pi2")
    node.process.kill()
    node.process.wait(TIMEOUT_S)
    assert list(rows(scan("--seconds", LISTENS, "--json"))) == ["pi1"]


def test_board_takes_its_announcement_back_when_it_drains_and_when_it_stops(
    machines: dict[str, Path], start_node: Start, tmp_path: Path
) -> None:
    node = start_node("pi2")
    (tmp_path / "boards.yaml").write_text(f"boards: [{{name: pi2, address: '{HOSTS['pi2']}:{PORT}'}}]")

    def on_dispatcher(*arguments: str) -> list[str]:
        return command_inside(machines[DISPATCHER], [sys.executable, "-m", *arguments])

    def drain(*more: str) -> None:
        command = on_dispatcher("dispatcher_client", "drain", "pi2", "--boards", str(tmp_path / "boards.yaml"), *more)
        subprocess.run(command, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S, check=True)

    listening = on_dispatcher("tests.dispatcher_client.listening", "pi2")
    with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "came\n"
            drain()
            assert listener.stdout.readline() == "went\n"
            drain("--undo")
            assert listener.stdout.readline() == "came\n"
            assert node.stop() == 0
            assert listener.stdout.readline() == "went\n"
        finally:
            listener.kill()


@pytest.mark.parametrize("liar", ["lies"], indirect=True)
@pytest.mark.usefixtures("liar", "pi1")
def test_lies_get_neither_into_the_draft_nor_at_the_terminal(scan: Scan, tmp_path: Path) -> None:
    done = scan("--seconds", "2", "--output", str(tmp_path / "boards.yaml"))
    text = (tmp_path / "boards.yaml").read_text()
    assert [(b.name, b.address.host) for b in load_boards(tmp_path / "boards.yaml")] == [("pi1", HOSTS["pi1"])], text
    assert not [c for c in done.stdout + done.stderr + text if not c.isprintable() and c != "\n"]
    shown = rows(scan("--seconds", "2", "--json"))
    assert {row["state"] for name, row in shown.items() if name != "pi1"} == {"unreadable"}
    for instance, why in {
        "escapes": "its name is",
        "runtime": "its runtime is",
        "path": "its name is '../../etc/passwd'",
        "abroad": "8.8.8.8",
        "itself": "127.0.0.1",
        "sender": "no board can be called dispatcher",
        "port": "its port is 0",
        "empty": "its record is of format",
        "long": "its version is",
    }.items():
        assert why in shown[instance]["why"]


@pytest.mark.parametrize("liar", ["flood"], indirect=True)
@pytest.mark.usefixtures("liar")
def test_names_beyond_the_bound_are_counted_and_not_looked_at(scan: Scan) -> None:
    done = scan("--seconds", "2", "--json")
    assert len(json.loads(done.stdout)) <= MOST_NAMES  # some may have had their addresses read in time, or none
    found = re.search(r"(\d+) more names were announced", done.stderr)
    assert found is not None
    assert 0 < int(found[1]) <= FLOOD_NAMES


@pytest.mark.usefixtures("pi1")
def test_draft_takes_no_files_place_unless_it_is_told_to(scan: Scan, tmp_path: Path) -> None:
    output = tmp_path / "boards.yaml"
    output.write_text("mine")
    refused = scan("--seconds", LISTENS, "--output", str(output))
    assert (refused.returncode, output.read_text()) == (1, "mine")
    assert "--force" in refused.stderr
    assert scan("--seconds", LISTENS, "--output", str(output), "--force").returncode == 0
    assert len(load_boards(output)) == 1


@pytest.mark.usefixtures("pi1")
def test_scan_of_another_network_finds_nobody_and_says_what_to_do(scan: Scan) -> None:
    done = scan("--seconds", "0.5", "--interface", "lo")
    assert done.returncode == 1
    assert "--announce" in done.stderr
    assert scan("--seconds", LISTENS, "--interface", "eth0").returncode == 0


def test_interface_that_is_not_there_is_refused_with_those_that_are(scan: Scan) -> None:
    done = scan("--interface", "wlan7")
    assert done.returncode == 1
    assert "no interface or address of this machine is wlan7. It has eth0, lo." in done.stderr
