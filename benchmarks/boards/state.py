"""What is known of a cluster that `up` keeps in the background: a directory with state.json and boards.yaml."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.boards.cluster import EmulatedBoards
from benchmarks.boards.errors import ClusterStateError
from benchmarks.boards.node import EmulatedBoard
from benchmarks.boards.ownership import cluster_id_in, cluster_name

_FILE = "state.json"
BOARDS_FILE = "boards.yaml"


@dataclass(frozen=True)
class BoardState:
    """One board: what it emulates and where its parts are. None: as the machine is."""

    name: str
    address: str
    pid: int
    namespace: str
    join_files: list[str]
    log_file: str
    cores: float | None
    link_bits_per_s: float | None
    memory_bytes: int | None
    delay_s: float


@dataclass(frozen=True)
class ClusterState:
    """A cluster; before it `is_ready` only its id is known."""

    cluster_id: str
    is_ready: bool = False
    dispatcher_namespace: str = ""
    boards_file: str = ""
    not_emulated: dict[str, str] = field(default_factory=dict)
    warning: str | None = None
    boards: list[BoardState] = field(default_factory=list)


def default_directory() -> Path:
    """Where a user's cluster is described unless --state-dir says otherwise."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "boardline-boards" if runtime else _temporary_directory()


def open_directory(directory: Path) -> Path:
    """Makes the directory if it is missing.

    Raises: ClusterStateError: it is another user's, who could have us end any process; or it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = directory.lstat().st_uid  # of the directory itself, not of where a link leads
    except OSError as error:
        raise ClusterStateError(
            f"the state cannot be kept in {directory}: {error}. Choose another --state-dir."
        ) from error
    if owner != os.geteuid() or directory.is_symlink():
        raise ClusterStateError(f"{directory} is not a directory of this user's own. Choose another --state-dir.")
    return directory


def describe(cluster: EmulatedBoards, directory: Path) -> ClusterState:
    """The state of a cluster that is up."""
    return ClusterState(
        cluster_id=cluster.cluster_id,
        is_ready=True,
        dispatcher_namespace=str(cluster.dispatcher_namespace),
        boards_file=str(directory / BOARDS_FILE),
        not_emulated=cluster.not_emulated,
        warning=cluster.warning,
        boards=[_describe_board(board) for board in cluster.boards],
    )


def read_state(directory: Path) -> ClusterState | None:
    """What was written last; None if nothing was. Raises: ClusterStateError: not a state of ours."""
    path = open_directory(directory) / _FILE
    try:
        content = json.loads(path.read_text())
        state = ClusterState(**{**content, "boards": [BoardState(**board) for board in content["boards"]]})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ClusterStateError(f"{path} cannot be read as a cluster's state: {error}. Remove it.") from error
    if cluster_id_in(cluster_name(state.cluster_id)) != state.cluster_id:
        raise ClusterStateError(f"{path} names no cluster: {state.cluster_id!r}. Remove it.")
    return state


def write_state(directory: Path, state: ClusterState) -> None:
    """Writes state.json, whole or not at all, and boards.yaml."""
    if state.is_ready:
        (directory / BOARDS_FILE).write_text(boards_yaml(state))
    draft = directory / f"{_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(asdict(state), indent=2) + "\n")
    draft.replace(directory / _FILE)


def remove_state(directory: Path) -> None:
    """Removes what `write_state` wrote; the directory and its logs stay."""
    for name in (_FILE, BOARDS_FILE):
        (directory / name).unlink(missing_ok=True)


def boards_yaml(state: ClusterState) -> str:
    """The boards as the dispatcher reads them."""
    entries = [f'  - name: "{board.name}"\n    address: "{board.address}"\n' for board in state.boards]
    return "boards:\n" + "".join(entries)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lets one process at a time decide whether a cluster is up in the directory."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # held for one read and one write of a small file
        yield
    finally:
        os.close(handle)


def _describe_board(board: EmulatedBoard) -> BoardState:
    return BoardState(
        name=board.spec.name,
        address=str(board.address),
        pid=board.process.pid,
        namespace=str(board.namespace),
        join_files=[str(path) for path in board.group.join_files],
        log_file=str(board.log_file),
        cores=board.spec.cores,
        link_bits_per_s=board.spec.link_bits_per_s,
        memory_bytes=board.spec.memory_bytes,
        delay_s=board.spec.delay_s,
    )


def _temporary_directory() -> Path:
    return Path(tempfile.gettempdir()) / f"boardline-boards-{os.geteuid()}"
