"""The published heuristics make chains that fit, and colour coding finds the paths that are there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.seifer import make_instance
from benchmarks.seifer_heuristics import HEURISTICS
from benchmarks.seifer_models import MODELS, ModelSizes
from benchmarks.seifer_paths import find_path
from partitioning.planning import judge_chain
from partitioning.planning.cluster_search import plan_cluster


def random_graph(generator: np.random.Generator, n: int, share: float) -> np.ndarray:
    above = np.triu(generator.uniform(size=(n, n)) < share, k=1)
    return above | above.T


@pytest.mark.parametrize("seed", range(40))
def test_path_is_found_if_and_only_if_there_is_one(seed: int) -> None:
    generator = np.random.default_rng(seed)
    adjacent = random_graph(generator, 8, 0.25)
    n_vertices = int(generator.integers(2, 6))
    start, end = (int(v) for v in generator.permutation(8)[:2])
    for ends in ((None, None), (start, None), (None, end), (start, end)):
        there = any(
            all(adjacent[a, b] for a, b in zip(path, path[1:]))
            for path in itertools.permutations(range(8), n_vertices)
            if ends[0] in (None, path[0]) and ends[1] in (None, path[-1])
        )
        path = find_path(generator, adjacent, n_vertices, *ends)
        assert (path is not None) == there
        if path is not None:
            assert len(set(path)) == len(path) == n_vertices
            assert all(adjacent[a, b] for a, b in zip(path, path[1:]))
            assert ends[0] in (None, path[0])
            assert ends[1] in (None, path[-1])


def test_eight_vertices_take_more_colours_than_a_word_has() -> None:
    line = np.eye(9, k=1, dtype=bool)
    path = find_path(np.random.default_rng(0), line | line.T, 8, start=0)
    assert path == list(range(8))


@pytest.mark.parametrize("model", MODELS)
def test_sizes_of_a_model_fit_together(model: str) -> None:
    sizes = ModelSizes.read(model)
    n_ops = len(sizes.resident_bytes)
    assert len(sizes.working_bytes) == len(sizes.output_bytes) == n_ops
    assert len(sizes.crossing_bytes) == len(sizes.crossing_tensors) == n_ops + 1
    assert sizes.positions[0] == 0
    assert sizes.positions[-1] == n_ops
    # A single tensor that crosses was made right before, unless it was made earlier and waits there.
    assert sum(sizes.crossing_tensors[p] == 1 for p in sizes.positions) > 10


def test_weights_are_those_of_the_published_models() -> None:
    parameters = {"ResNet50": 25.6e6, "MobileNetV2": 3.5e6, "InceptionResNetV2": 55.9e6, "EfficientNetB1": 7.9e6}
    for model, expected in parameters.items():
        assert sum(ModelSizes.read(model).resident_bytes) / 4 == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("heuristic", HEURISTICS)
@pytest.mark.parametrize(("model", "memory_mb"), [("ResNet50", 64), ("EfficientNetB1", 64), ("MobileNetV2", 512)])
def test_heuristics_make_chains_that_fit_and_ours_is_no_worse(heuristic: str, model: str, memory_mb: int) -> None:
    for seed in range(3):
        generator = np.random.default_rng(seed)
        instance = make_instance(generator, model, memory_mb, 8)
        chain = HEURISTICS[heuristic](generator, instance)
        assert chain is not None
        assert len(set(chain.boards)) == len(chain.boards) == len(chain.positions) - 1
        cost = judge_chain(instance.problem, chain)
        assert np.isfinite(cost.bottleneck_s)
        plan = plan_cluster(instance.problem)
        assert plan.proven
        assert plan.cost.bottleneck_s <= cost.bottleneck_s


@pytest.mark.parametrize("heuristic", HEURISTICS)
def test_heuristics_find_nothing_where_boards_are_too_few(heuristic: str) -> None:
    generator = np.random.default_rng(0)
    assert HEURISTICS[heuristic](generator, make_instance(generator, "InceptionResNetV2", 64, 3)) is None
