"""What is named is enough, and less would not be."""

from __future__ import annotations

import numpy as np
import pytest

from partitioning.planning import ChainSearch
from partitioning.planning.cost_model import BoardCosts, LinkCosts, ModelCosts, build_problem
from partitioning.planning.infeasibility import diagnose


def random_fleet(generator: np.random.Generator) -> tuple[ModelCosts, list[BoardCosts], LinkCosts]:
    n_ops, n_boards = int(generator.integers(2, 7)), int(generator.integers(1, 4))
    model = ModelCosts(
        generator.uniform(0, 10, n_ops),
        generator.uniform(0, 3, n_ops),
        generator.uniform(0, 1, n_ops + 1),
        np.arange(n_ops + 1),
    )
    total_bytes = float(model.resident_bytes.sum())
    boards = [
        BoardCosts(
            f"b{i}", generator.uniform(1, 2, n_ops), memory_bytes=total_bytes * float(generator.uniform(0.3, 1.3))
        )
        for i in range(n_boards)
    ]
    return model, boards, LinkCosts(np.ones((n_boards + 1, n_boards + 1)), np.zeros((n_boards + 1, n_boards + 1)))


def is_feasible(model: ModelCosts, boards: list[BoardCosts]) -> bool:
    size = len(boards) + 1
    links = LinkCosts(np.ones((size, size)), np.zeros((size, size)))
    return bool(np.isfinite(ChainSearch(build_problem(model, boards, links)).bottleneck_s).any())


@pytest.mark.parametrize("seed", range(4))
def test_named_changes_are_enough_and_no_less_is(seed: int) -> None:
    generator = np.random.default_rng(seed)
    seen = {"feasible": 0, "too big": 0, "boards": 0}
    for _ in range(60):
        model, boards, links = random_fleet(generator)
        found = diagnose(model, boards, links)
        if found is None:
            assert is_feasible(model, boards)
            seen["feasible"] += 1
            continue
        assert not is_feasible(model, boards)
        assert bool(found.too_big) == (found.largest_piece_bytes > found.largest_memory_bytes)
        seen["too big"] += bool(found.too_big)
        change = found.more_memory
        for memory_bytes, expected in ((change.memory_bytes, True), (change.memory_bytes * (1 - 1e-9), False)):
            changed = [b.with_memory(memory_bytes) if b.name == change.board else b for b in boards]
            assert is_feasible(model, changed) == expected
        if found.more_boards is not None:
            like = next(b for b in boards if b.name == found.more_boards.like)
            assert is_feasible(model, [*boards, *[like] * found.more_boards.count])
            for board in boards:
                assert not is_feasible(model, [*boards, *[board] * (found.more_boards.count - 1)])
            seen["boards"] += 1
    assert all(seen.values()), seen


def test_no_number_of_boards_is_named_when_sixteen_more_are_not_enough() -> None:
    n_ops = 20
    model = ModelCosts(np.ones(n_ops), np.zeros(n_ops), np.zeros(n_ops + 1), np.arange(n_ops + 1))
    board = BoardCosts("pi", np.ones(n_ops), memory_bytes=1.0)
    found = diagnose(model, [board], LinkCosts(np.ones((2, 2)), np.zeros((2, 2))))
    assert found is not None
    assert found.too_big == ()
    assert found.more_boards is None
    assert found.more_memory.memory_bytes == n_ops
