"""From bare boards to a running fleet and back, as the documentation has it: one story, in the order of the file.

Every board is a machine that boots Debian with systemd; at least one is aarch64. BOARDLINE_BOOTED=AMD64+ARM64 says how many there
are, as 3+1; from one of the amd64 frames come, and Prometheus runs there. Where it is the only one it is a board as well: 1+1 is
the smallest fleet. Ansible runs with Mitogen, as docs/deploy.md has it for slow boards; with BOARDLINE_PLAIN_ANSIBLE=1 without it.
"""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from bundle import Bundle
from deploy.virtual_boards import VirtualFleet
from tests.bundles import make_bundle
from tests.deploy.booted.site import Site, files_of
from tests.deploy.booted.streaming import SILENCE_S
from tests.transport.message_stream.by_hand import comes_true

pytestmark = [pytest.mark.booted, pytest.mark.timeout(3600)]
AMD64, ARM64 = (int(n) for n in os.environ.get("BOARDLINE_BOOTED", "3+1").split("+"))
N_BOARDS = AMD64 + ARM64 - (AMD64 > 1)
SOON_S = 240.0
BOOT_S = 300.0
MEMORY_MIB = 512 if AMD64 > 1 else 768  # of a board that is the host as well
assert AMD64 and ARM64, f"BOARDLINE_BOOTED={AMD64}+{ARM64}: expected 1+1 at least, a chain of two boards"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """int8: the only kind whose bits are the same on both architectures."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "residual", "residual", "int8", parts=max(2, N_BOARDS - 1))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Site]:
    with VirtualFleet(amd64=AMD64, arm64=ARM64, memory_mib=MEMORY_MIB) as fleet:
        made = Site(fleet, tmp_path_factory.mktemp("site"), AMD64)
        made.make_wheels()
        # With more boards than parts, one that is not aarch64 waits for another one to fail.
        spares = [next(iter(made.boards))] if N_BOARDS > 2 else []
        made.write_inventory(
            model_bundle=str(bundle.path),
            dispatcher_host_spares=spares,
            node_service_arguments=[f"--peer-silence-s={SILENCE_S:g}"],
            prometheus_listen="0.0.0.0:9090",
            grafana_enabled=False,  # there is no package of it to be had without internet
        )
        yield made


@pytest.fixture(scope="module")
def before(site: Site) -> dict[str, set[str]]:
    return {board.spec.name: files_of(board) for board in site.fleet.boards}


def prometheus(site: Site, query: str) -> list[Any]:
    """What Prometheus on the camera answers."""
    url = f"http://127.0.0.1:9090/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    fetch = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"
    said = site.camera.run(f"python3 -c {json.dumps(fetch)}", check=False)
    return list(json.loads(said.stdout)["data"]["result"]) if said.returncode == 0 else []


def serves(site: Site, name: str) -> Callable[[], bool]:
    def does() -> bool:
        found = {board["board"]: board for board in site.ask("status", "--boards /etc/boardline-client/boards.yaml")}
        return bool(found[name]["stages"])

    return does


def test_bare_boards_become_a_fleet(site: Site, before: dict[str, set[str]]) -> None:
    assert all(before.values())
    site.play("certs.yml")
    played = site.play("deploy.yml")
    assert played.total("failed") == 0


def test_second_run_changes_nothing(site: Site) -> None:
    for playbook in ("deploy.yml", "certs.yml"):
        played = site.play(playbook)
        assert played.total("changed") == 0, played.output


def test_check_mode_changes_nothing_either(site: Site) -> None:
    played = site.play("deploy.yml", "--check", "--diff")
    assert played.total("changed") == 0, played.output


def test_unit_is_as_tight_on_the_board(site: Site) -> None:
    for board in site.boards.values():
        said = board.run("systemd-analyze security --no-pager --threshold=25 boardline-node.service", timeout_s=120)
        assert "OK" in said.stdout or "SAFE" in said.stdout


def test_fleet_answers_bit_for_bit(site: Site, bundle: Bundle) -> None:
    with site.stream(bundle.path) as stream:
        stream.wait_for(100)
        ended = stream.end()
    assert ended["error"] == ""
    assert ended["answered"] == ended["sent"] > 100
    assert ended["wrong"] == 0


def test_prometheus_scrapes_every_board(site: Site) -> None:
    def all_up() -> bool:
        up = prometheus(site, 'up{job="boardline-node"} == 1')
        return {sample["metric"]["board"] for sample in up} == set(site.boards)

    assert comes_true(all_up, SOON_S, every_s=2)
    counted = prometheus(site, "sum by (board) (boardline_frames_total)")
    assert any(float(sample["value"][1]) > 0 for sample in counted)


def test_board_whose_power_was_cut_serves_again_and_nothing_is_lost(site: Site, bundle: Bundle) -> None:
    name = list(site.boards)[-1]  # the aarch64 one
    with site.stream(bundle.path) as stream:
        site.boards[name].power_cut()
        site.boards[name].boot(timeout_s=BOOT_S)
        assert comes_true(serves(site, name), SOON_S, every_s=2)
        ended = stream.end()
    assert ended["error"] == ""
    assert ended["answered"] == ended["sent"]
    assert ended["wrong"] == 0


def test_service_that_cannot_start_is_tried_again_ever_more_rarely(site: Site) -> None:
    name = next(iter(site.boards))
    board, venv = site.boards[name], f"/opt/boardline/{releases(site)[name]}/venv"
    board.run(f"sudo mv {venv} {venv}-away && sudo systemctl restart --no-block boardline-node")

    def waits(seconds: int) -> bool:
        return board.run(f"pgrep -xf 'sleep {seconds}'", check=False).returncode == 0

    for seconds in (4, 8):
        assert comes_true(partial(waits, seconds), SOON_S, every_s=0.5)
    board.run(f"sudo mv {venv}-away {venv} && sudo systemctl restart boardline-node", timeout_s=120)
    assert comes_true(serves(site, name), SOON_S, every_s=2)


def releases(site: Site) -> dict[str, str]:
    return {name: board.run("readlink /opt/boardline/current").stdout.strip() for name, board in site.boards.items()}


def test_upgrade_while_frames_stream_loses_nothing(site: Site, bundle: Bundle) -> None:
    before = releases(site)
    site.next_release()
    with site.stream(bundle.path) as stream:
        site.play("upgrade.yml")
        ended = stream.end()
    assert ended["error"] == ""
    assert ended["answered"] == ended["sent"]
    assert ended["wrong"] == 0
    after = releases(site)
    assert all(after[name] != before[name] for name in before)


def test_rollback_is_the_release_before(site: Site, bundle: Bundle) -> None:
    newer = releases(site)
    site.play("rollback.yml")
    for name, board in site.boards.items():
        running = board.run("systemctl show --property=ExecStart boardline-node").stdout
        assert newer[name] not in running
        assert releases(site)[name] in running
    with site.stream(bundle.path) as stream:
        ended = stream.end()
    assert ended["error"] == ""


def test_figures_come_from_the_bench_playbook(site: Site) -> None:
    site.play("bench.yml", "-e", "bench_frames=50")
    assert json.loads((site.directory / "bench.json").read_text())


def test_remove_leaves_nothing_behind(site: Site, before: dict[str, set[str]]) -> None:
    site.play("remove.yml")
    for board in site.fleet.boards:
        left = files_of(board) - before[board.spec.name]
        assert left == set()
        assert board.run("getent passwd boardline", check=False).returncode != 0
