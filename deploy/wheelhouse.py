"""Wheels for boards without internet: `python -m deploy.wheelhouse DIRECTORY cp311-aarch64 ...`, or `make wheelhouse`.

For each kind of board a directory, and in it, for the node service and for a client, an archive: what an environment there
imports, unpacked from boardline's own wheel and all that it needs, and the requirements with their hashes. Versions are those
that constraints.txt has locked, or armv7l.txt for 32-bit ARM. Hashes are checked and wheels unpacked here, since a small board
takes minutes for what takes this machine seconds; so is byte code made, if this machine has the same Python.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# From manylinux2014's to bookworm's; what needs a newer one than an older image has says so there.
_GLIBC_MINORS = range(17, 37)
# 3.9 is taken for 3.9.0, which cryptography refuses; bullseye has this one.
_PATCHES = {"3.9": "3.9.2"}
# What is installed on boards, and where applications and `python -m dispatcher_client` run.
_EXTRAS = ("node", "client")
# What both have beside that: boards announce themselves, and clients find them.
_FOR_ALL = "discovery"
# In archives: so that the same sources give the same wheel, and a board that has it is left alone.
_EPOCH_S = "315532800"
# Of 32-bit images one has a Python that a runtime has a wheel for.
_TARGET = re.compile(r"cp3(?P<minor>\d+)-(?P<machine>aarch64|x86_64|(?<=cp311-)armv7l)")
# Versions, by machine; and what has no wheels there, of which the role `release` installs the image's own packages.
_LOCKS = {"armv7l": ROOT / "deploy" / "armv7l.txt"}
_OF_THE_IMAGE = {"armv7l": ("cffi", "numpy", "pycparser", "pyyaml")}
# A fifth of what wheels hold, which nothing on a board imports: packages' own tests, types for editors, and LiteRT's accelerator
# and compilers for another interface than the one in use.
_LEFT_OUT = (
    "**/tests",
    "**/*.pyi",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/tools",
    "ai_edge_litert/vendors",
)
# The best of gzip's takes three times as long for one percent.
_COMPRESSION = 6


class WheelhouseError(Exception):
    """A target that there are no wheels for, or a tool that failed."""


def build(directory: Path, targets: list[str]) -> None:
    """Makes a directory for each target. Raises: WheelhouseError."""
    found = [(target, _TARGET.fullmatch(target)) for target in targets]
    unknown = [target for target, match in found if match is None]
    if unknown:
        raise WheelhouseError(
            f"{', '.join(unknown)} is no kind of board: expected as cp311-aarch64 or cp310-x86_64, and of 32-bit ones "
            "cp311-armv7l, since no runtime has a wheel for another Python that an image brings."
        )
    with tempfile.TemporaryDirectory() as scratch:
        own = _own_wheel(Path(scratch))
        for target, match in found:
            assert match is not None
            _fill(directory / target, own, f"3.{match['minor']}", match["machine"])
            made = sorted((directory / target).glob("*.tar.gz"))
            sizes = [f"{path.name} {path.stat().st_size / 1e6:.0f} MB" for path in made]
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
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            requirements = tree / "requirements.txt"
            _lock(requirements, extra, python, machine)
            with requirements.open("a") as file:
                file.write(f"boardline=={version} --hash=sha256:{digest}\n")
            packages = tree / "venv" / "lib" / f"python{python}" / "site-packages"
            _install(packages, requirements, own.parent, python, machine)
            _prune(packages)
            _compile(packages, python)
            pack(place / f"{extra}.tar.gz", tree)


def pack(archive: Path, directory: Path) -> None:
    """One file, because a slow board takes seconds to be given each; without who made it and when."""
    # The name of the file would be in it, too.
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        for path in sorted(directory.rglob("*")):
            tar.add(path, str(path.relative_to(directory)), recursive=False, filter=_as_anybody)


def _as_anybody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    member.mtime = int(_EPOCH_S)
    return member


def _lock(requirements: Path, extra: str, python: str, machine: str) -> None:
    """Writes what pyproject.toml's `extra` needs there, in locked versions, with their hashes.

    uv does not know every machine: it is asked for what any needs, and of that is kept what this one does.
    """
    patch = _PATCHES.get(python, f"{python}.0")
    # Elsewhere, since pyproject.toml's settings are for another lock.
    asked = ["--quiet", "--directory", str(requirements.parent), "--universal", "--python-version", patch]
    asked += [f"--extra={extra}", f"--extra={_FOR_ALL}"]
    asked += ["--constraints", str(_LOCKS.get(machine, ROOT / "constraints.txt"))]
    asked += [f"--no-emit-package={name}" for name in _OF_THE_IMAGE.get(machine, ())]
    asked += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
    uv = str(Path(sys.executable).with_name("uv"))
    _run(uv, "pip", "compile", *asked, "--output-file", str(requirements), str(ROOT / "pyproject.toml"))
    there = {"platform_machine": machine, "python_version": python, "python_full_version": patch}
    requirements.write_text("".join(f"{line}\n" for line in _needed(requirements.read_text().splitlines(), there)))


def _needed(lines: Iterable[str], there: dict[str, str]) -> Iterator[str]:
    """Of requirements with markers, those that hold there, without them: pip would ask of this machine."""
    is_needed = False
    for line in lines:
        if line.startswith(" "):  # a hash of the one before
            needed = line
        else:
            requirement = Requirement(line.rstrip("\\ "))
            is_needed = requirement.marker is None or requirement.marker.evaluate(there)
            needed = f"{requirement.name}{requirement.specifier} \\"
        if is_needed:
            yield needed


def _install(place: Path, requirements: Path, own: Path, python: str, machine: str) -> None:
    """Unpacks all wheels, and boardline's own from the directory `own`. Raises: WheelhouseError: one has another hash.

    pip takes a wheel for a platform only if it is named, level by level, and compares what packages say of Pythons with the one
    that it runs on; uv has compared that with the board's.
    """
    names = ["linux", "manylinux2014", *(f"manylinux_2_{minor}" for minor in _GLIBC_MINORS)]
    asked = ["--target", str(place), "--requirement", str(requirements), "--find-links", str(own)]
    asked += ["--no-deps", "--require-hashes", "--no-compile", "--only-binary=:all:", "--ignore-requires-python"]
    asked += ["--implementation=cp", "--python-version", _PATCHES.get(python, python)]
    asked += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    _run(sys.executable, "-m", "pip", "install", "--quiet", *asked, *(f"--platform={name}_{machine}" for name in names))
    # Commands name the interpreter of this machine; `python -m` does the same.
    shutil.rmtree(place / "bin")


def _prune(packages: Path) -> None:
    for pattern in _LEFT_OUT:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _compile(packages: Path, python: str) -> None:
    """Byte code that needs no look at its source; without it a board makes that of what it imports."""
    if interpreter := shutil.which(f"python{python}"):
        asked = ["-q", "-j", "0", "-s", str(packages), "--invalidation-mode", "unchecked-hash", str(packages)]
        subprocess.run([interpreter, "-m", "compileall", *asked], capture_output=True, check=False)


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
