"""Real faults of emulated boards: what is counted, and that a board is whole again for the next trial."""

from __future__ import annotations

import pytest

from benchmarks.boards import BoardSpec, EmulatedBoards
from benchmarks.boards.leftovers import orphaned_clusters
from benchmarks.chain.bundles import write_equal_parts
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.row import make_row
from benchmarks.faults.trial import TrialResult
from benchmarks.faults.trials import run_trials
from benchmarks.rows import flat_rows
from tests.bundles import zoo_file


@pytest.fixture(scope="module")
def results(able: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrialResult]:
    """A trial of each fault, on two boards and a spare."""
    bundle = write_equal_parts(zoo_file("residual", "float32"), 2, tmp_path_factory.mktemp("parts"))
    specs = [BoardSpec(f"pi{i + 1}", cores=0.4, link_bits_per_s=1e9) for i in range(3)]
    with EmulatedBoards(specs) as cluster:
        found = {
            fault: next(run_trials(cluster, bundle, 2, fault, [seed], 1, 5.0 if fault == "flap" else 1.5))
            for seed, fault in enumerate(FAULTS)
        }
    assert orphaned_clusters() == []
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_doubled_out_of_order_or_wrong(results: dict[str, TrialResult], fault: str) -> None:
    found = results[fault]
    assert found.error == ""
    assert (found.lost, found.duplicated, found.out_of_order, found.wrong) == (0, 0, 0, 0)
    assert found.answered > 20
    assert found.gap_s < 10
    (struck,) = found.struck
    assert struck not in found.route
    assert "pi3" in found.route


def test_cut_is_noticed_later_than_a_kill(results: dict[str, TrialResult]) -> None:
    """Nobody is told: it takes a silence."""
    for fault in ("freeze", "cut", "cut-one-way"):
        assert results[fault].gap_s > 0.5


def test_row_adds_trials_up(results: dict[str, TrialResult]) -> None:
    row = make_row("kill", list(results.values()), "residual", "float32", 2, 1, 0.4, 1000.0)
    assert row.trials == len(FAULTS)
    assert row.answered == sum(r.answered for r in results.values())
    assert 0 < row.gap_p50_s <= row.gap_p99_s
    assert flat_rows("faults", [row])[0]["benchmark"] == "faults"
