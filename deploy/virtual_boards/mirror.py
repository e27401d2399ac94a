"""Where this machine's apt takes Debian's packages from, so that images take theirs from there, too."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from deploy.virtual_boards.errors import ToolError
from deploy.virtual_boards.processes import run

_TIMEOUT_S = 60.0
# One line for each list of packages; what apt has not fetched yet has no origin and no code name.
_FIELDS = ("REPO_URI", "RELEASE", "CODENAME", "COMPONENT", "ORIGIN", "LABEL")
_SECTION = "main"


def debian_mirror(suite: str) -> str | None:
    """The address of a Debian archive that has the suite; None where apt knows none, and debootstrap takes its own."""
    if shutil.which("apt-get") is None:
        return None
    line = "\t".join(f"$({field})" for field in _FIELDS)
    try:
        said = run(["apt-get", "indextargets", "--format", line, "Created-By: Packages"], timeout_s=_TIMEOUT_S)
    except ToolError:  # an apt that works is no condition of making images
        return None
    return choose_mirror(said.splitlines(), suite)


def choose_mirror(lines: Iterable[str], suite: str) -> str | None:
    """The first archive of that very suite, else the first of another release of Debian: archives hold several. None: no such one.

    Args: lines: of tab-separated values, in the order of `_FIELDS`.
    """
    same, other = [], []
    for line in lines:
        uri, release, code_name, component, origin, label = line.split("\t")
        if component != _SECTION or not uri.startswith(("http://", "https://")):
            continue
        if suite in (release, code_name):
            same.append(uri)
        elif origin == label == "Debian":
            other.append(uri)
    return next(iter([*same, *other]), None)
