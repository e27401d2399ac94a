"""Wheels for boards without internet: `python -m deploy.wheelhouse DIRECTORY cp311-aarch64 ...`, or `make wheelhouse`.

For each kind of board a directory, and in it, for the node service and for a client, an archive of boardline's own wheel and all
that it needs there, and a requirements file with their hashes; versions are those that constraints.txt has locked. pip takes a
wheel for a platform only if it is named, level by level.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# glibc 2.31 is bullseye's, 2.35 JetPack 6's; what needs a newer one than a board has says so there.
_GLIBC_MINORS = (17, 24, 26, 27, 28, 31, 34, 35, 36)
_OLD_NAMES = {17: "manylinux2014"}
# pip takes 3.9 for 3.9.0, which cryptography refuses; bullseye has this one.
_PATCHES = {"3.9": "3.9.2"}
# What is installed on boards, and where applications and `python -m dispatcher_client` run.
_EXTRAS = ("node", "client")
# In archives: so that the same sources give the same wheel, and a board that has it is left alone.
_EPOCH_S = "315532800"
_TARGET = re.compile(r"cp3(?P<minor>\d+)-(?P<machine>aarch64|x86_64)")


class WheelhouseError(Exception):
    """A target that there are no wheels for, or a tool that failed."""


def build(directory: Path, targets: list[str]) -> None:
    """Makes a directory for each target. Raises: WheelhouseError."""
    found = [(target, _TARGET.fullmatch(target)) for target in targets]
    unknown = [target for target, match in found if match is None]
    if unknown:
        raise WheelhouseError(
            f"{', '.join(unknown)} is no kind of board: expected as cp311-aarch64 or cp310-x86_64. 32-bit boards install from the "
            "network: not all that they need has wheels for one locked set."
        )
    with tempfile.TemporaryDirectory() as scratch:
        own = _own_wheel(Path(scratch))
        for target, match in found:
            assert match is not None
            _fill(directory / target, own, f"3.{match['minor']}", match["machine"])
            sizes = [
                f"{path.name} {path.stat().st_size / 1e6:.0f} MB" for path in sorted((directory / target).glob("*.tar"))
            ]
            print(f"{directory / target}: {', '.join(sizes)}")


def _own_wheel(scratch: Path) -> Path:
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(scratch), str(ROOT))
    (wheel,) = scratch.glob("*.whl")
    return wheel


def _fill(place: Path, own: Path, python: str, machine: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    version, digest = own.name.split("-")[1], hashlib.sha256(own.read_bytes()).hexdigest()
    for extra in _EXTRAS:
        requirements = place / f"requirements-{extra}.txt"
        _lock(requirements, extra, python, machine)
        with tempfile.TemporaryDirectory() as wheels:
            _download(Path(wheels), requirements, python, machine)
            (Path(wheels) / own.name).write_bytes(own.read_bytes())
            with requirements.open("a") as file:
                file.write(f"boardline=={version} --hash=sha256:{digest}\n")
            _pack(place / f"wheels-{extra}.tar", Path(wheels))


def _pack(archive: Path, directory: Path) -> None:
    """One file, because a slow board takes seconds to be given each; not compressed, since wheels are."""
    with tarfile.open(archive, "w") as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, path.name, filter=_as_anybody)


def _as_anybody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who made it and when."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode, member.mtime = 0o644, int(_EPOCH_S)
    return member


def _lock(requirements: Path, extra: str, python: str, machine: str) -> None:
    """Writes what pyproject.toml's `extra` needs there, in locked versions, with their hashes."""
    kind = ["--python-version", python, "--python-platform", f"{machine}-manylinux_2_36"]
    exact = [
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        "--constraints",
        "constraints.txt",
    ]
    uv = str(Path(sys.executable).with_name("uv"))
    asked = ["--quiet", "--extra", extra, *kind, *exact, "--output-file", str(requirements), "pyproject.toml"]
    _run(uv, "pip", "compile", *asked)


def _download(place: Path, requirements: Path, python: str, machine: str) -> None:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINORS]
    platforms += [f"{name}_{machine}" for name in _OLD_NAMES.values()]
    asked = ["--dest", str(place), "--requirement", str(requirements), "--no-deps", "--require-hashes"]
    asked += ["--only-binary=:all:", "--implementation", "cp", "--python-version", _PATCHES.get(python, python)]
    asked += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    _run(sys.executable, "-m", "pip", "download", "--quiet", *asked, *(f"--platform={name}" for name in platforms))


def _run(*command: str) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "SOURCE_DATE_EPOCH": _EPOCH_S}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise WheelhouseError(f"{' '.join(command[:4])} ... failed:\n{ended.stderr or ended.stdout}")


def main() -> None:
    """`python -m deploy.wheelhouse DIRECTORY TARGET ...`."""
    if len(sys.argv) < 3:
        sys.exit("usage: python -m deploy.wheelhouse DIRECTORY cp311-aarch64 ...")
    try:
        build(Path(sys.argv[1]), sys.argv[2:])
    except WheelhouseError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
