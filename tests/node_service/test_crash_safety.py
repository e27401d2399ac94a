"""What the board writes, after a kill at any moment and in the order that a power cut asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.disk_order import assert_survives_power_cut, recorded
from tests.kill_everywhere import assert_old_or_new, kill_everywhere
from tests.node_service import kill_cases


@pytest.mark.parametrize("case", ["PUT_PARTITION", "NEW_STORE", "SAVE_STAGE", "DRAIN", "KEEP_PROFILE", "KEEP_CHECK"])
def test_state_is_the_old_or_the_new_one_wherever_the_writer_is_killed(tmp_path: Path, case: str) -> None:
    assert_old_or_new(kill_everywhere("tests.node_service.kill_cases", case, tmp_path))


@pytest.mark.parametrize("case", ["FORGET_STAGE", "UNDO_DRAIN"])
def test_file_is_removed_or_not_wherever_the_board_is_killed(tmp_path: Path, case: str) -> None:
    kills = kill_everywhere("tests.node_service.kill_cases", case, tmp_path)
    found = [kill.found for kill in kills if kill.how == "event"]
    assert found == sorted(found, key=["old", "new"].index)
    assert {kill.healed for kill in kills} == {"new"}
    assert [name for kill in kills for name in kill.leftovers] == []


def test_partition_and_its_directories_are_synced_in_order(tmp_path: Path) -> None:
    with recorded() as events:
        kill_cases.put_partition(tmp_path)
    assert_survives_power_cut(events, names=1)
    assert [event.path.name for event in events if event.kind == "mkdir"] == ["store", "partitions", "stages"]


def test_stage_is_synced_in_order(tmp_path: Path) -> None:
    kill_cases.open_store(tmp_path)
    with recorded() as events:
        kill_cases.save_stage(tmp_path, "new")
    assert_survives_power_cut(events, names=1)


def test_forgotten_stage_stays_forgotten_after_a_power_cut(tmp_path: Path) -> None:
    kill_cases.save_stage(tmp_path, "old")
    with recorded() as events:
        kill_cases.forget_stage(tmp_path)
    assert_survives_power_cut(events, names=0, removals=True)
    assert [event.path.suffix for event in events if event.kind == "remove"] == [".json"]


def test_drain_is_synced_in_order_and_so_is_its_end(tmp_path: Path) -> None:
    kill_cases.open_store(tmp_path)
    with recorded() as events:
        kill_cases.save_drained(tmp_path, True)
    assert_survives_power_cut(events, names=1)
    with recorded() as events:
        kill_cases.save_drained(tmp_path, False)
    assert_survives_power_cut(events, names=0, removals=True)
    assert [event.path.name for event in events if event.kind == "remove"] == ["drained"]


def test_profile_is_synced_in_order(tmp_path: Path) -> None:
    with recorded() as events:
        kill_cases.keep_profile(tmp_path, "new")
    assert_survives_power_cut(events, names=1)
