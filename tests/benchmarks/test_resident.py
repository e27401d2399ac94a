"""Resident sizes: read from the kernel, and what they say over a run."""

from __future__ import annotations

import os

import pytest

from benchmarks.resident import Residence, resident_bytes, slope

_MIB = 2**20


def test_resident_size_grows_by_what_is_touched() -> None:
    before = resident_bytes(os.getpid())
    held = b"x" * (64 * _MIB)
    assert resident_bytes(os.getpid()) - before > 48 * _MIB
    del held


def test_peak_is_of_the_whole_run_and_slope_of_its_second_half() -> None:
    residence = Residence(loaded_bytes=100)
    for frame, size in ((10, 50), (20, 900), (30, 300), (40, 320), (50, 340)):
        residence.add(frame, size)
    assert (residence.peak_bytes, residence.beyond_bytes) == (900, 800)
    assert residence.slope_bytes_per_frame == pytest.approx(2.0)


def test_size_that_falls_is_nothing_beyond() -> None:
    residence = Residence(loaded_bytes=100, frames=[1], sizes=[90])
    assert (residence.beyond_bytes, residence.slope_bytes_per_frame) == (0, 0.0)


def test_slope_of_a_line_is_its_own() -> None:
    assert slope([1, 2, 3], [5, 7, 9]) == pytest.approx(2.0)
