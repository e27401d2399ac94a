"""The cuts that are worth measuring: nowhere close by do fewer bytes cross."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partitioning.cuts import Cut
from partitioning.graph import Graph
from partitioning.operator_work import estimate_work


def choose_useful_cuts(graph: Graph, cuts: Sequence[Cut], resolution: float) -> list[int]:
    """Rising indices of the legal cuts that no legal cut close by beats.

    Close by means: less than `resolution` of the model's estimated work lies between the two. Of several with the same bytes
    the first is kept, so a chain of element-wise operators after a convolution is one place to cut and not four. What is
    lost is at most that share of the work in the balance of a plan; what is won is a measurement less per cut and board.
    Args:
        resolution: share of the model's work, 0 to 1; 0 keeps every legal cut between operators that do any work.
    """
    done = np.concatenate([[0.0], np.cumsum(estimate_work(graph))])
    reach = resolution * done[-1]
    legal = [cut for cut in cuts if cut.obstacle is None]
    places = np.array([done[cut.cut_index] for cut in legal])
    crossing = np.array([cut.crossing_bytes for cut in legal])
    useful = []
    for k, cut in enumerate(legal):
        near = np.abs(places - places[k]) <= reach
        better = near & (crossing < crossing[k])
        first = near & (crossing == crossing[k]) & (np.arange(len(legal)) < k)
        # "First" counts only if it was kept itself; else a long run of equal cuts would thin out to one.
        if not better.any() and not any(legal[i].cut_index in useful for i in np.flatnonzero(first)):
            useful.append(cut.cut_index)
    return useful
