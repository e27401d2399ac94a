"""Architectures by name."""

from __future__ import annotations

import platform

import pytest

from deploy.virtual_boards import FleetSpecError
from deploy.virtual_boards.architecture import ARCHITECTURES, architectures


def test_named_ones_come_in_order() -> None:
    assert [kind.machine for kind in architectures(["arm64", "amd64"])] == ["aarch64", "x86_64"]


def test_unknown_ones_are_all_named() -> None:
    with pytest.raises(FleetSpecError, match="mips, riscv64; there are amd64, arm64"):
        architectures(["riscv64", "amd64", "mips"])


def test_only_this_machines_own_is_not_foreign() -> None:
    assert {kind.machine for kind in ARCHITECTURES.values() if not kind.is_foreign} <= {platform.machine()}
