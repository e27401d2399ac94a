"""What is installed is well-formed, and the rules' own tests hold."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from examples.local_prometheus import ROLE, LocalPrometheus

RULES = sorted((ROLE / "files" / "rules").glob("*.yml"))
RULE_TESTS = sorted((Path(__file__).parent / "rules").glob("*.test.yml"))


def promtool(*arguments: str) -> str:
    ended = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_rules_are_well_formed() -> None:
    assert len(RULES) == 2
    promtool("check", "rules", *map(str, RULES))


@pytest.mark.parametrize("tests", RULE_TESTS, ids=lambda path: path.name)
def test_rules_say_what_they_should(tests: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(tests))


def test_every_alert_has_a_test_of_its_own() -> None:
    alerts = [line.split(":")[1].strip() for line in RULES[0].read_text().splitlines() if "- alert:" in line]
    tested = RULE_TESTS[0].read_text()
    assert alerts
    assert [alert for alert in alerts if f"alertname: {alert}" not in tested] == []


@pytest.mark.parametrize("tls", [False, True])
def test_configuration_is_well_formed(tmp_path: Path, tls: bool) -> None:
    for name in ("authority", "certificate", "key"):
        (tmp_path / f"{name}.pem").touch()
    directory = tmp_path / "prometheus"
    directory.mkdir()
    settings = {"prometheus_boards_tls": tls, "prometheus_credentials": str(tmp_path)}
    with LocalPrometheus(directory, prometheus_alertmanagers=["127.0.0.1:9093"], **settings) as prometheus:
        assert "SUCCESS" in promtool("check", "config", "--syntax-only", str(prometheus.config))
        assert ("scheme: https" in prometheus.config.read_text()) == tls
