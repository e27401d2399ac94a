"""What is learnt from stages in service, on figures that follow the rule, exactly or with noise."""

from __future__ import annotations

import pytest

from partitioning.planning import RELAY_SHARE
from planner.board_profiles import BoardRecord, ServiceCost
from planner.costs import assemble_costs
from planner.links import TransportCost
from planner.model import PlannerModel, Range
from planner.service_fit import ServiceFit, fit_service
from tests.planner.made_up import links, profile, record
from tests.planner.on_boards import LAYERS, dense_model

_END = LAYERS + 1
_COST = TransportCost(1e-4, 3e-9, 1e-9)


@pytest.fixture(scope="module")
def model() -> PlannerModel:
    return dense_model()


def in_service(model: PlannerModel, ops: Range, run_s: float, *, run: float, frame: float, byte: float) -> ServiceCost:
    is_last = ops[1] == _END
    answer_bytes = 0 if is_last else model.crossing_bytes(_END)
    fixed_s = _COST.frame_cpu_s * (1 if is_last else 1 + RELAY_SHARE)
    bytes_s = _COST.receive_cpu_s_per_byte * (model.crossing_bytes(ops[0]) + answer_bytes)
    bytes_s += _COST.send_cpu_s_per_byte * (model.crossing_bytes(ops[1]) + answer_bytes)
    return ServiceCost(run * run_s + frame * fixed_s + byte * bytes_s, run * run_s)


def tried(model: PlannerModel, name: str, stages: dict[Range, list[ServiceCost]], run_s: float) -> BoardRecord:
    made = record(name, model, run_s)
    for ops, trials in stages.items():
        made.profiles[ops] = profile(run_s)
        made.in_service[ops] = trials
    return made


def test_nothing_is_learnt_from_nothing(model: PlannerModel) -> None:
    assert fit_service(model, {"a": record("a", model, 1e-3)}, {"a": _COST}) == ServiceFit(1.0, 1.0, 1.0)


def test_one_stage_tells_of_the_fixed_cost_only(model: PlannerModel) -> None:
    cost = in_service(model, (0, 2), 2e-3, run=1.2, frame=5.0, byte=1.0)
    fit = fit_service(model, {"a": tried(model, "a", {(0, 2): [cost]}, 2e-3)}, {"a": _COST})
    assert (fit.run, fit.frame, fit.byte) == pytest.approx((1.2, 5.0, 1.0))


def test_stages_of_several_boards_tell_all(model: PlannerModel) -> None:
    """The tensors of this model are all of one size, so the last stage, which passes nothing on, tells bytes from the rest."""
    records = {}
    for name, ops in (("a", (0, 2)), ("b", (2, 4)), ("c", (4, _END))):
        cost = in_service(model, ops, 2e-3, run=1.1, frame=6.0, byte=0.5)
        records[name] = tried(model, name, {ops: [cost, ServiceCost(9.0, 8.0), cost]}, 2e-3)  # one trial was disturbed
    fit = fit_service(model, records, dict.fromkeys(records, _COST))
    assert (fit.run, fit.frame, fit.byte) == pytest.approx((1.1, 6.0, 0.5))


def test_stage_counts_on_a_board_whose_like_has_measured_it_alone(model: PlannerModel) -> None:
    """Boards of a group share their measurements, so a plan may move a stage to one that has tried it in service only."""
    cost = in_service(model, (0, 2), 2e-3, run=1.2, frame=5.0, byte=1.0)
    first, second = (record(name, model, 1e-3, group="alike") for name in ("a", "b"))
    first.profiles[0, 2] = profile(2e-3)
    second.in_service[0, 2] = [cost]
    fit = fit_service(model, {"a": first, "b": second}, dict.fromkeys("ab", _COST))
    assert fit.run == pytest.approx(1.2)


def test_fit_that_makes_no_sense_is_not_taken(model: PlannerModel) -> None:
    """Noise: the stage that moves less takes longer beside its run."""
    stages = {(0, 2): ServiceCost(2.1e-3, 2e-3), (2, 4): ServiceCost(2.1e-3, 2e-3), (4, _END): ServiceCost(9e-3, 2e-3)}
    records = {name: tried(model, name, {ops: [cost]}, 2e-3) for name, (ops, cost) in zip("abc", stages.items())}
    fit = fit_service(model, records, dict.fromkeys(records, _COST))
    assert fit.byte == 1.0
    assert fit.frame > 0


def test_stages_that_were_not_tried_are_estimated_by_what_was_learnt(model: PlannerModel) -> None:
    measured = links(["a", "b"])
    plain = {name: record(name, model, 1e-3) for name in ("a", "b")}
    before = assemble_costs(model, plain, measured).boards[1]
    plain["a"].profiles[0, 2] = profile(2e-3)
    plain["a"].in_service[0, 2] = [ServiceCost(7e-3, 3e-3)]
    after = assemble_costs(model, plain, measured).boards[1]
    assert after.op_cpu_s.sum() == pytest.approx(1.5 * before.op_cpu_s.sum())
    assert after.op_s.sum() == pytest.approx(before.op_s.sum())
    assert after.frame_cpu_s > before.frame_cpu_s
