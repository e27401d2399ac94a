"""Versions that take turns under load, on processes and on emulated boards: what is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.boards import BoardSpec, EmulatedBoards
from benchmarks.boards.leftovers import orphaned_clusters
from benchmarks.rollout import load
from benchmarks.rollout.load import LoadRequest, LoadResult, SameVersionError, run_changes
from benchmarks.rollout.row import make_row, measure_changes
from benchmarks.rows import flat_rows
from benchmarks.whole_answers import inputs_and_answers
from bundle import Bundle, open_bundle
from dispatcher_client.values import Values
from examples.local_boards import LocalBoards
from fleet.inventory import Inventory

MakeBundle = Callable[..., Bundle]


def check(result: LoadResult) -> None:
    assert (result.failed, result.wrong, result.misnamed, result.errors) == (0, 0, 0, "")
    assert len(result.spans_s) == 2
    usual_per_s, changes = measure_changes(result)
    assert usual_per_s > 0
    row = make_row(result, usual_per_s, changes, "residual", "float32", 3, None, None)
    assert row.answers == len(result.answered_s) > 20
    assert row.change_p50_s > 0
    assert row.gap_p99_s > 0
    assert row.dip_worst_second_p50 <= row.dip_worst_second_most <= 1
    assert row.dip_during_p50 <= row.dip_during_most <= 1
    assert flat_rows("rollout", [row])[0]["benchmark"] == "rollout"


@pytest.fixture
def request_for(zoo_bundle: MakeBundle) -> LoadRequest:
    """Without boards yet."""
    one, two = zoo_bundle("residual", "float32"), zoo_bundle("residual", "float16")
    return LoadRequest(one.path, two.path, Inventory(()), 2, 1.5)


def test_versions_take_turns_on_this_machine(store_root: Path, request_for: LoadRequest) -> None:
    with LocalBoards(3, store_root) as running:
        check(
            run_changes(
                replace(request_for, inventory=Inventory(tuple(running.named)), credentials=running.credentials)
            )
        )


def test_versions_take_turns_on_emulated_boards(able: None, request_for: LoadRequest) -> None:
    specs = [BoardSpec(f"pi{i + 1}", cores=0.4, link_bits_per_s=1e9) for i in range(3)]
    with EmulatedBoards(specs) as cluster:
        inventory = Inventory(tuple(cluster.named))
        check(cluster.call(run_changes, replace(request_for, inventory=inventory)))
    assert orphaned_clusters() == []


@pytest.mark.parametrize("what", ["wrong", "misnamed"])
def test_what_is_not_as_expected_is_counted(
    store_root: Path, request_for: LoadRequest, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Expected are another model's answers to the odd inputs, or of the second version what the first one answers."""

    def changed(bundle: Bundle) -> tuple[list[Values], list[bytes]]:
        inputs, answers = inputs_and_answers(bundle)
        if what == "wrong":
            return inputs, [a[::-1] if index % 2 else a for index, a in enumerate(answers)]
        other = request_for.one if bundle.path == request_for.two else request_for.two
        return inputs, inputs_and_answers(open_bundle(other))[1]

    monkeypatch.setattr(load, "inputs_and_answers", changed)
    with LocalBoards(3, store_root) as running:
        result = run_changes(
            replace(
                request_for, inventory=Inventory(tuple(running.named)), credentials=running.credentials, n_changes=1
            )
        )
    n_answers = len(result.answered_s)
    assert result.failed == 0
    if what == "wrong":
        assert n_answers // 2 - 1 <= result.wrong <= n_answers // 2 + 1
    else:
        assert result.wrong == 0
        assert result.misnamed > 0


def test_versions_that_answer_alike_are_refused(request_for: LoadRequest) -> None:
    with pytest.raises(SameVersionError, match="answer alike"):
        run_changes(replace(request_for, two=request_for.one))
