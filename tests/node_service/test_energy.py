"""Counters of joules, on recorded trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_service.energy import find_counter

RANGE_UJ = 1_000_000


def zone(root: Path, name: str, kind: str, energy_uj: int) -> Path:
    path = root / "sys/class/powercap" / name
    path.mkdir(parents=True)
    (path / "name").write_text(f"{kind}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ - 1}\n")
    return path


def test_machine_without_a_counter_has_none(tmp_path: Path) -> None:
    assert find_counter(tmp_path) is None


def test_counter_adds_packages_and_not_their_parts(tmp_path: Path) -> None:
    zones = [zone(tmp_path, f"intel-rapl:{i}", f"package-{i}", 1000 * i) for i in range(2)]
    part = zone(tmp_path, "intel-rapl:0:0", "core", 5)
    psys = zone(tmp_path, "intel-rapl:2", "psys", 0)
    counter = find_counter(tmp_path)
    assert counter is not None
    assert counter.joules() == 0
    for path in (zones[0], part, psys):
        (path / "energy_uj").write_text("300000")
    (zones[1] / "energy_uj").write_text("101000")
    assert counter.joules() == pytest.approx(0.4)


def test_counter_never_falls_when_it_wraps(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 10)
    counter = find_counter(tmp_path)
    assert counter is not None
    (path / "energy_uj").write_text("90")
    assert counter.joules() == pytest.approx(100e-6)
    (path / "energy_uj").write_text("100")
    assert counter.joules() == pytest.approx(110e-6)


@pytest.mark.parametrize("content", [None, "not a number"])
def test_counter_that_cannot_be_read_is_none(tmp_path: Path, content: str | None) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 1) / "energy_uj"
    energy.unlink()
    if content is None:
        energy.mkdir()  # as good as forbidden: root may read any file
    else:
        energy.write_text(content)
    assert find_counter(tmp_path) is None
