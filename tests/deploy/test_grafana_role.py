"""What the role puts on a host fits together: dashboards, their source, the unit; and the password shows nowhere."""

from __future__ import annotations

import grp
import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.ansible_template import render
from tests.deploy.test_prometheus_role import (
    PLAYBOOKS,
    Host,
    changes,
    files_below,
    load,
    needs_ansible,
    needs_root,
    refusals,
)

ROLE = PLAYBOOKS / "roles" / "grafana"
DASHBOARDS = sorted((ROLE / "files" / "dashboards").glob("*.json"))
DEFAULTS = load(ROLE / "defaults/main.yml")


def rendered(template: str, **values: object) -> str:
    """As Ansible renders it, with what the role makes of its variables."""
    usual = {
        **DEFAULTS,
        "grafana_scrape_interval": "5s",
        "grafana_is_default": True,
        "grafana_dashboards": "/etc/grafana/boardline-dashboards",
        "grafana_password_file": "/etc/grafana/boardline-admin-password",
        "grafana_host": "127.0.0.1",
        "grafana_port": "3000",
    }
    return render(ROLE / "templates" / f"{template}.j2", {**usual, **values})


def source(**values: object) -> Any:
    (found,) = yaml.safe_load(rendered("provisioning/datasources.yml", **values))["datasources"]
    return found


def test_password_is_kept_out_of_logs() -> None:
    options = load(ROLE / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert [name for name, option in options.items() if option.get("no_log")] == ["grafana_admin_password"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_work_with_the_source(path: Path) -> None:
    """Their first variable chooses among sources of its kind, and all of them ask the chosen one."""
    dashboard = json.loads(path.read_text())
    chooser, *others = dashboard["templating"]["list"]
    assert (chooser["type"], chooser["name"], chooser["query"]) == ("datasource", "datasource", source()["type"])
    assert "regex" not in chooser  # none is left out by its name
    asking = [*others, *(panel for panel in dashboard["panels"] if panel["type"] != "row")]
    asking += [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert asking
    assert {(a["datasource"]["type"], a["datasource"]["uid"]) for a in asking} == {("prometheus", "${datasource}")}
    assert "__inputs" not in dashboard  # nobody is asked when dashboards are provisioned
    assert dashboard.get("id") is None


def test_dashboards_are_told_apart() -> None:
    assert len(DASHBOARDS) == 3
    for key in ("uid", "title"):
        assert len({json.loads(path.read_text())[key] for path in DASHBOARDS}) == len(DASHBOARDS)


def test_source_is_the_prometheus_that_is_named() -> None:
    found = source(grafana_prometheus_url="http://10.0.0.2:9090", grafana_scrape_interval="15s")
    assert (found["url"], found["jsonData"]) == ("http://10.0.0.2:9090", {"timeInterval": "15s"})
    assert found["isDefault"] is True


def test_source_is_not_a_second_default() -> None:
    assert source(grafana_is_default=False)["isDefault"] is False


def test_a_dashboard_goes_with_its_file() -> None:
    (provider,) = yaml.safe_load(rendered("provisioning/dashboards.yml"))["providers"]
    assert provider["disableDeletion"] is False


@pytest.mark.parametrize(
    ("settings", "password"),
    [
        ({}, []),
        (
            {"grafana_admin_password": "secret"},
            ["GF_SECURITY_ADMIN_PASSWORD=$__file{/etc/grafana/boardline-admin-password}"],
        ),
    ],
)
def test_unit_takes_the_settings(tmp_path: Path, settings: Mapping[str, object], password: list[str]) -> None:
    (tmp_path / "grafana-server.service").write_text("[Service]\nExecStart=/bin/true\n")
    drop_in = tmp_path / "grafana-server.service.d" / "boardline.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(rendered("drop-in.conf", **settings))
    assert [line for line in drop_in.read_text().splitlines() if line.startswith("Environment")] == [
        f'Environment="{variable}"'
        for variable in ["GF_SERVER_HTTP_ADDR=127.0.0.1", "GF_SERVER_HTTP_PORT=3000", *password]
    ]
    assert "secret" not in drop_in.read_text()
    command = ["systemd-analyze", "verify", str(tmp_path / "grafana-server.service")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def test_upgrades_of_the_host_keep_to_the_version() -> None:
    lines = rendered("preferences").splitlines()
    assert "Pin: version 11.6.*" in lines
    (priority,) = [int(line.split()[1]) for line in lines if line.startswith("Pin-Priority:")]
    assert 500 < priority < 1000  # above all other versions, and not going back to an older one


@needs_ansible
def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "grafana.deb"
    package.write_bytes(b"a package")
    checksum = hashlib.sha256(b"a package").hexdigest()
    hosts: dict[str, Mapping[str, object]] = {
        "open": {"grafana_listen": "0.0.0.0:3000"},
        "elsewhere": {"grafana_package": str(tmp_path / "nothing.deb"), "grafana_package_checksum": checksum},
        "another": {"grafana_package": str(package), "grafana_package_checksum": "0" * 64},
        "unchecked": {"grafana_package": str(package)},
        "missing": {"grafana_manage_package": False},
        "right": {"grafana_package": str(package), "grafana_package_checksum": checksum.upper()},
        "locked": {"grafana_listen": "[::]:3000", "grafana_admin_password": "secret"},
    }
    ended = Host(tmp_path, "grafana", {}).run("--tags=grafana_preflight", "-e", "grafana_account=nobody-s", hosts=hosts)
    refused = refusals(ended)
    assert refused.keys() == hosts.keys() - {"right", "locked"}, ended.stdout
    assert "log in as admin with the password admin" in refused["open"]
    assert "nothing.deb is not there" in refused["elsewhere"]
    assert f"has the SHA-256 {checksum}, grafana_package_checksum is {'0' * 64}" in refused["another"]
    assert "grafana_package_checksum is empty" in refused["unchecked"]
    assert "There is no group nobody-s" in refused["missing"]


@needs_ansible
@needs_root
def test_host_is_configured_once_and_cleared(tmp_path: Path) -> None:
    root, units = tmp_path / "grafana", tmp_path / "units"
    for kind in ("datasources", "dashboards"):
        (root / "provisioning" / kind).mkdir(parents=True)
    (root / "provisioning" / "datasources" / "sample.yaml").write_text("apiVersion: 1\n")
    of_old = root / "boardline-dashboards" / "of-an-earlier-release.json"
    of_old.parent.mkdir(parents=True)
    of_old.write_text("{}\n")
    password = "it is $__secret{} \"%(of)s'"
    # The package's account is not on this machine.
    paths = ["-e", f"grafana_configuration={root}", "-e", f"grafana_drop_ins={units}", "-e", "grafana_account=root"]
    settings = {"grafana_admin_password": password, "prometheus_scrape_interval": "10s"}
    host, hosts = Host(tmp_path, "grafana", {}), {"watch": settings}

    first = host.run("--tags=grafana_configure", "--diff", "-v", *paths, hosts=hosts)
    assert changes(first) > 0
    assert host.taken_calls() == ["daemon-reload", "restart grafana-server.service"]
    assert "secret{" not in first.stdout + first.stderr
    (provider,) = load(root / "provisioning" / "dashboards" / "boardline.yml")["providers"]
    assert files_below(Path(provider["options"]["path"])) == {path.name for path in DASHBOARDS}
    (found,) = load(root / "provisioning" / "datasources" / "boardline.yml")["datasources"]
    assert found == source(grafana_scrape_interval="10s")
    kept = root / "boardline-admin-password"
    assert kept.read_text() == password
    assert (kept.stat().st_uid, grp.getgrgid(kept.stat().st_gid).gr_name) == (0, "root")
    assert kept.stat().st_mode & 0o777 == 0o640
    assert f"$__file{{{kept}}}" in (units / "boardline.conf").read_text()

    assert changes(host.run("--tags=grafana_configure", *paths, hosts=hosts)) == 0
    assert host.taken_calls() == []

    # No package is here to be removed.
    assert changes(host.run("--skip-tags=grafana_install", *paths, hosts=hosts, playbook="remove.yml")) > 0
    assert files_below(root) | files_below(units) == {"provisioning/datasources/sample.yaml"}
    assert host.taken_calls() == ["daemon-reload"]
