"""SEIFER's planning problem: equal boards thrown over a square, wireless links, and communication as the only cost.

The published setting, so that its algorithms can be judged where they were made for: computing takes no time, the dispatcher's
links are free, and a part occupies its weights and all of its activations at once.
Source: Parthasarathy and Krishnamachari 2022, "Partitioning and Placement of Deep Neural Networks on Distributed Edge Devices to
Maximize Inference Throughput" (arXiv 2210.12219). Unlike it: operators and sizes are those of the TFLite graph, weights count
in bytes (it counts parameters), a tensor travels once however many operators read it, and 4 bytes a float (it takes 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benchmarks.seifer_models import ModelSizes
from partitioning.planning import ChainProblem

Array = np.ndarray[Any, Any]

MEMORY_MB = (64, 128, 256, 512)
BOARDS = (5, 10, 15, 20, 50)
_BYTES_PER_MB = 2**20
_SIDE_M = 150.0
# A link carries log2(1 + 283230 / d^2) Mbit/s over d metres: Shannon's law, fitted by the authors to 6.5 Mbit/s on average.
_SIGNAL_M2 = 283230.0
_BYTES_PER_MBIT = 1e6 / 8


@dataclass(frozen=True)
class SeiferInstance:
    """A problem, and what SEIFER's algorithms know of it.

    Attributes:
        bytes_per_s: (n_boards, n_boards) symmetric; 0 from a board to itself.
        is_single_tensor: (n_positions,) bool: exactly one tensor crosses, the only cuts that SEIFER considers.
    """

    problem: ChainProblem
    bytes_per_s: Array
    is_single_tensor: Array


def make_instance(generator: np.random.Generator, model: str, memory_mb: int, n_boards: int) -> SeiferInstance:
    """A random cluster for a model."""
    fits, crossing_bytes, is_single_tensor = _stages(model, memory_mb)
    stage_s = np.where(fits, 0.0, np.inf)
    bytes_per_s = _links(generator, n_boards)
    with_dispatcher = np.full((n_boards + 1, n_boards + 1), np.inf)
    with_dispatcher[:-1, :-1] = np.where(np.eye(n_boards, dtype=bool), np.inf, bytes_per_s)
    problem = ChainProblem(
        np.broadcast_to(stage_s, (n_boards, *stage_s.shape)),
        crossing_bytes / with_dispatcher[:, :, None],
        crossing_bytes,
    )
    return SeiferInstance(problem, bytes_per_s, is_single_tensor)


@cache
def _stages(model: str, memory_mb: int) -> tuple[Array, Array, Array]:
    """(n_positions, n_positions) bool: fits a board; (n_positions,) bytes that cross; (n_positions,) bool: one tensor does."""
    sizes = ModelSizes.read(model)
    positions = np.array(sizes.positions)
    op_bytes = np.add(sizes.resident_bytes, sizes.output_bytes)
    total_bytes = np.concatenate([[0], np.cumsum(op_bytes)])[positions]
    needed_bytes = total_bytes[None, :] - total_bytes[:, None]
    fits = (needed_bytes <= memory_mb * _BYTES_PER_MB) & np.triu(np.ones(needed_bytes.shape, bool), k=1)
    crossing_bytes = np.array(sizes.crossing_bytes, np.float64)[positions]
    return fits, crossing_bytes, np.array(sizes.crossing_tensors)[positions] == 1


def _links(generator: np.random.Generator, n_boards: int) -> Array:
    place_m = generator.uniform(0, _SIDE_M, (n_boards, 2))
    distance_m2 = np.square(place_m[:, None] - place_m[None]).sum(axis=2)
    np.fill_diagonal(distance_m2, np.inf)
    bytes_per_s: Array = np.log2(1 + _SIGNAL_M2 / distance_m2) * _BYTES_PER_MBIT
    return bytes_per_s
