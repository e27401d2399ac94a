"""Memory as the kernel counts it: recorded counters, kernels that do not count, and this process."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from node_service.process_memory import ProcessMemory

KIB = 1024
SMAPS = """\
00400000-00500000 r--p 00000000 08:01 1 /store/partitions/x.tmp
Size: 1024 kB
Rss: 600 kB
Referenced: 400 kB
Anonymous: 0 kB
Swap: 0 kB
VmFlags: rd mr mw me
7f0000000000-7f0000100000 rw-p 00000000 00:00 0
Rss: 300 kB
Referenced: 300 kB
Anonymous: 300 kB
Swap: 50 kB
7f0000200000-7f0000300000 r--p 00000000 08:01 1 /store/partitions/x.tmp (deleted)
Rss: 8 kB
Referenced: 4 kB
Anonymous: 4 kB
"""
STATUS = "Name:\tpython\nVmHWM:\t 900 kB\nVmRSS:\t 700 kB\nRssAnon:\t 310 kB\nRssFile:\t 390 kB\nVmSwap:\t 60 kB\n"
PATH = Path("/store/partitions/x.tmp")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "smaps").write_text(SMAPS)
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "clear_refs").write_text("")
    return tmp_path


def test_mappings_are_added_up(proc: Path) -> None:
    memory = ProcessMemory(proc)
    assert memory.anonymous_bytes() == (300 + 50 + 4) * KIB
    assert memory.file_bytes(PATH) == 608 * KIB
    assert memory.referenced_bytes(PATH) == 404 * KIB
    assert memory.resident_bytes() == 700 * KIB
    assert memory.peak_bytes() == 900 * KIB
    assert memory.forget_references()
    assert memory.reset_peak()


def test_counters_serve_when_the_kernel_lists_no_mappings(proc: Path, tmp_path: Path) -> None:
    (proc / "smaps").unlink()
    model = tmp_path / "model"
    model.write_bytes(bytes(5 * KIB))
    memory = ProcessMemory(proc)
    assert memory.anonymous_bytes() == 370 * KIB
    assert memory.file_bytes(model) == 5 * KIB
    assert memory.referenced_bytes(model) == 0


def test_old_kernel_without_a_counter_gives_zero(proc: Path) -> None:
    (proc / "smaps").unlink()
    (proc / "status").write_text("VmRSS:\t 700 kB\n")
    assert ProcessMemory(proc).anonymous_bytes() == 0


def test_refusal_to_forget_is_told(proc: Path) -> None:
    (proc / "clear_refs").unlink()
    (proc / "clear_refs").mkdir()
    memory = ProcessMemory(proc)
    assert not memory.forget_references()
    assert not memory.reset_peak()


def test_pages_that_are_read_again_are_seen_and_no_others(tmp_path: Path) -> None:
    memory = ProcessMemory()
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(64 * mmap.PAGESIZE))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as mapped:
        sum(mapped[:: mmap.PAGESIZE])
        assert memory.file_bytes(path) == len(mapped)
        if not memory.forget_references():
            pytest.skip("this kernel does not clear references")
        assert memory.referenced_bytes(path) == 0
        sum(mapped[:: mmap.PAGESIZE])  # at once, while the processor still knows the pages
        assert memory.referenced_bytes(path) == len(mapped)


def test_growth_is_what_was_taken() -> None:
    memory = ProcessMemory()
    before = memory.anonymous_bytes()
    with mmap.mmap(-1, 2**24, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        for page in range(0, len(taken), mmap.PAGESIZE):
            taken[page] = 1
        assert memory.anonymous_bytes() - before == pytest.approx(len(taken), rel=0.1)
    assert memory.peak_bytes() >= memory.resident_bytes() * 0.9
