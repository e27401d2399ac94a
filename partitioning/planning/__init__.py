"""Which cuts, on which boards, in which order: exact, from measured costs."""

from partitioning.planning.board_types import group_boards
from partitioning.planning.chain_search import ChainSearch
from partitioning.planning.cluster_search import ClusterPlan, UndecidedPlanError, plan_cluster
from partitioning.planning.cost_model import (
    RELAY_SHARE,
    BoardCosts,
    LinkCosts,
    MeasuredStage,
    ModelCosts,
    build_problem,
    stage_bytes,
)
from partitioning.planning.infeasibility import Infeasibility, diagnose
from partitioning.planning.judge import Chain, ChainCost, Objective, judge_chain
from partitioning.planning.large_plan import PlanTooLargeError
from partitioning.planning.plan import is_exact, plan_chains
from partitioning.planning.planned import ChainSet, PlannedChains, Wishes
from partitioning.planning.problem import ChainProblem, InfeasiblePlanError, PlanningError, fix_cuts
from partitioning.planning.side_by_side import SideBySide, choose_for_each_number, choose_side_by_side

__all__ = [
    "RELAY_SHARE",
    "BoardCosts",
    "Chain",
    "ChainCost",
    "ChainProblem",
    "ChainSearch",
    "ChainSet",
    "ClusterPlan",
    "Infeasibility",
    "InfeasiblePlanError",
    "LinkCosts",
    "MeasuredStage",
    "ModelCosts",
    "Objective",
    "PlanTooLargeError",
    "PlannedChains",
    "PlanningError",
    "SideBySide",
    "UndecidedPlanError",
    "Wishes",
    "build_problem",
    "choose_for_each_number",
    "choose_side_by_side",
    "diagnose",
    "fix_cuts",
    "group_boards",
    "is_exact",
    "judge_chain",
    "plan_chains",
    "plan_cluster",
    "stage_bytes",
]
