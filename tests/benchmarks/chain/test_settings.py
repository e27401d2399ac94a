"""What may be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.chain.errors import SettingsError
from benchmarks.chain.settings import Settings, split_numbers, split_words


def test_boards_are_as_many_as_the_largest_case_needs() -> None:
    specs = Settings(boards=(1, 4), cores=0.2).specs(100.0)
    assert [(s.name, s.cores, s.link_bits_per_s) for s in specs] == [(f"pi{i}", 0.2, 1e8) for i in (1, 2, 3, 4)]


def test_spare_core_doubles_a_board() -> None:
    assert Settings(boards=(1,), cores=0.2, spare_core=True).specs(100.0)[0].cores == 0.4


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"dtypes": ["float64"]}, "no dtype float64"),
        ({"boards": []}, "numbers of boards"),
        ({"boards": [0]}, "numbers of boards"),
        ({"batches": [4, 0]}, "1 image or more"),
        ({"batches": []}, "at least one of them, as --batch"),
        ({"models": []}, "at least one model"),
    ],
)
def test_senseless_settings_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        Settings(**wrong)


def test_lists_are_read() -> None:
    assert split_words(" a,b,,a") == ["a", "b"]
    assert split_numbers("--boards", "8, 1,8") == [8.0, 1.0]
    with pytest.raises(SettingsError, match="--boards 1;2: expected numbers"):
        split_numbers("--boards", "1;2")
