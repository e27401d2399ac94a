"""Which cuts, on which boards, in which order: exact, from measured costs."""

from partitioning.planning.board_types import group_boards
from partitioning.planning.chain_search import ChainSearch
from partitioning.planning.judge import Chain, ChainCost, judge_chain
from partitioning.planning.problem import ChainProblem
from partitioning.planning.side_by_side import choose_side_by_side

__all__ = [
    "Chain",
    "ChainCost",
    "ChainProblem",
    "ChainSearch",
    "choose_side_by_side",
    "group_boards",
    "judge_chain",
]
