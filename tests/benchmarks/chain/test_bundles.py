"""Batches of one model are cut after the same operators."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chain.bundles import write_batched
from partitioning import Graph, list_cuts
from partitioning.ordering import narrowed
from tests.bundles import zoo_file


@pytest.mark.parametrize("name", ["residual", "two_inputs", "yolo_neck"])
def test_batches_are_cut_at_the_same_places(tmp_path: Path, name: str) -> None:
    file = zoo_file(name, "int8")
    graph = narrowed(Graph.from_bytes(file.read_bytes()))
    places = [cut.cut_index for cut in list_cuts(graph) if cut.obstacle is None]
    wanted = [(places[len(places) // 2],), (places[0], places[-1])]
    made = [write_batched(file, wanted, batch, tmp_path) for batch in (1, 4)]
    assert [own.bundle.batch for own in made] == [1, 4]
    assert [own.difference for own in made] == [0, 0]
    for own in made:
        assert list(own.cuts) == [(), *wanted]
        by_cuts = {splitting.cut_indices: splitting for splitting in own.bundle.splittings}
        assert [len(by_cuts[own.cuts[cuts]].partitions) for cuts in ((), *wanted)] == [1, 2, 3]
    crossing = [
        [[[t.name for t in p.leaving] for p in splitting.partitions] for splitting in own.bundle.splittings]
        for own in made
    ]
    assert crossing[0] == crossing[1]
    assert made[0].cuts == {cuts: cuts for cuts in ((), *wanted)}
