"""`make release` on a clone of the tree: refuses what it should, and leaves a version that installs."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".cache" / "site-tools" / "bin"
TIMEOUT_S = 300
_SOMEBODY = {f"GIT_{who}_{what}": "tests@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(tree: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=tree,
        env={**os.environ, **_SOMEBODY},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def release(tree: Path, version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "release", version, "--tools", str(TOOLS)],
        cwd=tree,
        env={**os.environ, **_SOMEBODY, "PYTHONPATH": str(tree), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The tree as it is, changes included, in a repository of its own without tags."""
    tree = tmp_path / "clone"
    tree.mkdir()
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    present = [name for name in listed if name and (ROOT / name).is_file()]
    subprocess.run(["cp", "--parents", *present, str(tree)], cwd=ROOT, timeout=60, check=True)
    git(tree, "init", "--quiet")
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", "the tree")
    return tree


def test_release_makes_a_version_and_the_next_one_must_be_higher(clone: Path) -> None:
    done = release(clone, "7.0.0")
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name for path in (clone / "dist").iterdir()}
    assert made == {
        "boardline-7.0.0-py3-none-any.whl",
        "boardline-7.0.0.tar.gz",
        "boardline-7.0.0-site.tar.gz",
        "THIRD_PARTY_NOTICES.txt",
        "SHA256SUMS",
    }
    for line in (clone / "dist" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((clone / "dist" / name).read_bytes()).hexdigest() == digest

    with zipfile.ZipFile(clone / "dist" / "boardline-7.0.0-py3-none-any.whl") as wheel:
        names = wheel.namelist()
    assert {"boardline-7.0.0.dist-info/licenses/LICENSE", "boardline-7.0.0.dist-info/licenses/NOTICE"} <= set(names)
    assert not [name for name in names if name.startswith(("release/", "tests/", "docs/"))]
    with tarfile.open(clone / "dist" / "boardline-7.0.0-site.tar.gz") as site:
        assert "boardline-7.0.0-site/tutorials/one-machine.html" in site.getnames()
    notices = (clone / "dist" / "THIRD_PARTY_NOTICES.txt").read_text()
    assert all(
        re.search(rf"^{name}$", notices, re.MULTILINE | re.IGNORECASE) for name in ("numpy", "grpcio", "protobuf")
    )

    changelog = (clone / "CHANGELOG.md").read_text()
    assert "## 7.0.0, " in changelog and "### New" in changelog
    assert not list((clone / "changelog.d").glob("*.md"))
    assert git(clone, "tag").split() == ["v7.0.0"]
    assert git(clone, "status", "--porcelain") == ""

    (clone / "changelog.d" / "another.bugfix.md").write_text("Something is right now.\n")
    refused = release(clone, "7.0.0")
    assert refused.returncode != 0 and "there is a tag v7.0.0 already" in refused.stderr
    refused = release(clone, "6.9.9")
    assert refused.returncode != 0 and "6.9.9 is no rise from 7.0.0" in refused.stderr


def test_release_refuses_a_tree_with_changes_and_leaves_it_alone(clone: Path) -> None:
    (clone / "README.md").write_text("changed")
    refused = release(clone, "7.0.0")
    assert refused.returncode != 0 and "the tree has changes:\n M README.md" in refused.stderr
    assert git(clone, "status", "--porcelain") == " M README.md\n"


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.3", "1.2.3rc1", "01.2.3"])
def test_release_refuses_what_is_no_semantic_version(clone: Path, version: str) -> None:
    refused = release(clone, version)
    assert refused.returncode != 0 and "expected three numbers" in refused.stderr


def test_fragments_are_of_a_known_type_and_have_no_links_that_would_lead_nowhere_on_the_site() -> None:
    for path in (ROOT / "changelog.d").glob("[!.]*"):
        assert re.fullmatch(r"[a-z0-9-]+\.(removal|feature|bugfix|doc)\.md", path.name), path.name
        assert not re.findall(r"\]\((?!https?://)", path.read_text()), path.name
