"""A short run of every target, and what the repository has of inputs; `make fuzz` runs for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.bounds import Bounded, BoundError
from tests.fuzz.corpus import COMMITTED, REGRESSIONS, known_inputs, minimised
from tests.fuzz.flight import Flight
from tests.fuzz.mutations import run_mutated
from tests.fuzz.planted import PlantedError
from tests.fuzz.runner import FAILED, HUNG, PASSED, Outcome, engines, fuzz
from tests.fuzz.target import load_target, target_names

INPUTS = 500
SECONDS = 20.0
PLANTED = "tests.fuzz.planted"
MOST_CORPUS_BYTES = 400_000


@pytest.mark.parametrize("name", target_names())
def test_known_inputs_keep_the_bounds(name: str, tmp_path: Path) -> None:
    target = load_target(name)
    with target.start(tmp_path) as run:
        for data in known_inputs(target).values():
            Bounded(target, run)(data)


@pytest.mark.parametrize("name", target_names())
def test_short_run_keeps_the_bounds(name: str, tmp_path: Path) -> None:
    outcome = fuzz(
        name, inputs=INPUTS, seconds=SECONDS, seed=1, kept=tmp_path / "kept", engine=engines()[0], failures=tmp_path
    )
    assert outcome.row.outcome == PASSED, f"{outcome.row.failing_input}\n{outcome.log}"
    assert outcome.row.inputs > len(known_inputs(load_target(name))) / 2


@pytest.mark.parametrize("name", ["frame"])
def test_mutations_alone_do_without_a_guide(name: str, tmp_path: Path) -> None:
    outcome = fuzz(
        name, inputs=INPUTS, seconds=SECONDS, seed=1, kept=tmp_path / "kept", engine="mutations", failures=tmp_path
    )
    assert outcome.row.outcome == PASSED, f"{outcome.row.failing_input}\n{outcome.log}"
    assert outcome.row.inputs > 100


def run_planted(tmp_path: Path, defect: bytes, engine: str) -> Outcome:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "defect").write_bytes(defect)
    return fuzz(PLANTED, inputs=100, seconds=SECONDS, seed=1, kept=kept, engine=engine, failures=tmp_path, hang_s=10.0)


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize(
    ("defect", "outcome", "words"),
    [
        (b"fine", PASSED, ""),
        (b"untyped", FAILED, "a defect"),
        (b"crash", FAILED, "planted.py"),
        (b"hang", HUNG, ""),
        (b"claim", FAILED, "Cannot allocate memory"),
    ],
)
def test_defect_is_found_and_its_input_kept(
    tmp_path: Path, engine: str, defect: bytes, outcome: str, words: str
) -> None:
    found = run_planted(tmp_path, defect, engine)
    assert found.row.outcome == outcome, found.log
    assert words in found.log
    if outcome == PASSED:
        assert found.row.failing_input is None
    else:
        assert Path(str(found.row.failing_input)).read_bytes() == defect


def test_mutations_of_one_seed_are_the_same(tmp_path: Path) -> None:
    taken: list[list[bytes]] = [[], [], []]
    for found, number in zip(taken, (7, 7, 8)):
        run_mutated(found.append, [b"one", b"two"], [b"word"], 64, 50, number)
    assert taken[0] == taken[1] != taken[2]
    assert max(map(len, taken[0])) <= 64
    assert len(set(taken[0])) > 20


def test_bounds_are_kept_or_told(tmp_path: Path) -> None:
    target = load_target(PLANTED)
    with target.start(tmp_path) as taken:
        run = Bounded(target, taken)
    for data in target.seeds():
        run(data)
    with pytest.raises(PlantedError):
        taken(b"typed")
    with pytest.raises(BoundError, match=r"took 1\.2 s, allowed 1 s"):
        run(b"slow")
    with pytest.raises(BoundError, match="bytes, allowed 67108864"):
        run(b"memory")
    with pytest.raises(KeyError):
        run(b"untyped")


def test_flight_outlives_who_wrote_it(tmp_path: Path) -> None:
    written = Flight(tmp_path / "flight")
    written.begin(b"one")
    written.begin(b"")
    written.begin(b"three")
    written.close()
    read = Flight(tmp_path / "flight")
    assert (read.inputs, read.last) == (3, b"three")
    read.close()


def test_minimised_inputs_reach_what_all_do(tmp_path: Path) -> None:
    target = load_target("frame")
    seeds = list(target.seeds())
    with target.start(tmp_path) as run:
        chosen = minimised(target, run, [*seeds, *seeds, b"", b"\xff"], reached=[b"\xff"])
        assert 0 < len(chosen) < len(seeds) + 2
        assert b"\xff" not in chosen
        assert not minimised(target, run, seeds, reached=[*chosen, b"\xff"])


def test_corpus_is_small_and_of_targets_that_exist() -> None:
    files = [path for root in (COMMITTED, REGRESSIONS) for path in root.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_CORPUS_BYTES
    assert {path.parent.name for path in files} <= set(target_names())
