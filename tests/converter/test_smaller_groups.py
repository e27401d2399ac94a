"""What a group does that has lost a board: all operators still, and nothing that needs the lost one."""

from __future__ import annotations

from bundle.plan import PlannedChain, PlannedSegment, PlannedStage
from converter.smaller_groups import smaller_groups


def test_each_group_is_one_board_smaller_in_turn() -> None:
    alone, pair = PlannedStage("a", 3), PlannedStage("b", 6, ("c",), (PlannedSegment("rows", (1, 1)),))
    three = PlannedStage(
        "d",
        None,
        ("e", "f"),
        (
            PlannedSegment("rows", (2, 1, 3), 8),
            PlannedSegment("", (0, 1, 0), 9),
            PlannedSegment("channels", (0, 1, 4), 11),
            PlannedSegment("rows", (2, 0, 3)),
        ),
    )
    first, second = smaller_groups(PlannedChain((alone, pair, three)))
    assert first.stages == (alone, PlannedStage("b", 6), three)
    fewer = PlannedStage(
        "d",
        None,
        ("f",),
        (
            PlannedSegment("rows", (2, 3), 8),
            PlannedSegment("", (1, 0), 9),
            PlannedSegment("", (0, 4), 11),
            PlannedSegment("rows", (2, 3)),
        ),
    )
    assert second.stages == (alone, pair, fewer)


def test_chain_without_groups_has_none_smaller() -> None:
    assert list(smaller_groups(PlannedChain((PlannedStage("a", 3), PlannedStage("b"))))) == []
