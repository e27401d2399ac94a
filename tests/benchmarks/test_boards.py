"""Emulated boards, measured: what a link, a quota and a limit let through, and that nothing stays behind.

Without the rights or the kernel that emulation needs, the tests of running clusters check the refusal and skip with it; commands
that are missing are a failure, because they can be installed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.boards import (
    BoardSpec,
    BoardStartError,
    CallError,
    CannotEmulateError,
    EmulatedBoards,
)
from benchmarks.boards.cgroups import (
    cluster_directories,
    mounted_hierarchies,
    processes_in,
)
from benchmarks.boards.leftovers import orphaned_clusters, work_directory
from benchmarks.boards.network import NAMESPACES
from benchmarks.boards.ownership import (
    cluster_id_in,
    process_is_alive,
)
from benchmarks.boards.preflight import require_able
from benchmarks.boards.state import read_state
from benchmarks.boards.thread_quota import ThreadQuota, busiest_thread, thread_cpu_ns
from bundle import Bundle
from dispatcher_client import Board, Dispatcher, load_boards
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole

_ROOT = Path(__file__).parents[2]
_MIB = 2**20
_TIMEOUT_S = 180.0
_CORES = 0.25
_LINK_BITS_PER_S = 50e6
_MEMORY_BYTES = 384 * _MIB
_PORT = 7000
# Holds a cluster until a signal ends it.
_OWNER = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has its children ignore it
signal.signal(signal.SIGINT, signal.default_int_handler)  # as a shell has those in the background
from benchmarks.boards import BoardSpec, EmulatedBoards
with EmulatedBoards([BoardSpec("pi1")]) as boards:
    print(boards.cluster_id, flush=True)
    signal.pause()
"""
_BUSY = """
import time
stop_s = time.monotonic() + 1.0
begun_s = time.process_time()
while time.monotonic() < stop_s:
    pass
print(time.process_time() - begun_s)
"""


# Running clusters.


@pytest.fixture(scope="module")
def cluster(able: None) -> Iterator[EmulatedBoards]:
    """Three unequal boards: `slow` with a quota and a slow link, `small` with a memory limit, `free` with none."""
    specs = [
        BoardSpec("slow", cores=_CORES, link_bits_per_s=_LINK_BITS_PER_S),
        BoardSpec("small", memory_bytes=_MEMORY_BYTES),
        BoardSpec("free"),
    ]
    with EmulatedBoards(specs) as boards:
        yield boards


def require_emulated(boards: EmulatedBoards, what: str) -> None:
    if what in boards.not_emulated:
        pytest.skip(f"{what} is not emulated here: {boards.not_emulated[what]}")


def traces(cluster_id: str) -> list[str]:
    """Whatever there is of a cluster on this machine."""
    namespaces = [p.name for p in NAMESPACES.glob("*") if cluster_id_in(p.name) == cluster_id]
    groups = [directory for i, directory in cluster_directories(mounted_hierarchies()) if i == cluster_id]
    processes = [str(pid) for pid in processes_in(groups)]
    directory = work_directory(cluster_id)
    return [*namespaces, *map(str, groups), *processes, *([str(directory)] if directory.exists() else [])]


def serve_bytes(boards: EmulatedBoards, on: str) -> subprocess.Popen[bytes]:
    """A process on a board that takes connections, reads each to its end, and says so with a byte."""
    code = (
        f"import socket\nlistener = socket.create_server(('0.0.0.0', {_PORT}))\nprint('ready', flush=True)\n"
        "while True:\n connection = listener.accept()[0]\n while connection.recv(2**20): pass\n connection.sendall(b'x')\n"
    )
    process = subprocess.Popen(boards.command([sys.executable, "-c", code], on=on), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


def send_bytes(host: str, count: int) -> float:
    """Seconds to bring so many bytes to `serve_bytes`."""
    with socket.create_connection((host, _PORT), timeout=_TIMEOUT_S) as connection:
        begun_s = time.perf_counter()
        connection.sendall(bytes(count))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b"x"
        return time.perf_counter() - begun_s


def measure_bits_per_s(boards: EmulatedBoards, on: str, count: int) -> float:
    host = next(board.address.host for board in boards.named if board.name == on)
    process = serve_bytes(boards, on)
    try:
        return count * 8 / boards.call(send_bytes, host, count, timeout_s=_TIMEOUT_S)
    finally:
        process.kill()
        process.wait()


def test_link_lets_through_its_rate(cluster: EmulatedBoards) -> None:
    require_emulated(cluster, "rate")
    count = 2_000_000  # 0.32 s at the rate, thousands of times what the bucket lets pass at once
    limited_bits_per_s = measure_bits_per_s(cluster, "slow", count)
    # Headers take 6 %; the rest of the way down is for a machine that is busy with other tests.
    assert 0.3 * _LINK_BITS_PER_S < limited_bits_per_s < 1.02 * _LINK_BITS_PER_S
    assert measure_bits_per_s(cluster, "free", count) > 1.5 * _LINK_BITS_PER_S


def test_quota_holds_for_all_processes_of_a_board(cluster: EmulatedBoards) -> None:
    require_emulated(cluster, "cpu")
    command = cluster.command([sys.executable, "-c", _BUSY], on="slow")
    busy = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    used_s = sum(float(process.communicate(timeout=_TIMEOUT_S)[0]) for process in busy)
    # One may have begun its second while the other was still being loaded: the two seconds need not be the same.
    assert 0.3 * _CORES < used_s < 2 * 1.2 * _CORES
    assert all(process.returncode == 0 for process in busy)


def test_quota_can_be_lifted_for_a_while(cluster: EmulatedBoards) -> None:
    require_emulated(cluster, "cpu")
    hierarchy, directory = cluster.boards[0].group.directories["cpu"]
    limits = directory / ("cpu.max" if hierarchy.version == 2 else "cpu.cfs_quota_us")
    limited = limits.read_text()
    with cluster.with_cores(None):
        assert limits.read_text().split()[0] in ("max", "-1")
    assert limits.read_text() == limited


def test_quota_of_a_thread_holds_below_that_of_its_board(cluster: EmulatedBoards) -> None:
    require_emulated(cluster, "cpu")
    board = cluster.boards[2]  # free, but for its thread
    command = cluster.command([sys.executable, "-c", f"print(flush=True)\ninput()\n{_BUSY}"], on=board.spec.name)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"  # it has joined the board's group
    with ThreadQuota(board.group).hold(process.pid, _CORES):
        before = thread_cpu_ns(process.pid)
        used_s = float(process.communicate(b"\n", timeout=_TIMEOUT_S)[0])
    assert 0.3 * _CORES < used_s < 1.2 * _CORES
    assert set(before) == {process.pid}


def test_busiest_thread_is_the_one_that_gained_most() -> None:
    assert busiest_thread({1: 900, 2: 10}, {1: 950, 2: 100, 3: 80}) == 2
    assert busiest_thread({}, {3: 80}) == 3


def test_memory_limit_ends_what_needs_more(cluster: EmulatedBoards) -> None:
    require_emulated(cluster, "memory")

    def take(count: int, on: str) -> int:
        return cluster.run([sys.executable, "-c", f"held = b'x' * {count}"], on=on, check=False).returncode

    assert take(_MEMORY_BYTES // 8, "small") == 0
    assert take(_MEMORY_BYTES, "small") in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert take(_MEMORY_BYTES, "free") == 0


def run_chain(
    bundle: Path, boards: list[Board], inputs: list[dict[str, np.ndarray]]
) -> tuple[list[dict[str, bytes]], list[str]]:
    """The answers, and the interfaces of the place where they were asked for."""
    with Dispatcher(bundle, boards, insecure=True) as chain:
        answers = [named(chain, answer) for answer in chain.stream(inputs)]
    return answers, sorted(name for _, name in socket.if_nameindex())


def test_chain_of_boards_answers_bit_identically(
    cluster: EmulatedBoards, zoo_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = zoo_bundle("residual", "int8")
    inputs = [random_inputs(bundle, seed) for seed in range(4)]
    answers, interfaces = cluster.call(run_chain, bundle.path, cluster.named, inputs, timeout_s=_TIMEOUT_S)
    assert answers == [run_whole(bundle, x) for x in inputs]
    assert interfaces == ["eth0", "lo"]


def raise_unpicklable() -> None:
    class BoardUnavailableError(Exception):
        pass

    raise BoardUnavailableError("board pi1: gone")


def test_call_passes_on_what_a_function_raises(cluster: EmulatedBoards) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        cluster.call(divmod, 1, 0)
    assert "Traceback" in str(caught.value.__cause__)
    with pytest.raises(CallError, match="BoardUnavailableError: board pi1: gone"):
        cluster.call(raise_unpicklable)
    with pytest.raises(CallError, match="its process ended with 3"):
        cluster.call(os._exit, 3)
    with pytest.raises(CallError, match=r"no answer within 0\.01 s"):
        cluster.call(time.sleep, 60, timeout_s=0.01)


def test_machine_has_no_interface_more(cluster: EmulatedBoards) -> None:
    inside = cluster.call(socket.if_nameindex)
    assert {name for _, name in inside} == {"lo", "eth0"}
    made = [name for _, name in socket.if_nameindex() if name.startswith(("port", "br0"))]
    assert made == []


def test_two_clusters_do_not_see_each_other(cluster: EmulatedBoards) -> None:
    mine = measure_bits_per_s(cluster, "free", 1000)
    with EmulatedBoards([BoardSpec("free")]) as other:
        assert other.cluster_id != cluster.cluster_id
        assert other.named[0].address == cluster.named[0].address
        with pytest.raises(ConnectionRefusedError):
            other.call(send_bytes, other.named[0].address.host, 1)
    assert mine > 0
    assert traces(other.cluster_id) == []
    assert traces(cluster.cluster_id) != []


def test_cluster_is_gone_after_an_exception(able: None) -> None:
    interfaces = socket.if_nameindex()
    boards = EmulatedBoards([BoardSpec("pi1", cores=0.5, link_bits_per_s=1e9)])
    with pytest.raises(KeyboardInterrupt), boards:
        interrupt(boards)
    assert traces(boards.cluster_id) == []
    assert not process_is_alive(boards.boards[0].process.pid)
    assert socket.if_nameindex() == interfaces
    boards.close()  # again: nothing


def interrupt(boards: EmulatedBoards) -> None:
    assert traces(boards.cluster_id) != []
    raise KeyboardInterrupt


def test_board_that_does_not_start_is_named_and_nothing_stays(able: None) -> None:
    boards = EmulatedBoards([BoardSpec("pi1")], node_arguments=["--no-such-option"])
    with pytest.raises(BoardStartError, match=r"board pi1 ended with 2\.\n(.*\n)*.*no-such-option"), boards:
        pass
    assert traces(boards.cluster_id) == []


def test_board_that_lacks_memory_says_so(able: None) -> None:
    require_memory_controller()
    boards = EmulatedBoards([BoardSpec("pi1", memory_bytes=16 * _MIB)])
    with pytest.raises(BoardStartError, match=f"more than its memory limit of {16 * _MIB} bytes"), boards:
        pass
    assert traces(boards.cluster_id) == []


def require_memory_controller() -> None:
    if "memory" not in mounted_hierarchies():
        pytest.skip("no memory cgroup controller is mounted or enabled on this machine")


def start_owner() -> tuple[subprocess.Popen[str], str]:
    """A process that holds a cluster, and the cluster's id."""
    process = subprocess.Popen([sys.executable, "-c", _OWNER], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    cluster_id = process.stdout.readline().strip()
    process.stdout.close()
    assert traces(cluster_id) != []
    return process, cluster_id


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_cluster_is_gone_after_a_signal(able: None, number: signal.Signals) -> None:
    process, cluster_id = start_owner()
    process.send_signal(number)
    # Python ends itself by SIGINT; the others exit as a shell reports them.
    assert process.wait(_TIMEOUT_S) in (-number, 128 + number, 1)
    assert traces(cluster_id) == []


def test_down_removes_what_a_killed_owner_left(able: None, tmp_path: Path) -> None:
    process, cluster_id = start_owner()
    process.kill()
    process.wait(_TIMEOUT_S)
    assert cluster_id in orphaned_clusters()
    assert command("down", "--state-dir", str(tmp_path)).returncode == 0
    assert traces(cluster_id) == []


# Commands.


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "benchmarks.boards", *arguments]
    return subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)


def test_up_run_status_down(able: None, tmp_path: Path) -> None:
    at = ["--state-dir", str(tmp_path)]
    shown = command("up", "--board", "pi1:cores=0.5", "--board", "pi2", "--link-mbit-s", "100", "--json", *at)
    assert shown.returncode == 0, shown.stderr
    state = json.loads(shown.stdout)
    try:
        assert [(b["name"], b["cores"], b["link_bits_per_s"]) for b in state["boards"]] == [
            ("pi1", 0.5, 1e8),
            ("pi2", None, 1e8),
        ]
        assert [b.name for b in load_boards(state["boards_file"])] == ["pi1", "pi2"]
        assert "no CPU quota for pi2" in shown.stderr
        inside = [command("run", *at, *on, "--", "ip", "-4", "addr").stdout for on in ([], ["--on", "pi2"])]
        assert ["10.99.0.1/24" in inside[0], "10.99.0.12/24" in inside[1]] == [True, True]
        assert command("run", *at, "--", "sh", "-c", "exit 7").returncode == 7
        assert "there are pi1, pi2" in command("run", *at, "--on", "pi9", "--", "true").stderr
        assert "boards are up already" in command("up", *at).stderr
        assert "10.99.0.12:50051" in command("status", *at).stdout
    finally:
        ended = command("down", *at)
    assert ended.returncode == 0
    assert state["cluster_id"] in ended.stderr
    assert traces(state["cluster_id"]) == []
    assert "no boards are up" in command("status", *at).stderr
    assert command("down", *at).returncode == 0


def test_up_that_is_ended_leaves_nothing(able: None, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "benchmarks.boards", "up", "--boards", "2", "--state-dir", str(tmp_path)]
    process = subprocess.Popen(argv, cwd=_ROOT, stdout=subprocess.DEVNULL)
    while (state := read_state(tmp_path)) is None:
        assert process.poll() is None
    process.terminate()
    assert process.wait(_TIMEOUT_S) == 128 + signal.SIGTERM
    assert traces(state.cluster_id) == []
    assert read_state(tmp_path) is None


def test_up_says_why_boards_did_not_start(able: None, tmp_path: Path) -> None:
    require_memory_controller()
    failed = command("up", "--boards", "1", "--memory-mib", "16", "--state-dir", str(tmp_path))
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: board pi1 ended")
    assert read_state(tmp_path) is None


def test_up_refuses_clashing_options() -> None:
    refused = command("up", "--boards", "2", "--board", "pi1")
    assert (refused.returncode, refused.stderr.startswith("error: --boards and --board exclude")) == (1, True)


@pytest.mark.parametrize("name", ["up", "down", "run"])
def test_commands_refuse_without_rights(tmp_path: Path, name: str) -> None:
    lowered = ["setpriv", "--bounding-set", "-net_admin,-sys_admin", "--inh-caps", "-net_admin,-sys_admin"]
    prefix = lowered if os.geteuid() == 0 else []
    assert not prefix or shutil.which("setpriv"), "install util-linux: as root, setpriv gives up the rights"
    argv = [*prefix, sys.executable, "-m", "benchmarks.boards", name, "--state-dir", str(tmp_path)]
    words = ["true"] if name == "run" else []
    refused = subprocess.run(
        [*argv, *words], cwd=_ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    assert refused.returncode == 1
    assert "lacks CAP_NET_ADMIN and CAP_SYS_ADMIN" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_commands_are_named_with_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        CannotEmulateError, match=r"the command tc is not installed \(Debian: apt-get install iproute2\)"
    ):
        require_able()
