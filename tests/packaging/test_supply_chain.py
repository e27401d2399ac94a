"""What is installed is what is locked, by its hashes; and a bill of materials says what that is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
LOCKS = ("constraints.txt", "site-tools.txt", "supply-chain.txt")
ALL_EXTRAS = ("client", "converter", "dev", "fleet", "grpc", "node", "planner")
TIMEOUT_S = 200
_ENTRY = re.compile(r"^(\S+)==(\S+) ; .* \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def locked(name: str) -> dict[str, list[tuple[str, str]]]:
    """Package -> (version, its hashes) for each environment."""
    found: dict[str, list[tuple[str, str]]] = {}
    for package, number, hashes in _ENTRY.findall((ROOT / name).read_text()):
        found.setdefault(package, []).append((number, hashes))
    return found


def direct_dependencies() -> Iterator[str]:
    """What pyproject.toml asks for here, in whatever extra."""
    for text in requires("boardline") or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *ALL_EXTRAS)):
            yield canonicalize_name(requirement.name)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_a_hash_for_everything_and_names_no_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text and "index-url" not in text
    assert len(_ENTRY.sub("", text).strip()) == 0, "lines that are no entry"
    assert locked(name)


def test_environment_is_what_is_locked() -> None:
    lock = locked("constraints.txt")
    wrong = {
        name: version(name)
        for name in direct_dependencies()
        if name != "boardline" and version(name) not in [number for number, _ in lock.get(name, [])]
    }
    assert not wrong, "run: make setup"


def test_package_of_another_hash_is_refused(tmp_path: Path) -> None:
    (number, hashes), *_ = locked("constraints.txt")["hpack"]
    subprocess.run(
        [UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True, timeout=TIMEOUT_S
    )
    sync = [str(UV), "pip", "sync", "--require-hashes", "--python", f"{tmp_path}/venv", f"{tmp_path}/lock.txt"]
    for text in (f"hpack=={number}\n", f"hpack=={number} --hash=sha256:{'0' * 64}\n"):
        (tmp_path / "lock.txt").write_text(text)
        refused = subprocess.run(sync, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert refused.returncode != 0
        assert "hash" in refused.stderr.lower()
    (tmp_path / "lock.txt").write_text(f"hpack=={number} \\\n{hashes}")
    subprocess.run(sync, check=True, capture_output=True, timeout=TIMEOUT_S)


def test_bill_of_materials_names_every_direct_dependency_with_its_version(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    bill = tmp_path / "sbom.json"
    venv = Path(sys.executable).parents[1]
    done = subprocess.run(
        ["make", "sbom", f"SBOM={bill}", f"VENV={venv}", "--old-file", f"{venv}/.ready"],  # it is as it is
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(bill.read_text())
    versions: dict[str, str] = {canonicalize_name(part["name"]): part["version"] for part in said["components"]}
    wanted = {name: version(name) for name in direct_dependencies() if name != "boardline"}
    assert len(wanted) > 20
    assert {name: versions.get(name) for name in wanted} == wanted
    assert said["metadata"]["component"]["name"] == "boardline"
    assert (said["bomFormat"], said["specVersion"]) == ("CycloneDX", "1.6")
