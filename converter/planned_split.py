"""From boards to cuts: what `split --boards` and `split --plan` hand to the splitter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bundle.plan import Plan, PlannedChain, PlannedSegment
from bundle.plan_file import render_plan
from converter.errors import OptionError
from converter.smaller_groups import smaller_groups
from converter.split_model import LoadedModel
from converter.splitting_writer import Groups
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory, load_inventory, parse_boards
from partitioning import resolve_cuts
from planner.board_profiles import ProfileSettings, describe_boards
from planner.boards_plan import plan_on_boards
from planner.explain import comment_plan
from planner.model import PlannerModel
from planner.progress import shown_progress
from planner.report import PlanReport
from planner.shared_plan import shared_segments
from planner.wishes import PlanWishes, resolve_wishes


@dataclass(frozen=True)
class PlannedSplit:
    """The cut indices of each different chain of a plan, then those of chains with smaller groups, for when a board is gone; and
    the plan as the bundle keeps it."""

    cut_lists: tuple[tuple[str, ...], ...]
    plan_text: str
    report: PlanReport | None = None
    groups: tuple[Groups, ...] = ()

    @classmethod
    def from_plan(cls, plan: Plan, n_ops: int, report: PlanReport | None = None) -> PlannedSplit:
        """Args: n_ops: of the model. report: what the plan is expected to do, for its comments.

        Raises: WishError: a stage that boards share, and not how. OptionError: two that boards could not tell apart.
        """
        by_form = {(chain.cuts, chain.group_sizes): chain for chain in plan.chains}
        for chain in plan.chains:
            for smaller in smaller_groups(chain):
                by_form.setdefault((smaller.cuts, smaller.group_sizes), smaller)
        different = by_form.values()
        for chain in plan.chains:
            if _segments_of(chain) != _segments_of(by_form[chain.cuts, chain.group_sizes]):
                raise OptionError(
                    "two chains of the plan are cut alike and shared differently: boards could not tell them apart."
                )
        header, stages = ([], []) if report is None else comment_plan(report, plan)
        return cls(
            tuple(tuple(map(str, chain.cuts)) for chain in different),
            render_plan(plan, header, stages),
            report,
            tuple(_groups(chain, n_ops) for chain in different),
        )


def reachable_boards(text: str, wishes: PlanWishes, settings: ProfileSettings) -> Inventory:
    """The boards of a --boards option, each of which has answered: before a model is converted for minutes.

    Raises: BoardsFileError, AddressError, BoardError. WishError, PlanningError: wishes that they cannot meet.
    """
    inventory = load_inventory(parse_boards(text)).without_spares
    resolve_wishes(wishes, inventory)
    run_in_loop(describe_boards(inventory.boards, settings))
    return inventory


def plan_split(
    name: str,
    model: LoadedModel,
    inventory: Inventory,
    wishes: PlanWishes,
    cut_lists: Sequence[Sequence[str]],
    settings: ProfileSettings,
) -> PlannedSplit:
    """Measures the model on the boards and plans.

    Args:
        cut_lists: names of the only cuts to use; empty leaves them to the planner.
    Raises: CutError; see `planner.boards_plan.plan_on_boards`.
    """
    for names in cut_lists:
        wishes = replace(wishes, cuts=resolve_cuts(model.graph, model.cuts, names, model.layer_ops))
    with shown_progress() as listeners:
        found = run_in_loop(
            plan_on_boards(
                PlannerModel.from_graph(name, model.graph, model.cuts), inventory, wishes, settings, listeners
            )
        )
    return PlannedSplit.from_plan(found.plan, len(model.graph.operators), found.report)


def resolve_plan(name: str, model: LoadedModel, plan: Plan) -> Plan:
    """The plan with every cut as an index. Raises: CutError: a name or index that this model does not have."""
    return replace(plan, model=name, chains=tuple(_resolve_chain(model, chain) for chain in plan.chains))


def parse_names(option: str, text: str) -> list[str]:
    """The names in an option such as --cut-at. Raises: OptionError: an empty one."""
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise OptionError(f"{option} is {text!r}, expected names separated by single commas, as in conv1,conv2.")
    return names


def parse_pins(texts: Sequence[str]) -> dict[int, str]:
    """Part -> board, of options written PART=BOARD, parts counted from 0. Raises: OptionError."""
    pins: dict[int, str] = {}
    for text in texts:
        part, _, board = text.partition("=")
        if not part.isdecimal() or not board:
            raise OptionError(f"--pin is {text!r}, expected PART=BOARD as in 0=pi1; parts count from 0.")
        if int(part) in pins:
            raise OptionError(f"part {part} is pinned twice, to {pins[int(part)]} and {board}. Drop one --pin.")
        pins[int(part)] = board
    return pins


def _resolve_chain(model: LoadedModel, chain: PlannedChain) -> PlannedChain:
    indices = resolve_cuts(model.graph, model.cuts, [str(cut) for cut in chain.cuts], model.layer_ops)
    untils: list[int | None] = [*indices, None]
    return PlannedChain(tuple(replace(stage, until=until) for stage, until in zip(chain.stages, untils)))


def _segments_of(chain: PlannedChain) -> list[tuple[PlannedSegment, ...]]:
    return [stage.segments for stage in chain.stages]


def _groups(chain: PlannedChain, n_ops: int) -> Groups:
    """Of a chain whose cuts are indices."""
    edges = [0, *(int(cut) for cut in chain.cuts), n_ops]
    return {
        part: shared_segments(stage, edges[part], edges[part + 1])
        for part, stage in enumerate(chain.stages)
        if stage.shared_with
    }
