"""Rates, times and bounds between two looks at a fleet."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dispatcher_client.fleet_view import Look, view
from dispatcher_client.top_command import render
from protos.v1.control_plane_pb2 import Description, LoadedStage


def stage(index: int, frames: int, compute_s: float, deployment: str = "m-1") -> LoadedStage:
    return LoadedStage(
        deployment_id=deployment,
        stage_index=index,
        frames_left=frames,
        compute_s=compute_s,
        encode_s=0.001 * frames,
        wait_s=0.5,
        sent_bytes=frames * 1000,
        streams=1,
    )


def look(at_s: float, *stages: LoadedStage, **known: object) -> Look:
    description = Description(service_cpu_s=at_s / 2, **known)  # type: ignore[arg-type]
    description.stages.extend(stages)
    return Look(description, "", at_s)


def test_figures_are_of_the_time_between() -> None:
    before = {
        "a": look(100, stage(0, 1000, 5.0), energy_j=50.0, power_w=5.0, temperature_c=40.0),
        "b": look(100, stage(1, 1000, 7.0)),
    }
    after = {
        "a": look(102, stage(0, 1100, 5.4), energy_j=60.0, power_w=5.2, temperature_c=81.0, throttled=["the clock"]),
        "b": look(102, stage(1, 1090, 7.9)),
    }
    (first, second), (deployment,) = view(before, after)
    (own,) = first.stages
    assert (own.frames_per_s, own.compute_ms, own.coding_ms) == pytest.approx((50, 4.0, 1.0))
    assert own.busy == pytest.approx((0.4 + 0.1) / 2)
    assert own.sent_bytes_per_s == pytest.approx(50_000)
    assert first.cpu == pytest.approx(0.5)
    assert first.joules_per_frame == pytest.approx(0.1)
    assert (second.joules_per_frame, second.power_w, second.temperature_c) == (None, None, None)
    assert deployment.frames_per_s == pytest.approx(45)
    assert deployment.bound_per_s == pytest.approx(1 / 0.011)
    assert deployment.slowest == "stage 1 on b"
    console = Console(file=io.StringIO(), width=200)
    console.print(render([first, second], [deployment]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("m-1", "stage 1 on b", "50%", "81 throttled", "0.100", "5.2"):
        assert words in shown


def test_waiting_for_pieces_keeps_a_stage() -> None:
    """A board of a group takes no other frame meanwhile."""
    before = {name: look(10, stage(index, 0, 0.0)) for index, name in enumerate("ab")}
    after = {"a": look(12, stage(0, 100, 0.4)), "b": look(12, stage(1, 100, 0.2))}
    for name, pieces_wait_s in (("a", 0.5), ("b", 0.6)):
        description = after[name].description
        assert description is not None
        description.stages[0].pieces_wait_s = pieces_wait_s
    (first, second), (deployment,) = view(before, after)
    assert [board.stages[0].pieces_ms for board in (first, second)] == pytest.approx([5.0, 6.0])
    assert [board.stages[0].busy for board in (first, second)] == pytest.approx([0.5, 0.45])
    assert deployment.bound_per_s == pytest.approx(100)


def test_chains_side_by_side_add_up() -> None:
    before = {name: look(10, stage(0, 0, 0.0)) for name in "ab"}
    after = {"a": look(11, stage(0, 10, 0.19)), "b": look(11, stage(0, 20, 0.18))}
    _, (deployment,) = view(before, after)
    assert deployment.frames_per_s == pytest.approx(30)
    assert deployment.bound_per_s == pytest.approx(50 + 100)


def test_board_that_is_gone_or_new_has_no_rates() -> None:
    gone = {"a": Look(None, "board a: does not answer.", 12.0), "b": look(12, stage(0, 5, 1.0))}
    before = {"a": look(11, stage(0, 5, 1.0)), "b": Look(None, "away", 11.0)}
    (first, second), (deployment,) = view(before, gone)
    assert (first.state, first.error, first.stages) == ("gone", "board a: does not answer.", ())
    assert second.stages[0].frames_per_s == 0
    assert deployment.bound_per_s is None
    restarted = {"a": look(13, stage(0, 5, 1.0)), "b": look(2, stage(0, 1, 0.1))}
    (_, again), _ = view({"a": before["a"], "b": gone["b"]}, restarted)
    assert again.stages[0].frames_per_s == 0, "it counts anew"
    console = Console(file=io.StringIO(), width=200)
    console.print(render([first, second], [deployment]))
    shown = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert shown[-1] == "board a: does not answer.", "below the tables, in a line of its own"


def test_idle_fleet_is_shown() -> None:
    before = {"a": look(1)}
    boards, deployments = view(before, {"a": look(2)})
    console = Console(file=io.StringIO(), width=200)
    console.print(render(boards, deployments))
    assert "serving" in console.file.getvalue()  # type: ignore[attr-defined]
    assert deployments == []
