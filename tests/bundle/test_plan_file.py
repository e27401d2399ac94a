"""plan.yaml: what is rendered reads back, comments change nothing, and every mistake is told with its line and the fix."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bundle import Bundle, BundleError, BundleWriter, Plan, PlanError, PlannedChain, PlannedStage, open_bundle
from bundle.plan_file import read_plan, render_plan
from tests.bundle.test_directory import tiny_manifest

PLAN = Plan(
    "resnet50",
    "throughput",
    (
        PlannedChain((PlannedStage("pi1", 34), PlannedStage("pi2"))),
        PlannedChain((PlannedStage("pi3"),)),
    ),
)
TEXT = """\
# predicted: 31.2 inferences/s
#
# bound by pi3
model: resnet50
objective: throughput
chains:
  - stages:
      - board: pi1  # 60 ms
        until: 34
      - board: pi2
  - stages:
      - board: pi3  # 64 ms
"""


def names() -> st.SearchStrategy[str]:
    """Names as people and converters make them, and any text that YAML could mistake for something else."""
    awkward = st.sampled_from(
        ["yes", "null", "1e3", "10.0.0.11:50051", "[::1]:1", "a: b", "# a", "-", "a/b;c", "~", "é"]
    )
    return awkward | st.text(min_size=1, max_size=200)


def cut_names() -> st.SearchStrategy[str]:
    return names().filter(lambda name: any(c not in "0123456789" for c in name))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any valid plan: distinct boards in one or more chains, rising cut indices with names among them."""
    boards = iter(draw(st.lists(names(), unique=True, min_size=1, max_size=12)))
    chains, left = [], [*boards]
    while left:
        size = draw(st.integers(1, len(left)))
        members, left = left[:size], left[size:]
        indices = sorted(draw(st.sets(st.integers(1, 2**31), min_size=size - 1, max_size=size - 1)))
        cuts = [draw(st.just(index) | cut_names()) for index in indices]
        chains.append(PlannedChain(tuple(PlannedStage(b, c) for b, c in zip(members, [*cuts, None]))))
    objective = draw(st.from_regex(r"[a-z]+(-[a-z]+)*", fullmatch=True))
    return Plan(draw(names()), objective, tuple(chains))


@given(plans(), st.lists(st.text()), st.lists(st.lists(st.text(), max_size=14), max_size=14))
def test_plan_comes_back_whatever_its_names_and_comments(
    plan: Plan, header: list[str], comments: list[list[str]]
) -> None:
    text = render_plan(plan, header, comments)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        assert read_plan(path) == plan
    assert yaml.safe_load(text) == yaml.safe_load(render_plan(plan))


def test_plan_is_rendered_for_people() -> None:
    header = ["predicted: 31.2 inferences/s", "", "bound by pi3"]
    assert render_plan(PLAN, header, [["60 ms"], ["64 ms"]]) == TEXT


def test_plan_says_its_boards_and_cuts() -> None:
    assert PLAN.board_names == ("pi1", "pi2", "pi3")
    assert [chain.cuts for chain in PLAN.chains] == [(34,), ()]


def test_plan_that_contradicts_itself_cannot_be_made() -> None:
    stages = (PlannedStage("pi1"), PlannedStage("pi1", 3))
    with pytest.raises(PlanError) as caught:
        Plan("m", "throughput", (PlannedChain(stages),))
    first, second, third = str(caught.value).splitlines()
    assert first.startswith("chain 0, stage 1: board pi1 has stage 0 of chain 0 already")
    assert second.startswith("chain 0, stage 0: board pi1 has no until")
    assert third.startswith("chain 0, stage 1: board pi1 ends at 3, and no stage comes after it")


def written(path: Path, old: str, new: str) -> Path:
    assert old in TEXT
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("objective: throughput\n", "", r"plan.yaml:4: .*'objective' is a required property"),
        ("throughput", "Fast!", r"plan.yaml:5: objective: .*in lower-case letters, as throughput"),
        ("board: pi3", "bord: pi3", r"plan.yaml:12: .*'bord' was unexpected.*A stage is written as board: pi1"),
        ("board: pi3", "board: 3", r"plan.yaml:12: .*3 is not of type 'string'.*The name of a board"),
        ("until: 34", "until: 0", r"plan.yaml:9: .*A cut index of 1 or more without quotes"),
        ("until: 34", "until: '34'", r"plan.yaml:9: .*A cut index of 1 or more without quotes"),
        ("until: 34", "until: true", r"plan.yaml:9: .*A cut index of 1 or more without quotes"),
        ("        until: 34\n", "", r"plan.yaml:8: board pi1 has no until.*Add one, as until: 34"),
        (
            "- board: pi2",
            "- board: pi2\n        until: 40",
            r"plan.yaml:11: board pi2 ends at 40, and no stage comes after it\. Remove until, or add a stage",
        ),
        (
            "- board: pi2",
            "- board: pi4\n        until: conv5\n      - board: pi5\n        until: 34\n      - board: pi2",
            r"plan.yaml:13: board pi5 ends at 34, where 34 was reached before\. Cuts must rise",
        ),
        ("pi3", "pi1", r"plan.yaml:12: board pi1 has stage 0 of chain 0 already\. Give every stage a board of its own"),
        ("model: resnet50", "model: [", r"plan.yaml cannot be read as YAML"),
        ("  - stages:", "  - stages: []\n  -", r"stages: \[\] (is too short|should be non-empty)\. A list of stages"),
    ],
)
def test_mistake_is_told_with_its_line_and_the_fix(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        read_plan(written(tmp_path / "plan.yaml", old, new))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(TEXT.replace("pi3", "pi1").replace("        until: 34\n", ""), encoding="utf-8")
    with pytest.raises(
        PlanError, match=r"(?s):8: board pi1 has no until.*:11: board pi1 has stage 0 of chain 0 already"
    ):
        read_plan(path)


def test_whole_number_with_a_point_is_a_cut_index(tmp_path: Path) -> None:
    until = read_plan(written(tmp_path / "plan.yaml", "until: 34", "until: 34.0")).chains[0].stages[0].until
    assert isinstance(until, int)


def test_missing_plan_is_told_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"(?s)plan.yaml does not exist.*chains:.*board: pi1"):
        read_plan(tmp_path / "plan.yaml")


def bundle_with(out: Path, plan_text: str | None) -> Bundle:
    with BundleWriter(out) as writer:
        return writer.finish(tiny_manifest(writer.add_model(b"model")), {}, {}, plan_text)


def test_bundle_keeps_its_plan_which_is_no_part_of_the_deployment(tmp_path: Path) -> None:
    with_plan = bundle_with(tmp_path / "with", TEXT)
    without = bundle_with(tmp_path / "without", None)
    assert open_bundle(with_plan.path).plan() == PLAN
    assert (with_plan.path / "plan.yaml").read_text(encoding="utf-8") == TEXT
    assert without.plan() is None
    assert with_plan.deployment_id == without.deployment_id


def test_damaged_plan_of_a_bundle_is_an_error_of_the_bundle(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "out", "chains: 5")
    with pytest.raises(BundleError, match=r"plan.yaml:1: .*A list of chains"):
        bundle.plan()
