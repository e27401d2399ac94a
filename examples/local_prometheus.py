"""A Prometheus on this machine, with the configuration that the playbooks install. Debian's package has it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from examples.ansible_template import render

ROLE = Path(__file__).parents[1] / "deploy" / "ansible" / "roles" / "prometheus"
_START_S = 30.0
_STOP_S = 10.0
_TRIES = 3  # somebody else may take the port in between

Labels = Mapping[str, str]


class LocalPrometheus:
    """Scrapes every second. Targets are files, which it reads again when they change: so the playbooks tell it, too."""

    def __init__(self, directory: Path, **settings: object) -> None:
        """Args: settings: the role's variables that are not as usual."""
        self._directory = directory
        shutil.copytree(ROLE / "files" / "rules", directory / "rules")
        (directory / "file_sd").mkdir()
        values = {
            "prometheus_scrape_interval": "1s",
            "prometheus_alertmanagers": [],
            "prometheus_boards_tls": False,
            "prometheus_configuration": str(directory),
            **settings,
        }
        self._config = directory / "prometheus.yml"
        self._config.write_text(render(ROLE / "templates" / "prometheus.yml.j2", values))
        for _ in range(_TRIES):
            self._process, self.url = self._start()
            if self._is_ready():
                return
            self.close()
        raise RuntimeError(f"prometheus did not start:\n{self._log.read_text()}")

    @property
    def config(self) -> Path:
        """Its file."""
        return self._config

    def nodes(self, boards: Mapping[str, tuple[str, Labels]]) -> None:
        """Has these boards scraped: address of the metrics, and labels, by name."""
        self._write(
            "boardline-node-local.yml", [([a], {"board": name, **labels}) for name, (a, labels) in boards.items()]
        )

    def dispatchers(self, addresses: Mapping[str, str]) -> None:
        """Has these dispatchers scraped."""
        self._write("boardline-dispatcher-local.yml", [([a], {"dispatcher": name}) for name, a in addresses.items()])

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an instant query gives: a vector's samples; a scalar as one without labels."""
        found = self._get("query", query=expression)
        if found["resultType"] == "scalar":
            return [{"metric": {}, "value": found["result"]}]
        return list(found["result"])

    def query_range(self, expression: str, begin_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """What a query gives over time, in seconds since 1970: series with their values."""
        found = self._get("query_range", query=expression, start=f"{begin_s}", end=f"{end_s}", step=f"{step_s}")
        return list(found["result"])

    def label_values(self, selector: str, label: str) -> set[str]:
        """Of the series that a selector finds."""
        return set(self._get(f"label/{label}/values", **{"match[]": selector}))

    def firing(self) -> set[str]:
        """Alerts that fire, with their boards or dispatchers: `BoardlineBoardDown pi1`."""
        found = self._get("alerts")["alerts"]
        return {
            f"{a['labels']['alertname']} {a['labels'].get('board') or a['labels'].get('dispatcher')}"
            for a in found
            if a["state"] == "firing"
        }

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> LocalPrometheus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> tuple[subprocess.Popen[bytes], str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self._log = self._directory / "log"
        command = [
            "prometheus",
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address={address}",
        ]
        with self._log.open("wb") as log:
            return subprocess.Popen(command, stderr=log, stdout=log), f"http://{address}"

    def _is_ready(self) -> bool:
        stop_s = time.monotonic() + _START_S
        while time.monotonic() < stop_s and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                    return True
            except OSError:
                time.sleep(0.1)
        return False

    def _get(self, what: str, **arguments: str) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{arguments}: {error.read().decode()}") from error

    def _write(self, name: str, groups: list[tuple[list[str], dict[str, str]]]) -> None:
        path = self._directory / "file_sd" / name
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps([{"targets": targets, "labels": labels} for targets, labels in groups]))
        beside.replace(path)  # YAML's flow style is JSON
