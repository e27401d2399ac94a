"""A board whose store is full or read-only, or that lacks memory, refuses by name what it cannot hold and goes on serving."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from bundle import Bundle
from dispatcher_client import Board, BoardRefusedError, Dispatcher
from dispatcher_client.status import DrainResult, drain_board, read_status
from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from tests.bundles import split_file
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.partitioning.graph_builder import ModelBuilder

MakeBundle = Callable[..., Bundle]
_STORE_BYTES = 2**20
# A model is mapped into memory whole; threads of the upload need a few MiB for their stacks.
_TABLE_BYTES, _MORE_BYTES = 2**27, 2**26


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of its own for the stores. Skips the test where mounting is not permitted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_STORE_BYTES}", "boardline-test", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


def expect_refusal_and_service(
    serving: Dispatcher, older: Bundle, newer: Bundle, running: LocalBoards, x: dict[str, np.ndarray], message: str
) -> None:
    """The newer bundle is refused naming the board; the stream that is open, and a new one, answer as before."""
    expected = run_whole(older, x)
    for _ in range(2):
        with pytest.raises(BoardRefusedError, match=message) as caught:
            Dispatcher(newer, running.named, recovers=False).open()
        assert caught.value.board.startswith("board")
        assert named(serving, serving.infer(x)) == expected
    with Dispatcher(older, running.named) as again:
        assert named(again, again.infer(x)) == expected


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_old_deployment_serves_when_the_store_is(store_root: Path, zoo_bundle: MakeBundle, trouble: str) -> None:
    older, newer = zoo_bundle("residual", "float32"), zoo_bundle("residual", "int8")
    x = random_inputs(older, 0)
    with small_disk(store_root), LocalBoards(3, store_root) as running:
        with Dispatcher(older, running.named) as serving:
            before = set(store_root.rglob("*")) | {store_root / "filler"}
            if trouble == "full":
                fill(store_root)
                expect_refusal_and_service(serving, older, newer, running, x, "store cannot be written: No space left")
                (store_root / "filler").unlink()
            else:
                remount(store_root, "ro")
                expect_refusal_and_service(
                    serving, older, newer, running, x, "store cannot be written: Read-only file system"
                )
                remount(store_root, "rw")
            assert set(store_root.rglob("*")) <= before  # nothing half
        with Dispatcher(newer, running.named) as chain:  # there is room again: no restart is needed
            y = random_inputs(newer, 0)
            assert named(chain, chain.infer(y)) == run_whole(newer, y)


def drain(board: Board, *, undo: bool = False) -> DrainResult:
    return run_in_loop(drain_board(board, undo=undo, credentials=OPERATOR, timeout_s=5))


def state(board: Board) -> str:
    (row,) = run_in_loop(read_status([board], credentials=OPERATOR, timeout_s=5))
    return str(row["state"])


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_drain_holds_and_says_that_it_is_not_kept_when_the_store_is(store_root: Path, trouble: str) -> None:
    with small_disk(store_root):
        with LocalBoards(1, store_root) as running:
            (board,) = running.named
            if trouble == "full":
                fill(store_root)
            else:
                remount(store_root, "ro")
            result = drain(board)
            assert not result.is_kept
            assert "the store cannot be written" in result.why_not_kept
            assert state(board) == "draining"
        with LocalBoards(1, store_root) as running:
            assert state(running.named[0]) == "serving"


def test_board_that_was_drained_serves_again_from_a_read_only_store_until_it_restarts(store_root: Path) -> None:
    with small_disk(store_root):
        with LocalBoards(1, store_root) as running:
            (board,) = running.named
            assert drain(board).is_kept
            remount(store_root, "ro")
            assert drain(board).is_kept  # nothing to write
            result = drain(board, undo=True)
            assert not result.is_kept
            assert "Read-only file system" in result.why_not_kept
            assert state(board) == "serving"
        with LocalBoards(1, store_root) as running:
            assert state(running.named[0]) == "draining"


def test_drain_command_says_that_a_restart_undoes_it_when_files_may_not_grow(store_root: Path) -> None:
    with LocalBoards(1, store_root) as running:
        resource.prlimit(running.boards[0].process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        (address,) = running.addresses
        command = [sys.executable, "-m", "dispatcher_client", "drain", address, "--boards", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, f"{address}: draining\n")
        assert "A restart of its service undoes that: the store cannot be written: File too large." in done.stderr


def test_board_starts_and_serves_what_it_holds_when_its_store_is_read_only(
    store_root: Path, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with small_disk(store_root):
        with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named) as chain:
            expected = named(chain, chain.infer(x))
        (store_root / "board1" / "partitions" / "half.tmp").touch()
        remount(store_root, "ro")
        with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named) as chain:
            assert named(chain, chain.infer(x)) == expected


def test_old_deployment_serves_when_files_may_not_grow(store_root: Path, zoo_bundle: MakeBundle) -> None:
    """The same by a limit on the services' file sizes, which needs no rights."""
    older, newer = zoo_bundle("residual", "float32"), zoo_bundle("residual", "int8")
    x = random_inputs(older, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(older, running.named) as serving:
        for board in running.boards:
            resource.prlimit(board.process.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        expect_refusal_and_service(serving, older, newer, running, x, "store cannot be written: File too large")
        assert not list(store_root.rglob("*.tmp"))


def test_old_deployment_serves_when_a_model_needs_more_memory_than_there_is(
    store_root: Path, tmp_path: Path, zoo_bundle: MakeBundle
) -> None:
    older = zoo_bundle("residual", "float32", 2)
    big = split_file(tmp_path / "big", write_lookup(tmp_path / "big.tflite", _TABLE_BYTES))
    x = random_inputs(older, 0)
    expected = run_whole(older, x)
    with LocalBoards(2, store_root) as running, Dispatcher(older, running.named) as serving:
        for board in running.boards:
            pid = board.process.pid
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
            most_bytes = pages * resource.getpagesize() + _MORE_BYTES
            resource.prlimit(pid, resource.RLIMIT_AS, (most_bytes, resource.RLIM_INFINITY))
        for _ in range(3):
            with pytest.raises(BoardRefusedError, match=r"board board1: .*(refuses the model|more memory than)"):
                Dispatcher(big, running.named, recovers=False).open()
            assert named(serving, serving.infer(x)) == expected


def write_lookup(path: Path, table_bytes: int) -> Path:
    """index -GATHER (rows of a large table)-> row."""
    builder = ModelBuilder()
    main = builder.main
    index, row = main.tensor([1], np.int32, name="index"), main.tensor([1, 2], name="row")
    table = main.constant(np.zeros((table_bytes // 8, 2), np.float32), name="table")
    main.operator("GATHER", [table, index], [row], schema.GatherOptionsT(axis=0))
    main.ends([index], [row])
    path.write_bytes(builder.build())
    return path
