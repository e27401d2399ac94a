"""Which cuts, on which boards, in which order: exact, from measured costs."""

from partitioning.planning.board_types import group_boards
from partitioning.planning.chain_search import ChainSearch
from partitioning.planning.cost_model import BoardCosts, LinkCosts, ModelCosts, build_problem
from partitioning.planning.infeasibility import Infeasibility, diagnose
from partitioning.planning.judge import Chain, ChainCost, judge_chain
from partitioning.planning.problem import ChainProblem
from partitioning.planning.side_by_side import choose_side_by_side

__all__ = [
    "BoardCosts",
    "Chain",
    "ChainCost",
    "ChainProblem",
    "ChainSearch",
    "Infeasibility",
    "LinkCosts",
    "ModelCosts",
    "build_problem",
    "choose_side_by_side",
    "diagnose",
    "group_boards",
    "judge_chain",
]
