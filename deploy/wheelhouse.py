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
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# bookworm's; what needs a newer one than an older image has says so there.
_GLIBC = "manylinux_2_36"
# 3.9 is taken for 3.9.0, which cryptography refuses; bullseye has this one.
_PATCHES = {"3.9": "3.9.2"}
# What is installed on boards, and where applications and `python -m dispatcher_client` run.
_EXTRAS = ("node", "client")
# In archives: so that the same sources give the same wheel, and a board that has it is left alone.
_EPOCH_S = "315532800"
_TARGET = re.compile(r"cp3(?P<minor>\d+)-(?P<machine>aarch64|x86_64)|cp311-armv7l")
# These have no wheels for 32-bit ARM; the role `release` installs the image's own packages of them.
_OF_THE_IMAGE = ("cffi", "numpy", "pycparser", "pyyaml")
_ARMV7L = "armv7l"
_EXACT = ("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url")
_PROJECT = str(ROOT / "pyproject.toml")
_UNNEEDED = re.compile(r"(\.\./\.\./)?bin/|[^/]+/uv_cache\.json,")
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
            _fill(directory / target, own, f"3.{match['minor'] or 11}", match["machine"] or _ARMV7L)
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
    kind = ["--python-version", _PATCHES.get(python, python), "--python-platform", f"{machine}-{_GLIBC}"]
    for extra in _EXTRAS:
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            requirements = tree / "requirements.txt"
            packages = tree / "venv" / "lib" / f"python{python}" / "site-packages"
            if machine == _ARMV7L:
                _lock_armv7l(requirements, extra, python)
            else:
                _lock(requirements, extra, kind)
            with requirements.open("a") as file:
                file.write(f"boardline=={version} --hash=sha256:{digest}\n")
            if machine == _ARMV7L:
                _install_armv7l(packages, requirements, own.parent, python)
            else:
                _install(packages, requirements, own.parent, kind)
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


def _lock(requirements: Path, extra: str, kind: list[str]) -> None:
    """Writes what pyproject.toml's `extra` needs there, in locked versions, with their hashes."""
    _uv(
        "compile",
        "--extra",
        extra,
        *kind,
        *_EXACT,
        "--constraints=constraints.txt",
        f"--output-file={requirements}",
        _PROJECT,
    )


def _lock_armv7l(requirements: Path, extra: str, python: str) -> None:
    """The same for 32-bit ARM, which uv does not know: all that any machine needs, and of that what this one does."""
    elsewhere = ["--directory", str(requirements.parent), "--constraints", str(ROOT / "deploy" / "armv7l.txt")]
    left = [f"--no-emit-package={name}" for name in _OF_THE_IMAGE]
    asked = [*elsewhere, *left, "--universal", "--python-version", python, "--extra", extra, *_EXACT]
    _uv("compile", *asked, "--output-file", str(requirements), _PROJECT)
    machine = {"platform_machine": _ARMV7L, "python_version": python, "python_full_version": f"{python}.0"}
    kept, is_needed = [], False
    for line in requirements.read_text().splitlines():
        if not line.startswith(" "):
            requirement = Requirement(line.rstrip("\\ "))
            is_needed = requirement.marker is None or requirement.marker.evaluate(machine)
            line = f"{requirement.name}{requirement.specifier} \\"
        if is_needed:
            kept.append(line)
    requirements.write_text("".join(f"{line}\n" for line in kept))


def _install(place: Path, requirements: Path, own: Path, kind: list[str]) -> None:
    """Unpacks all wheels, and boardline's own from the directory `own`. Raises: WheelhouseError: one has another hash."""
    exact = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--link-mode=copy", "--find-links", str(own)]
    # Elsewhere: pyproject.toml's settings are for resolving, which is done.
    _uv("install", "--directory", str(own), "--target", str(place), *kind, *exact, "-r", str(requirements))


def _install_armv7l(place: Path, requirements: Path, own: Path, python: str) -> None:
    """The same by pip, which takes a wheel for a platform only if it is named, level by level."""
    platforms = ["linux_armv7l", "manylinux2014_armv7l", *(f"manylinux_2_{minor}_armv7l" for minor in range(17, 37))]
    asked = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile", "--find-links", str(own)]
    asked += [
        "--target",
        str(place),
        "--requirement",
        str(requirements),
        "--implementation=cp",
        f"--python-version={python}",
    ]
    asked += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    _run(sys.executable, "-m", "pip", "install", "--quiet", *asked, *(f"--platform={name}" for name in platforms))


def _prune(packages: Path) -> None:
    """Takes out commands, which name this machine's interpreter (`python -m` does the same), and notes of when and whence."""
    (packages / ".lock").unlink(missing_ok=True)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for record in packages.glob("*.dist-info/RECORD"):
        record.with_name("uv_cache.json").unlink(missing_ok=True)
        kept = [line for line in record.read_text().splitlines() if not _UNNEEDED.match(line)]
        record.write_text("".join(f"{line}\n" for line in kept))


def _compile(packages: Path, python: str) -> None:
    """Byte code that needs no look at its source; without it a board makes that of what it imports. Errors: in tests' samples."""
    if interpreter := shutil.which(f"python{python}"):
        asked = ["-q", "-j", "0", "-s", str(packages), "--invalidation-mode", "unchecked-hash", str(packages)]
        subprocess.run([interpreter, "-m", "compileall", *asked], capture_output=True, check=False)


def _uv(command: str, *arguments: str) -> None:
    _run(str(Path(sys.executable).with_name("uv")), "pip", command, "--quiet", *arguments)


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
