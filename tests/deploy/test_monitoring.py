"""A fleet under load, scraped by a real Prometheus: every panel has data, and every alert fires when it should.

board1's certificate ends soon. board2 has a sensor of power, is hot, and dies. board3 is the spare, and has no sensor though one is
expected. board4 has little memory. The model is so small that what its frames cost the streams and the dispatcher keeps the
chain far from its bound. For another application, board1 and board3 share the same model as a group.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.boards.cgroups import mounted_hierarchies
from bundle import Bundle
from dispatcher_client import Board, Dispatcher
from dispatcher_client.certificates import Holder
from examples.local_boards import LocalBoard, local_fleet, metrics_address
from examples.local_prometheus import LocalPrometheus
from tests.bundles import load_zoo_model, make_bundle
from tests.dispatcher_client.test_bench_cost import RunningCounter
from tests.dispatcher_client.test_groups import group_plan
from tests.dispatcher_client.whole_model import random_inputs
from tests.node_service.power import trees
from tests.shared_segments import share_all
from tests.transport.message_stream.by_hand import comes_true
from transport.address import Address

DASHBOARDS = Path(__file__).parents[2] / "deploy" / "ansible" / "roles" / "grafana" / "files" / "dashboards"
# What Grafana puts in, as its own documentation says: four scrapes, and a choice of "all".
CHOSEN = {
    "$__rate_interval": "15s",
    "$dispatcher": ".*",
    "$deployment": ".*",
    "$chain": ".*",
    "$stage": ".*",
    "$board": ".*",
}
SOON_S = 200.0
# Nobody is taken to be gone because the machine has other work; who is killed is gone at once.
PATIENCE_S = 20.0
PATIENT = ("--threads", "1", "--peer-silence-s", f"{PATIENCE_S:g}")
_USED_OF_MEMORY = 0.93
# One thread that sends and takes would leave the window half empty whenever it waits for a core.
_STREAMS = 3


@dataclass
class Watched:
    prometheus: LocalPrometheus
    boards: dict[str, LocalBoard]
    deployment: str

    def comes_true(self, is_so: Callable[[], bool]) -> bool:
        return comes_true(is_so, SOON_S, every_s=0.5)


class SmallMemory:
    """A control group of its own for a process, which has just a little more memory than the process takes."""

    def __init__(self, directory: Path) -> None:
        hierarchy = mounted_hierarchies()["memory"]
        self._is_v2 = hierarchy.version == 2
        if self._is_v2:
            (hierarchy.root / "cgroup.subtree_control").write_text("+memory")
        self._group = hierarchy.root / f"boardline-test-{directory.parent.name}"
        self._group.mkdir(exist_ok=True)
        self.python = directory / "python"
        self.python.write_text(f'#!/bin/sh\necho $$ > {self._group}/cgroup.procs\nexec {sys.executable} "$@"\n')
        self.python.chmod(0o755)

    def tighten(self) -> None:
        used = int((self._group / ("memory.current" if self._is_v2 else "memory.usage_in_bytes")).read_text())
        stat = (self._group / "memory.stat").read_text().split()
        cached = int(stat[stat.index("inactive_file") + 1]) + int(stat[stat.index("active_file") + 1])
        limit = int((used - cached) / _USED_OF_MEMORY)
        (self._group / ("memory.max" if self._is_v2 else "memory.limit_in_bytes")).write_text(str(limit))

    def close(self) -> None:
        self._group.rmdir()


def hot_board(root: Path) -> RunningCounter:
    """Sensors of a board that is hot and slowed down, with a counter of energy that runs."""
    zone, fan = "sys/class/thermal/thermal_zone0", "sys/class/thermal/cooling_device0"
    clock = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    trees.write(root, {f"{zone}/type": "cpu-thermal", f"{zone}/temp": 81000, clock: 1500000})
    trees.write(root, {f"{fan}/type": "cpufreq-cpu0", f"{fan}/cur_state": 1})
    return RunningCounter(root)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    root = tmp_path
    for name in ("sensors", "prometheus", "memory"):
        (root / name).mkdir()
    segments = share_all(load_zoo_model("residual", "float32").graph, (1, 1), 5)
    bundle = make_bundle(root / "parts", "residual", "float32", cut_lists=[["9"], []], groups=[{}, {0: segments}])
    small = SmallMemory(root / "memory")
    counter = hot_board(root / "sensors")
    boards: dict[str, LocalBoard] = {}
    prometheus = LocalPrometheus(root / "prometheus", prometheus_scrape_interval="2s")
    try:
        ends_soon = local_fleet().issue(Holder.board("ends-soon", ("127.0.0.1", "board1")), days=10)
        for name, arguments, python in (
            ("board1", ["--credentials", str(ends_soon)], sys.executable),
            ("board2", ["--sensors-root", str(root / "sensors")], sys.executable),
            ("board3", [], sys.executable),
            ("board4", [], str(small.python)),
        ):
            boards[name] = LocalBoard(name, root / name, [*PATIENT, *arguments], python=python)
        small.tighten()
        expected = {"board2", "board3"}
        prometheus.nodes(
            {
                name: (metrics_address(board), {"power": "expected"} if name in expected else {})
                for name, board in boards.items()
            }
        )
        yield from _under_load(bundle, boards, prometheus)
    finally:
        prometheus.close()
        for board in boards.values():
            board.stop()
        counter.stop()
        small.close()


def _under_load(bundle: Bundle, boards: dict[str, LocalBoard], prometheus: LocalPrometheus) -> Iterator[Watched]:
    inventory = [Board(name, Address.parse(boards[name].address)) for name in ("board1", "board2", "board3")]
    x = random_inputs(bundle, 0)
    is_over = threading.Event()

    def inputs() -> Iterator[Any]:
        while not is_over.is_set():
            yield x

    def stream_through(dispatcher: Dispatcher) -> None:
        for _ in dispatcher.stream(inputs()):
            pass

    plan = group_plan(bundle, "board1", "board3")
    patient: dict[str, Any] = {"silence_s": PATIENCE_S, "check_sample": False}
    with (
        Dispatcher(bundle, inventory, window=4, metrics="127.0.0.1:0", **patient) as chain,
        Dispatcher(bundle, [inventory[0], inventory[2]], plan=plan, window=1, **patient) as group,
    ):
        assert chain.metrics_address is not None
        prometheus.dispatchers({"camera": chain.metrics_address})
        applications = [chain] * _STREAMS + [group]
        loads = [threading.Thread(target=stream_through, args=(application,)) for application in applications]
        for load in loads:
            load.start()
        try:
            yield Watched(prometheus, boards, bundle.deployment_id)
        finally:
            is_over.set()
            for load in loads:
                load.join()


def panels() -> list[Any]:
    """(dashboard, panel, query, unit) of everything that is shown."""
    found = []
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                name = f"{dashboard['title']}: {panel['title']} {target['refId']}"
                found.append(pytest.param(panel, target, id=name))
    return found


def as_grafana_asks(expression: str) -> str:
    for name, value in CHOSEN.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def data_is_missing(watched: Watched, target: dict[str, Any]) -> str:
    """What is wrong with a query's answer; empty: nothing."""
    expression = as_grafana_asks(target["expr"])
    found: list[dict[str, Any]] = []

    def has_data() -> bool:
        found[:] = [s for s in watched.prometheus.query(expression) if s["value"][1] != "NaN"]
        return bool(found)

    if not watched.comes_true(has_data):
        return f"no data: {expression}"
    labels = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
    if target.get("format") == "table":
        labels = {"board"}  # its rows
    return "" if all(labels <= set(s["metric"]) for s in found) else f"lacks what the legend names: {expression}"


UNITS = [  # the first that fits
    (r"^(count|sum)\((up|count|ALERTS)|^count", "none"),
    (r"joules_per_image", "joule"),
    (r"watts|joules", "watt"),
    (r"expiry_timestamp_seconds", "s"),
    (r"celsius", "celsius"),
    (r"hertz", "hertz"),
    (r"available_bytes / |ratio|cpu_seconds|cpu_outside", "percentunit"),
    (r"rate\(boardline_\w*bytes", "Bps"),
    (r"bytes", "bytes"),
    (r"quantile|_seconds_sum.*/.*_seconds_count", "s"),
    (r"throttled|draining|^sum by \(board\) \(up", "bool_yes_no"),
    (r"", "none"),
]


@pytest.mark.parametrize(("panel", "target"), panels())
def test_panel_has_the_right_unit(panel: dict[str, Any], target: dict[str, Any]) -> None:
    expected = next(unit for pattern, unit in UNITS if re.search(pattern, target["expr"]))
    if panel["type"] == "table":
        titles = panel["transformations"][1]["options"]["renameByName"]
        title = titles[f"Value #{target['refId']}"]
        (override,) = [o for o in panel["fieldConfig"]["overrides"] if o["matcher"]["options"] == title]
        assert {p["id"]: p["value"] for p in override["properties"]}["unit"] == expected
    else:
        assert panel["fieldConfig"]["defaults"]["unit"] == expected


def test_dashboards_can_be_provisioned() -> None:
    """With fixed uids, nothing to be filled in by hand, and every panel told from the others."""
    uids = []
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text())
        uids.append(dashboard["uid"])
        assert "__inputs" not in dashboard
        assert dashboard.get("id") is None
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(numbers)) == len(numbers)
        for panel in dashboard["panels"]:
            letters = [target["refId"] for target in panel.get("targets", ())]
            assert len(set(letters)) == len(letters)
            if panel["type"] != "row":
                assert panel["datasource"]["uid"] == "${datasource}"
                assert panel["description"]
    assert uids == ["boardline-board", "boardline-chain", "boardline-fleet"]


@pytest.mark.timeout(900)
def test_fleet_is_seen(watched: Watched) -> None:
    """One test, because it takes a fleet: panels and choices while all is well, then a board dies."""
    assert [wrong for panel in panels() if (wrong := data_is_missing(watched, panel.values[1]))] == []
    choices_are_offered(watched)
    alerts_fire(watched)


def choices_are_offered(watched: Watched) -> None:
    prometheus = watched.prometheus
    chosen = f'boardline_dispatcher_window{{dispatcher="camera",deployment="{watched.deployment}"}}'
    assert watched.comes_true(lambda: prometheus.label_values(chosen, "chain") == {"0"})
    loaded = f'boardline_partition_info{{deployment="{watched.deployment}"}}'
    assert prometheus.label_values(loaded, "stage") == {"0", "1"}
    assert prometheus.label_values('up{job="boardline-node"}', "board") == {"board1", "board2", "board3", "board4"}


def alerts_fire(watched: Watched) -> None:
    prometheus = watched.prometheus
    at_rest = {
        "BoardlineCertificateExpiring board1",
        "BoardlineMemoryNearLimit board4",
        "BoardlinePowerMissing board3",
        "BoardlineThrottled board2",
        "BoardlineShareOfBoundLow camera",
    }
    assert watched.comes_true(lambda: at_rest <= prometheus.firing()), prometheus.firing()
    assert not {a for a in prometheus.firing() if a.startswith(("BoardlineBoardDown", "BoardlineFailover"))}
    watched.boards["board2"].process.kill()
    struck = {"BoardlineBoardDown board2", "BoardlineFailover camera"}
    assert watched.comes_true(lambda: struck <= prometheus.firing()), prometheus.firing()
    assert prometheus.query("boardline_dispatcher_failovers_total")[0]["value"][1] == "1"
    assert watched.comes_true(lambda: bool(prometheus.query("dispatcher:boardline_images:rate1m > 0")))
    for never in ("BoardlinePlaintext", "BoardlineChainBroken", "BoardlineDispatcherDown"):
        assert not {a for a in prometheus.firing() if a.startswith(never)}
