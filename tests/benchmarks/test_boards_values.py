"""Values of the emulated boards: what describes them, their limits, their identity, their state on disk; nothing is started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.boards import (
    BoardSpec,
    ClusterStateError,
    EmulatedBoards,
    SpecError,
)
from benchmarks.boards.cgroups import (
    ClusterGroups,
    find_hierarchies,
    quota_of,
)
from benchmarks.boards.ownership import (
    cluster_id_in,
    cluster_name,
    new_cluster_id,
    owner_is_alive,
)
from benchmarks.boards.spec import overload_warning, parse_board
from benchmarks.boards.state import BoardState, ClusterState, boards_yaml, open_directory, read_state, write_state
from dispatcher_client import load_boards

_MIB = 2**20


def test_board_is_read_from_text() -> None:
    common = BoardSpec("common", cores=0.2, link_bits_per_s=1e9)
    assert parse_board("pi1", common) == BoardSpec("pi1", 0.2, 1e9)
    assert parse_board("pi2:cores=0.4,link=100,memory=512,delay=2", common) == BoardSpec(
        "pi2", 0.4, 1e8, 512 * _MIB, 2e-3
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pi1:core=1", "core is unknown or repeated"),
        ("pi1:cores=1,cores=2", "cores is unknown or repeated"),
        ("pi1:cores=fast", "every key needs a number"),
        ("pi1:cores=0", "cores is 0.0; it must be at least 0.01 of a core"),
        ("pi1:cores=nan", "cores is nan"),
        ("pi1:link=0.01", "link_bits_per_s is 10000.0"),
        ("pi1:memory=1", "memory_bytes is 1048576"),
        ("pi1:memory=inf", "inf MiB is no amount"),
        ("pi1:delay=-1", "delay_s is -0.001"),
        ("hub", "'hub' cannot name a board"),
        ("pi/1", "'pi/1' cannot name a board"),
    ],
)
def test_wrong_board_is_refused(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_board(text, BoardSpec("common"))
    assert said in str(caught.value)


def test_wrong_clusters_are_refused() -> None:
    with pytest.raises(SpecError, match="0 boards were asked for"):
        EmulatedBoards([])
    with pytest.raises(SpecError, match="given more than once: pi1, pi2"):
        EmulatedBoards([BoardSpec(name) for name in ("pi2", "pi1", "pi2", "pi1", "pi3")])


def test_overload_is_warned_of() -> None:
    specs = [BoardSpec("pi1", cores=1.5), BoardSpec("pi2", cores=0.6)]
    assert "add up to 2.1 cores and the machine has 2" in str(overload_warning(specs, 2))
    assert overload_warning(specs, 3) is None
    assert "no CPU quota for pi3" in str(overload_warning([*specs, BoardSpec("pi3")], 3))


@pytest.mark.parametrize(
    ("cores", "quota"), [(0.2, (2000, 10000)), (0.1, (1000, 10000)), (0.04, (1000, 25000)), (3, (30000, 10000))]
)
def test_quota_is_at_least_what_the_kernel_takes(cores: float, quota: tuple[int, int]) -> None:
    assert quota_of(cores) == quota


def test_controllers_are_found_on_either_version(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset memory pids\n")
    mountinfo = (
        "25 30 0:22 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "26 30 0:23 / /proc rw - proc proc rw\n"
        f"27 30 0:24 / {tmp_path} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    found = find_hierarchies(mountinfo)
    assert {name: (h.version, h.root) for name, h in found.items()} == {
        "cpu": (1, Path("/sys/fs/cgroup/cpu,cpuacct")),
        "memory": (2, tmp_path),
    }


def version_2_tree(root: Path, cluster_id: str, enabled: str) -> ClusterGroups:
    """Groups in plain directories with the files of version 2, as a kernel would make them."""
    parent = root / cluster_name(cluster_id)
    parent.mkdir()
    (root / "cgroup.controllers").write_text("cpu memory\n")
    for directory, text in ((root, enabled), (parent, "")):
        (directory / "cgroup.subtree_control").write_text(text)
    return ClusterGroups(cluster_id, find_hierarchies(f"1 2 3 / {root} rw - cgroup2 cgroup2 rw\n"))


def test_limits_are_written_as_version_2_has_them(tmp_path: Path) -> None:
    groups = version_2_tree(tmp_path, "1-2-3", "cpu memory\n")
    assert groups.missing == {}
    group = groups.make("pi1")
    directory = tmp_path / "boardline-1-2-3" / "pi1"
    assert group.join_files == [directory / "cgroup.procs"]
    (directory / "memory.swap.max").write_text("max")
    (directory / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    group.limit_cpu(0.2)
    group.limit_memory(512 * _MIB)
    assert (directory / "cpu.max").read_text() == "2000 10000"
    assert (directory / "memory.max").read_text() == str(512 * _MIB)
    assert (directory / "memory.swap.max").read_text() == "0"
    assert group.memory_kills() == 2


def test_missing_controllers_have_their_reason(tmp_path: Path) -> None:
    groups = ClusterGroups(new_cluster_id(), {})
    assert groups.missing["cpu"] == "no cpu cgroup controller is mounted or enabled on this machine"
    gone = find_hierarchies("1 2 3 / /nowhere/cgroup rw - cgroup cgroup rw,memory\n")
    assert "cgroup v1 at /nowhere/cgroup: " in ClusterGroups(new_cluster_id(), gone).missing["memory"]
    assert groups.make("pi1").join_files == []


def test_id_tells_its_owner() -> None:
    mine = new_cluster_id()
    pid, start, _ = mine.split("-")
    assert owner_is_alive(mine)
    assert not owner_is_alive(f"{pid}-{int(start) - 1}-0")  # an earlier process of the same number
    assert mine != new_cluster_id()
    assert cluster_id_in(f"{cluster_name(mine)}.pi.1") == mine
    assert [cluster_id_in(n) for n in ("boardline-boards-0", "boardline-1-2", "x-boardline-1-2-3")] == [None] * 3


def state_of(names: list[str]) -> ClusterState:
    boards = [BoardState(n, f"10.99.0.{i}:50051", 1, "", [], "", None, None, None, 0.0) for i, n in enumerate(names)]
    return ClusterState(new_cluster_id(), is_ready=True, boards=boards)


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    state = state_of(["pi1", "1e3", "true"])  # two that YAML would take for something else
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert [b.name for b in load_boards(tmp_path / "boards.yaml")] == ["pi1", "1e3", "true"]
    assert "1e3" in boards_yaml(state)


@pytest.mark.parametrize("content", [{"cluster_id": "../x", "boards": []}, {"cluster_id": "1-2-3"}, {"boards": 1}])
def test_foreign_state_is_refused(tmp_path: Path, content: Mapping[str, object]) -> None:
    (tmp_path / "state.json").write_text(json.dumps(content))
    with pytest.raises(ClusterStateError, match="Remove it"):
        read_state(tmp_path)


def test_state_directory_must_be_ones_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ClusterStateError, match="not a directory of this user's own"):
        open_directory(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(ClusterStateError, match="Choose another --state-dir"):
        open_directory(tmp_path / "file")
