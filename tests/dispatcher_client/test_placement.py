"""Which board serves what: by a plan that fits, by the bundle's own, or in order; and everything about a plan that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle import Bundle, Plan, PlanError, PlannedChain, PlannedStage
from bundle.plan_file import render_plan
from dispatcher_client import Board, PlacementError
from dispatcher_client.placement import ChainPlacement, place_chains
from tests.bundle.test_manifest import manifest
from transport.address import Address

BOARDS = [Board(f"pi{i}", Address("10.0.0.1", i)) for i in (1, 2, 3)]


def plan(*chains: list[tuple[str, int | str | None]], model: str = "model") -> Plan:
    return Plan(model, "throughput", tuple(PlannedChain(tuple(PlannedStage(*s) for s in stages)) for stages in chains))


SIDE_BY_SIDE = plan([("pi3", None)], [("pi2", 2), ("pi1", None)])


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Splittings: cut at 2, and whole."""
    return Bundle(tmp_path, manifest())


def routes(chains: tuple[ChainPlacement, ...]) -> list[tuple[tuple[int, ...], str]]:
    return [(chain.splitting.cut_indices, chain.route) for chain in chains]


def test_plan_puts_each_chain_on_its_boards_with_the_splitting_that_it_is_cut_by(bundle: Bundle) -> None:
    chains = place_chains(bundle, BOARDS, SIDE_BY_SIDE)
    assert routes(chains) == [((), "pi3"), ((2,), "pi2 -> pi1")]
    assert [(s.chain_index, s.stage_index) for c in chains for s in c.stages] == [(0, 0), (1, 0), (1, 1)]
    assert chains[0].splitting.deployment_id != chains[1].splitting.deployment_id


def test_plan_is_read_from_its_file(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(render_plan(SIDE_BY_SIDE))
    assert place_chains(bundle, BOARDS, path) == place_chains(bundle, BOARDS, SIDE_BY_SIDE)
    with pytest.raises(PlanError, match="does not exist"):
        place_chains(bundle, BOARDS, tmp_path / "none.yaml")


def test_chains_that_are_cut_alike_are_one_deployment(bundle: Bundle) -> None:
    chains = place_chains(bundle, BOARDS, plan([("pi1", None)], [("pi2", None)]))
    assert chains[0].splitting == chains[1].splitting


def test_bundles_own_plan_counts_when_all_its_boards_are_there(bundle: Bundle) -> None:
    (bundle.path / "plan.yaml").write_text(render_plan(SIDE_BY_SIDE))
    assert place_chains(bundle, BOARDS) == place_chains(bundle, BOARDS, SIDE_BY_SIDE)
    given = plan([("pi1", None)])
    assert routes(place_chains(bundle, BOARDS, given)) == [((), "pi1")]


def test_boards_serve_in_order_when_the_bundle_has_no_plan(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    assert routes(place_chains(bundle, BOARDS)) == [((2,), "pi1 -> pi2")]
    assert not caplog.records


def test_boards_serve_in_order_with_one_warning_when_boards_of_the_bundles_plan_are_missing(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    (bundle.path / "plan.yaml").write_text(render_plan(SIDE_BY_SIDE))
    others = [BOARDS[1], Board("pi9", Address("10.0.0.1", 9))]
    assert routes(place_chains(bundle, others)) == [((2,), "pi2 -> pi9")]
    (record,) = caplog.records
    assert "needs pi1, pi3, not among the boards given (pi2, pi9)" in record.getMessage()
    assert "pi2 -> pi9" in record.getMessage()


def test_fewer_boards_than_partitions_are_refused(bundle: Bundle) -> None:
    with pytest.raises(PlacementError, match="2 partitions and there are 1 boards"):
        place_chains(bundle, BOARDS[:1])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (plan([("pi1", None)], model="resnet"), ["it is for the model resnet", "holds model"]),
        (plan([("pi1", 2), ("pi7", None)]), ["pi7 is not among the boards given (pi1, pi2, pi3)", "boards.yaml"]),
        (
            plan([("pi1", 3), ("pi2", None)]),
            [
                "chain 0 is cut at 3",
                "are cut nowhere, or at 2. Split with the plan",
                "converter split MODEL --plan FILE",
            ],
        ),
        (plan([("pi3", None)], [("pi1", 1), ("pi2", None)]), ["chain 1 is cut at 1"]),
        (plan([("pi1", "conv1"), ("pi2", None)]), ["cut at conv1", "only the converter knows", "--plan FILE"]),
    ],
)
def test_plan_that_does_not_fit_is_refused_naming_what_does_not(bundle: Bundle, wrong: Plan, words: list[str]) -> None:
    with pytest.raises(PlacementError) as caught:
        place_chains(bundle, BOARDS, wrong)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_everything_that_does_not_fit_is_told_at_once(bundle: Bundle) -> None:
    wrong = plan([("pi8", "conv1"), ("pi7", None)], [("pi1", 4), ("pi2", None)], model="resnet")
    with pytest.raises(PlacementError) as caught:
        place_chains(bundle, BOARDS, wrong)
    assert str(caught.value).count("\n") == 4
    assert "pi7, pi8" in str(caught.value)
