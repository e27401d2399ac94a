"""What a node service tells its network: when it is wanted, where it listens, and nothing that holds the service up."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from zeroconf import ServiceInfo, Zeroconf

from node_service.announcer import Announcer, own_addresses
from transport.address import Address
from transport.announcement import SERVICE_TYPE, Announcement

TIMEOUT_S = 20.0
HERE = Address("127.0.0.1", 50051)


@pytest.fixture
def announcement() -> Announcement:
    """Of a name that no other test on this machine's loopback has."""
    return Announcement(f"pi-{secrets.token_hex(6)}", 1, "0.1.0", "aarch64", "litert 2", 4, tls=True)


@pytest.fixture
def look_up(announcement: Announcement) -> Iterator[Callable[[], ServiceInfo | None]]:
    with Zeroconf(interfaces=["127.0.0.1"]) as network:
        name = f"{announcement.name}.{SERVICE_TYPE}"
        yield lambda: network.get_service_info(SERVICE_TYPE, name, timeout=1000)


def until(condition: Callable[[], object]) -> None:
    stop_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < stop_s
        time.sleep(0.05)


def test_board_is_found_while_it_is_wanted(
    announcement: Announcement, look_up: Callable[[], ServiceInfo | None]
) -> None:
    announcer = Announcer(announcement, HERE)
    announcer.start()
    try:
        assert look_up() is None
        announcer.set_wanted(True)
        until(look_up)
        found = look_up()
        assert found is not None
        assert Announcement.read(found.properties) == announcement
        assert (found.parsed_addresses(), found.port) == (["127.0.0.1"], 50051)
        announcer.set_wanted(False)
        until(lambda: look_up() is None)
    finally:
        announcer.close()
    assert "boardline-announcer" not in [thread.name for thread in threading.enumerate()]


def test_trouble_is_said_once_and_holds_nothing_up(
    announcement: Announcement, caplog: pytest.LogCaptureFixture
) -> None:
    announcer = Announcer(announcement, Address("board.invalid", 50051))
    announcer.start()
    try:
        announcer.set_wanted(True)
        until(lambda: "cannot be announced" in caplog.text)
        announcer.set_wanted(True)
    finally:
        announcer.close()
    assert caplog.text.count("cannot be announced") == 1


@pytest.mark.parametrize(
    ("host", "found"), [("127.0.0.1", ["127.0.0.1"]), ("localhost", ["127.0.0.1"]), ("192.0.2.1", [])]
)
def test_addresses_are_those_that_the_service_listens_on(host: str, found: list[str]) -> None:
    assert [ip for ip in own_addresses(host) if ip != "::1"] == found


def test_all_addresses_but_loopbacks_are_meant_by_0_0_0_0() -> None:
    only_4 = own_addresses("0.0.0.0")
    assert set(only_4) <= set(own_addresses("::")) or only_4 == ["127.0.0.1"]
    assert only_4 == ["127.0.0.1"] or not [ip for ip in only_4 if ip.startswith("127.")]


def service(*arguments: str, before: str = "pass") -> subprocess.CompletedProcess[str]:
    code = f"import sys; {before}; from node_service.cli import main; main()"
    command = [sys.executable, "-c", code, "--insecure", "--listen", "127.0.0.1:0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_service_that_cannot_be_announced_says_what_to_install(tmp_path: Path) -> None:
    done = service("--store", str(tmp_path), "--announce", before="sys.modules['zeroconf'] = None")
    assert done.returncode == 1
    assert "pip install 'boardline[discovery]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_service_of_a_name_that_boards_yaml_cannot_have_is_not_announced(tmp_path: Path) -> None:
    done = service("--store", str(tmp_path), "--announce", "--name", "my board")
    assert done.returncode == 1
    assert "its name is 'my board'" in done.stderr
    assert "--name" in done.stderr
