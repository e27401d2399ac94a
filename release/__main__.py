"""`make release VERSION=x.y.z`: a clean tree becomes a version, committed and tagged, with all that belongs to it in dist/."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import typer
from packaging.version import Version

DIST = Path("dist")
PYPROJECT = Path("pyproject.toml")
PREVIOUS = Path("tests/release/previous")
_SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
_TIMEOUT_S = 600


def main(version: str, tools: Path = typer.Option(..., help="Where mkdocs, towncrier and pip-licenses are.")) -> None:
    """Makes the version; refuses, before it changes anything, a number that is none or no rise, and a tree with changes."""
    refuse(version)
    tools = tools.absolute()
    uv = str(Path(sys.executable).with_name("uv"))
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    print(f"making {version}; if it fails: git restore --staged --worktree . && git clean -d changelog.d")
    PYPROJECT.write_text(_VERSION.sub(f'version = "{version}"', PYPROJECT.read_text(), count=1))
    run(str(tools / "towncrier"), "build", "--yes", "--version", version)
    run(sys.executable, "-m", "release.written", str(PREVIOUS / "model.tflite"), str(PREVIOUS / "next"))
    _take_place(PREVIOUS / "next", PREVIOUS)
    run(uv, "build", "--quiet", "--no-create-gitignore", "--out-dir", str(DIST))
    run(str(tools / "mkdocs"), "build", "--strict")
    with tarfile.open(DIST / f"boardline-{version}-site.tar.gz", "w:gz") as archive:
        archive.add("build/site", f"boardline-{version}-site")
    run(
        *(
            str(tools / "pip-licenses"),
            "--python",
            sys.executable,
            "--output-file",
            str(DIST / "THIRD_PARTY_NOTICES.txt"),
        ),
        *("--from=mixed", "--format=plain-vertical", "--with-urls", "--ignore-packages", "boardline"),
        *("--with-license-file", "--with-notice-file", "--no-license-path"),
    )
    _write_sums()
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", f"release: {version}")
    run("git", "tag", "--annotate", f"v{version}", "--message", f"boardline {version}")
    print(
        f"v{version} is committed and tagged; {DIST}/ has:", *sorted(path.name for path in DIST.iterdir()), sep="\n  "
    )


def refuse(version: str) -> None:
    """Ends with a message unless this version can be made of this tree."""
    if not _SEMANTIC.fullmatch(version):
        sys.exit(f"VERSION is {version!r}, expected three numbers, as make release VERSION=0.2.0.")
    current = _VERSION.findall(PYPROJECT.read_text())[0]
    if run("git", "tag", "--list", f"v{version}"):
        sys.exit(f"there is a tag v{version} already. Choose a higher version.")
    if Version(version) < Version(current) or (
        Version(version) == Version(current) and run("git", "tag", "--list", "v*")
    ):
        sys.exit(f"{version} is no rise from {current}. Choose a higher version.")
    if changed := run("git", "status", "--porcelain"):
        sys.exit(f"the tree has changes:\n{changed}Commit or remove them first.")
    if not list(Path("changelog.d").glob("*.md")):
        sys.exit("changelog.d has no fragments: nothing that users would notice has changed.")


def run(*command: str) -> str:
    """Its output; ends with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _take_place(new: Path, old: Path) -> None:
    for made in new.iterdir():
        before = old / made.name
        if before.is_dir():
            shutil.rmtree(before)
        made.replace(before)
    new.rmdir()


def _write_sums() -> None:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
