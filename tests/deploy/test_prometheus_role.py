"""What the role puts on a host is what Prometheus takes: all boards of the inventory, and nothing of an earlier release."""

from __future__ import annotations

import grp
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.ansible_template import render

PLAYBOOKS = Path(__file__).parents[2] / "deploy" / "ansible"
ANSIBLE = PLAYBOOKS.parents[1] / ".cache" / "deploy-tools" / "bin" / "ansible-playbook"
ROLE = PLAYBOOKS / "roles" / "prometheus"
NODE_SERVICE = PLAYBOOKS / "roles" / "node_service"
PEMS = ("authority.pem", "certificate.pem", "key.pem")

Settings = Mapping[str, object]

needs_ansible = pytest.mark.skipif(sys.version_info < (3, 11), reason="this ansible has no release for Python 3.10")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the roles give files to root and to groups")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


DEFAULTS = load(ROLE / "defaults/main.yml")


# Every service is known to it, and runs.
SYSTEMCTL = """#!/bin/sh
echo "$@" >> {calls}
case $1 in
    show) echo LoadState=loaded; echo ActiveState=active ;;
    is-enabled) echo enabled ;;
esac
"""


class Host:
    """This machine as the hosts of the group monitoring, with a stand-in for systemd that notes what it is told to do."""

    def __init__(self, directory: Path, role: str, boards: Mapping[str, Settings]) -> None:
        self._directory = directory
        self._boards = boards
        self._calls = directory / "systemctl.calls"
        systemctl = directory / "bin" / "systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text(SYSTEMCTL.format(calls=self._calls))
        systemctl.chmod(0o755)
        facts = {"service_mgr": "systemd", "os_family": "Debian", "distribution": "Debian", "cacheable": True}
        play = {
            "hosts": "monitoring",
            "gather_facts": False,
            "pre_tasks": [{"name": "A Debian", "ansible.builtin.set_fact": facts, "tags": ["always"]}],
        }
        remove = {"name": "Remove", "ansible.builtin.import_role": {"name": role, "tasks_from": "remove"}}
        (directory / "deploy.yml").write_text(json.dumps([{**play, "roles": [role]}]))
        (directory / "remove.yml").write_text(json.dumps([{**play, "tasks": [remove]}]))

    def taken_calls(self) -> list[str]:
        """What systemd was told to do since it was last asked."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith(("show ", "is-enabled "))]

    def run(
        self, *arguments: str, hosts: Mapping[str, Settings], playbook: str = "deploy.yml"
    ) -> subprocess.CompletedProcess[str]:
        """Plays it against hosts that have these variables."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        inventory = {
            "boards": {"hosts": dict(self._boards)},
            "monitoring": {"hosts": {name: {**local, **settings} for name, settings in hosts.items()}},
        }
        (self._directory / "inventory.json").write_text(json.dumps(inventory))
        environment = {
            **os.environ,
            "PATH": f"{self._directory / 'bin'}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"),
            "ANSIBLE_HOME": str(self._directory / "home"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "",  # ansible is large, and played often
        }
        command = [str(ANSIBLE), "--inventory", "inventory.json", playbook, *arguments]
        return subprocess.run(
            command, cwd=self._directory, env=environment, capture_output=True, text=True, timeout=240
        )


def changes(ended: subprocess.CompletedProcess[str]) -> int:
    """How many tasks changed something on the only host."""
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (number,) = re.findall(r"changed=(\d+)", ended.stdout)
    return int(number)


def refusals(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Why each host was refused."""
    found = re.findall(r"^fatal: \[(.*?)\]: FAILED! => ({.*})$", ended.stdout, re.MULTILINE)
    return {host: json.loads(result)["msg"] for host, result in found}


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def targets(template: str, **values: object) -> list[tuple[str, dict[str, str]]]:
    """(address, labels) of each target in a file for Prometheus."""
    text = render(ROLE / "templates" / "file_sd" / f"{template}.j2", {**DEFAULTS, **values})
    return [(address, group["labels"]) for group in yaml.safe_load(text) for address in group["targets"]]


def board_targets(boards: Mapping[str, Settings], **values: object) -> list[tuple[str, dict[str, str]]]:
    return targets("boardline-node-inventory.yml", groups={"boards": list(boards)}, hostvars=boards, **values)


def test_every_board_is_a_target_with_its_own_port() -> None:
    boards = {
        "pi1": {"ansible_host": "10.0.0.11"},
        "pi2": {"ansible_host": "10.0.0.12", "node_service_listen": "10.0.0.12:6000"},
        "pi3": {
            "ansible_host": "10.0.0.13",
            "node_service_listen": "[::]:6000",
            "node_service_metrics": "0.0.0.0:9100",
        },
        "pi4": {"ansible_host": "fd00::14", "node_service_metrics": ""},
        "jetson1": {},
    }
    assert board_targets(boards) == [
        ("10.0.0.11:50053", {"board": "pi1"}),
        ("10.0.0.12:6002", {"board": "pi2"}),
        ("10.0.0.13:9100", {"board": "pi3"}),
        ("[fd00::14]:50053", {"board": "pi4"}),
        ("jetson1:50053", {"board": "jetson1"}),
    ]


def test_a_board_s_usual_port_is_that_of_its_service() -> None:
    """The role does not see the other's defaults, so the two must say the same."""
    usual = load(NODE_SERVICE / "defaults/main.yml")
    spelled_out = {name: usual[name] for name in ("node_service_listen", "node_service_metrics")}
    assert board_targets({"pi1": spelled_out}) == board_targets({"pi1": {}})


def test_a_board_without_metrics_is_no_target() -> None:
    boards: dict[str, Settings] = {"pi1": {"node_service_metrics": "off"}, "pi2": {}}
    assert board_targets(boards) == [("pi2:50053", {"board": "pi2"})]
    assert board_targets({"pi1": boards["pi1"]}) == []


def test_there_need_be_no_board_and_no_dispatcher() -> None:
    assert targets("boardline-node-inventory.yml", groups={}, hostvars={}) == []
    assert targets("boardline-dispatcher-inventory.yml") == []


def test_only_boards_with_a_sensor_are_expected_to_have_power() -> None:
    labels = [labels for _, labels in board_targets({"pi1": {}, "pi2": {}}, prometheus_power_boards=["pi2"])]
    assert labels == [{"board": "pi1"}, {"board": "pi2", "power": "expected"}]


def test_every_dispatcher_is_a_target_by_its_name() -> None:
    dispatchers = {"camera": "10.0.0.2:9107", "7": "gate:9464"}
    assert targets("boardline-dispatcher-inventory.yml", prometheus_dispatchers=dispatchers) == [
        ("gate:9464", {"dispatcher": "7"}),
        ("10.0.0.2:9107", {"dispatcher": "camera"}),
    ]


@pytest.mark.parametrize("arguments", [[], ["--web.external-url=http://watch/", "--log.level=warn"]])
def test_prometheus_takes_the_arguments(arguments: list[str]) -> None:
    """Split as systemd splits them. With --version it reads them all, and ends."""
    text = render(ROLE / "templates" / "arguments.j2", {**DEFAULTS, "prometheus_arguments": arguments})
    (assignment,) = shlex.split(text, comments=True)
    name, _, value = assignment.partition("=")
    assert name == "ARGS"
    assert "--web.listen-address=127.0.0.1:9090" in value.split()
    command = ["prometheus", *value.split(), "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert value.split()[2:] == arguments


@needs_ansible
def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    boards: dict[str, Settings] = {"pi1": {"node_service_metrics_tls": True}, "pi2": {"node_service_metrics": "off"}}
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "authority.pem").touch()
    hosts: dict[str, Settings] = {
        "sensors": {"prometheus_power_boards": ["pi9", "pi1", "pi8"]},
        "dispatchers": {"prometheus_dispatchers": {"gate": "http://gate:9107/", "camera": "10.0.0.2", "door": "d:1"}},
        "plain": {},
        "https": {"prometheus_boards_tls": True, "prometheus_credentials": str(tmp_path / "half")},
    }
    refused = refusals(Host(tmp_path, "prometheus", boards).run("--tags=prometheus_preflight", hosts=hosts))
    assert refused.keys() == hosts.keys()
    assert "pi8, pi9, not of the group boards (pi1, pi2)" in refused["sensors"]
    assert "camera, gate should have HOST:PORT" in refused["dispatchers"]
    assert "is false, node_service_metrics_tls differs on pi1." in refused["plain"]
    assert "half has no certificate.pem, key.pem. Make a client" in refused["https"]


@needs_ansible
@needs_root
def test_host_is_configured_once_and_cleared(tmp_path: Path) -> None:
    root = tmp_path / "etc" / "prometheus"
    for directory in (root / "rules", root / "file_sd", tmp_path / "fleet" / "prometheus"):
        directory.mkdir(parents=True)
    for name in PEMS:
        (tmp_path / "fleet" / "prometheus" / name).write_text(f"a fleet's {name}\n")
    (root / "rules" / "boardline-of-an-earlier-release.yml").write_text("groups: []\n")
    (root / "rules" / "of-somebody-else.yml").write_text("groups: []\n")
    (root / "file_sd" / "boardline-node-by-hand.yml").write_text("[]\n")
    ours = {
        "prometheus.yml",
        "rules/boardline-alerts.yml",
        "rules/boardline-recording.yml",
        "file_sd/boardline-node-inventory.yml",
        "file_sd/boardline-dispatcher-inventory.yml",
        *(f"credentials/{name}" for name in PEMS),
    }
    host = Host(tmp_path, "prometheus", {"pi1": {"node_service_metrics_tls": True}})
    hosts = {
        "watch": {
            "prometheus_boards_tls": True,
            "prometheus_power_boards": ["pi1"],
            "prometheus_dispatchers": {"camera": "10.0.0.2:9107"},
            "prometheus_alertmanagers": ["127.0.0.1:9093"],
        }
    }
    paths = ["-e", f"prometheus_configuration={root}", "-e", f"prometheus_defaults_file={tmp_path}/etc/arguments"]
    only = "--tags=prometheus_configure"

    assert changes(host.run(only, *paths, hosts=hosts)) > 0
    # Not the other way round: a process that has just been started does not listen for the signal yet.
    assert host.taken_calls() == ["reload prometheus.service", "restart prometheus.service"]
    assert files_below(root) == ours | {"rules/of-somebody-else.yml", "file_sd/boardline-node-by-hand.yml"}
    for name in PEMS:
        found = (root / "credentials" / name).stat()
        assert (found.st_uid, grp.getgrgid(found.st_gid).gr_name, found.st_mode & 0o777) == (0, "prometheus", 0o640)
    (job, _) = load(root / "prometheus.yml")["scrape_configs"]
    assert job["tls_config"]["key_file"] == str(root / "credentials" / "key.pem")
    (group,) = load(root / "file_sd" / "boardline-node-inventory.yml")
    assert group == {"targets": ["pi1:50053"], "labels": {"board": "pi1", "power": "expected"}}
    checked = subprocess.run(
        ["promtool", "check", "config", str(root / "prometheus.yml")], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    assert "3 rule files found" in checked.stdout

    assert changes(host.run(only, *paths, hosts=hosts)) == 0
    assert host.taken_calls() == []

    # The package stays: it is this machine's.
    assert changes(host.run("--skip-tags=prometheus_install", *paths, hosts=hosts, playbook="remove.yml")) > 0
    assert files_below(root) == {"prometheus.yml", "rules/of-somebody-else.yml"}
