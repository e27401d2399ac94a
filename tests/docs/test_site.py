"""The site is built as `make site` builds it, and would not be with a page or a link that is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import dispatcher_client

ROOT = Path(__file__).parents[2]
MKDOCS = ROOT / ".cache" / "site-tools" / "bin" / "mkdocs"
TIMEOUT_S = 120


def build(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(MKDOCS), "build", "--strict"],
        cwd=tree,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the site is made of, to change."""
    for name in ("docs", "dispatcher_client", "bundle", "fleet"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_new_page_is_in_the_navigation_and_nothing_is_taken_from_elsewhere(tree: Path) -> None:
    (tree / "docs" / "gateways.md").write_text("# Gateways of all kinds\n")
    (tree / "docs" / "howto" / "fly.md").write_text("# Fly to the moon\n")
    done = build(tree)
    assert done.returncode == 0, done.stderr
    start = (tree / "build" / "site" / "index.html").read_text()
    assert 'href="gateways.html"' in start
    assert (
        'href="howto/fly.html"' in (tree / "build" / "site" / "howto" / "own-model.html").read_text()
        or 'href="fly.html"' in (tree / "build" / "site" / "howto" / "own-model.html").read_text()
    )
    loaded = [
        link
        for page in (tree / "build" / "site").rglob("*.html")
        for link in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text())
    ]
    assert not loaded


def test_reference_has_what_applications_import(tree: Path) -> None:
    assert build(tree).returncode == 0
    page = (tree / "build" / "site" / "reference" / "python.html").read_text()
    for name in (*dispatcher_client.__all__, "Dispatcher.stream", "make_fleet", "TraceRecorder", "open_bundle"):
        assert re.search(rf'id="[\w.]+\.{re.escape(name)}"', page), name


@pytest.mark.parametrize(
    "wrong", ["[gone](gone.md)", "[no anchor](bits.md#no-such-place)", "::: dispatcher_client.nothing"]
)
def test_link_that_leads_nowhere_fails_the_build(tree: Path, wrong: str) -> None:
    (tree / "docs" / "failures.md").write_text(f"# Failures\n\n{wrong}\n")
    done = build(tree)
    assert done.returncode != 0, wrong
