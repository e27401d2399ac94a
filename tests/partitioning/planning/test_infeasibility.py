"""What is named is enough, and less would not be."""

from __future__ import annotations

import numpy as np
import pytest

from partitioning.planning import ChainSearch
from partitioning.planning.cost_model import BoardCosts, LinkCosts, ModelCosts, build_problem, stage_bytes
from partitioning.planning.infeasibility import MoreMemory, Piece, diagnose


def random_fleet(generator: np.random.Generator) -> tuple[ModelCosts, list[BoardCosts], LinkCosts]:
    """Boards whose runtimes pack the same operators more or less tightly."""
    n_ops, n_boards = int(generator.integers(2, 7)), int(generator.integers(1, 4))
    model = ModelCosts(generator.uniform(0, 1, n_ops + 1), np.arange(n_ops + 1))
    resident_bytes, working_bytes = generator.uniform(0, 10, n_ops), generator.uniform(0, 3, n_ops)
    boards = []
    for index in range(n_boards):
        op_s = generator.uniform(1, 2, n_ops)
        packing = generator.uniform(0.8, 1.2, n_ops)
        memory_bytes = float(resident_bytes.sum() * generator.uniform(0.3, 1.3))
        boards.append(
            BoardCosts(
                f"b{index}", op_s, op_s, resident_bytes * packing, working_bytes * packing, memory_bytes=memory_bytes
            )
        )
    return model, boards, links_of(n_boards)


def links_of(n_boards: int) -> LinkCosts:
    return LinkCosts(np.ones((n_boards + 1, n_boards + 1)), np.zeros((n_boards + 1, n_boards + 1)))


def is_feasible(model: ModelCosts, boards: list[BoardCosts]) -> bool:
    return bool(np.isfinite(ChainSearch(build_problem(model, boards, links_of(len(boards)))).bottleneck_s).any())


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
        assert [(p.start_op, p.stop_op) for p in found.too_big] == [
            (op, op + 1)
            for op in range(len(model.crossing_bytes) - 1)
            if all(stage_bytes(model, b)[op, op + 1] > b.memory_bytes for b in boards)
        ]
        assert bool(found.too_big) == (found.tightest.excess_bytes > 0)
        assert found.tightest.board in {b.name for b in boards}
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
    model = ModelCosts(np.zeros(n_ops + 1), np.arange(n_ops + 1))
    ones = np.ones(n_ops)
    found = diagnose(model, [BoardCosts("pi", ones, ones, ones, 0 * ones, memory_bytes=1.0)], links_of(1))
    assert found is not None
    assert found.too_big == ()
    assert found.more_boards is None
    assert found.more_memory.memory_bytes == n_ops


def test_tightest_piece_is_named_with_the_board_that_it_comes_closest_to_fitting() -> None:
    model = ModelCosts(np.zeros(3), np.arange(3))
    ones = np.ones(2)
    small = BoardCosts("small", ones, ones, np.array([5.0, 9.0]), 0 * ones, memory_bytes=4.0)
    large = BoardCosts("large", ones, ones, np.array([8.0, 9.0]), 0 * ones, memory_bytes=6.0)
    found = diagnose(model, [small, large], links_of(2))
    assert found is not None
    assert found.too_big == (Piece(0, 1, "small", 5.0, 4.0), Piece(1, 2, "large", 9.0, 6.0))
    assert found.tightest == found.too_big[1]
    assert found.more_boards is None
    assert found.more_memory == MoreMemory("small", 14.0, 10.0)


def test_many_boards_that_differ_in_speed_only_are_diagnosed() -> None:
    generator = np.random.default_rng(0)
    n_ops = 30
    model = ModelCosts(np.zeros(n_ops + 1), np.arange(n_ops + 1))
    boards = []
    for index in range(29):
        op_s, op_cpu_s = generator.uniform(1, 2, (2, n_ops))
        memory_bytes = 1.0 + index % 2 / 4
        boards.append(
            BoardCosts(f"b{index}", op_s, op_cpu_s, np.ones(n_ops), np.zeros(n_ops), memory_bytes=memory_bytes)
        )
    found = diagnose(model, boards, links_of(29))
    assert found is not None
    assert found.more_boards is not None
    assert (found.more_boards.count, found.more_memory.memory_bytes) == (1, 2.0)
