"""`plan` and `split` for boards as a user types them: on real boards, from boards.yaml to frames that come back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bundle import Bundle, Plan, PlannedChain, PlannedStage, open_bundle
from bundle.plan import PlannedSegment
from bundle.plan_file import read_plan, render_plan
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoards
from planner import revision
from planner.shared_plan import planned_segments
from tests.bundles import load_zoo_model, zoo_file
from tests.converter.commands import Convert, refused
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole, single
from tests.planner.on_boards import dense_file, trials_on
from tests.shared_segments import share_all

MakeBundle = Callable[..., Bundle]
QUICK = ("--confidence", "0.5", "--budget-s", "0.05")


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a noisy machine agrees with itself is not what these tests ask."""
    monkeypatch.setattr(revision, "_MAX_ROUNDS", 2)


@pytest.fixture(scope="session")
def model() -> Path:
    """Fifteen operators, one after the other."""
    return zoo_file("chain", "float32")


@pytest.fixture
def boards_file(boards: LocalBoards, tmp_path: Path) -> Path:
    return write_boards(tmp_path / "boards.yaml", boards)


def write_boards(path: Path, boards: LocalBoards, n: int = 2, **fields: Any) -> Path:
    """The first boards; their own links are given, so that only those to the dispatcher are measured."""
    entries = [{"name": b.name, "address": b.address, "link_mbit_s": 900, **fields} for b in boards.boards[:n]]
    path.write_text(yaml.safe_dump({"boards": entries}, sort_keys=False))
    return path


def write_plan(path: Path, *stages: dict[str, Any], model: str = "chain-float32") -> Path:
    path.write_text(
        yaml.safe_dump(
            {"model": model, "objective": "throughput", "chains": [{"stages": list(stages)}]}, sort_keys=False
        )
    )
    return path


def cut_bundle(path: Path) -> list[int]:
    """Where the bundle's only chain is cut."""
    (splitting,) = open_bundle(path).splittings
    return [p.stop_op for p in splitting.partitions[:-1]]


def test_model_is_planned_split_and_run_on_the_boards_with_the_whole_models_bits(
    convert: Convert, model: Path, boards: LocalBoards, boards_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "parts"
    done = convert(
        "split", model, "--boards", boards_file, "--pin", "0=board2", "--pin", "1=board1", "--out", out, *QUICK
    )
    assert (done.code, done.err) == (0, "")
    assert "frames/s" in done.out
    assert "it is limited by " in done.out
    assert "2 partitions, bit-identical to the whole model" in done.out

    bundle = open_bundle(out)
    plan = bundle.plan()
    assert plan is not None
    assert plan.board_names == ("board2", "board1")
    assert plan.model == bundle.manifest.model_name
    assert [cut for chain in plan.chains for cut in chain.cuts] == cut_bundle(out)
    assert (out / "plan.yaml").read_text().startswith("# made for throughput: at most")
    verified = convert("verify", out)
    assert verified.code == 0, verified.err

    inputs = [random_inputs(bundle, seed) for seed in range(4)]
    with Dispatcher(bundle, str(boards_file)) as dispatcher:
        assert [s.placement.board.name for s in dispatcher.stages] == ["board2", "board1"]
        assert [named(dispatcher, answer) for answer in dispatcher.stream(inputs)] == [
            run_whole(bundle, x) for x in inputs
        ]

    again = convert("plan", out, "--boards", boards_file, "--check", out / "plan.yaml", *QUICK)
    assert again.code == 0
    assert "as given, not searched for" in again.out
    assert f"{out} is split and planned like this already" in again.out


def test_plan_is_explained_drawn_and_written(convert: Convert, model: Path, boards_file: Path, tmp_path: Path) -> None:
    svg, out = tmp_path / "plan.svg", tmp_path / "plan.yaml"
    arguments = ("--explain", "--chains", "1", "--plot", svg, "--out", out)
    done = convert("plan", model, "--boards", boards_file, *arguments, *QUICK)
    assert (done.code, done.err) == (0, "")
    assert "chain-float32" in done.out
    assert "it is limited by" in done.out
    assert "with 2 chains at best" in done.out
    assert "planned " in done.out
    assert f"python -m converter split MODEL --out BUNDLE --plan {out}" in done.out
    assert svg.read_text().startswith("<?xml")
    assert len(read_plan(out).chains) == 1

    split = convert("split", model, "--plan", out, "--out", tmp_path / "parts")
    assert (split.code, split.err) == (0, "")
    assert open_bundle(tmp_path / "parts").plan() == read_plan(out)


def test_json_holds_the_whole_report(convert: Convert, model: Path, boards: LocalBoards, tmp_path: Path) -> None:
    png = tmp_path / "plan.png"
    arguments = ("--cut-at", "4,9", "--max-boards", "3", "--objective", "latency", "--plot", png, "--json", *QUICK)
    three = write_boards(tmp_path / "boards.yaml", boards, 3)
    done = convert("plan", model, "--boards", three, *arguments)
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert list(report) == [
        "model",
        "objective",
        "chains",
        "rate_per_s",
        "latency_s",
        "energy_j",
        "proof",
        "lower_bound",
        "certified_gap",
        "left_out",
        "alternatives",
        "notes",
        "rounds",
        "estimate_error",
        "repeat_error",
    ]
    assert report["objective"] == "latency"
    assert [stage["until"] for stage in report["chains"][0]["stages"]] == [4, 9, None]
    assert png.read_bytes().startswith(b"\x89PNG")


def test_json_of_split_holds_plan_and_partitions(
    convert: Convert, model: Path, boards_file: Path, tmp_path: Path
) -> None:
    arguments = ("--cut-at", "7", "--chains", "1", "--out", tmp_path / "parts", "--json")
    done = convert("split", model, "--boards", boards_file, *arguments, *QUICK)
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert list(found) == ["batch", "splittings", "plan"]
    assert [s["until"] for s in found["plan"]["chains"][0]["stages"]] == [7, None]
    assert cut_bundle(tmp_path / "parts") == [7]


def test_plan_edited_by_hand_may_name_tensors(convert: Convert, model: Path, boards_file: Path, tmp_path: Path) -> None:
    graph = load_zoo_model("chain", "float32").graph
    name = graph.tensors[graph.operators[6].outputs[0]].name
    plan = write_plan(tmp_path / "plan.yaml", {"board": "board2", "until": name}, {"board": "board1"})
    out = tmp_path / "parts"
    done = convert("split", model, "--plan", plan, "--out", out)
    assert (done.code, done.err) == (0, "")
    assert cut_bundle(out) == [7]
    kept = open_bundle(out).plan()
    assert kept is not None
    assert [stage.until for stage in kept.chains[0].stages] == [7, None]

    checked = convert("plan", out, "--boards", boards_file, "--check", plan, "--json", *QUICK)
    assert (checked.code, checked.err) == (0, "")
    (chain,) = json.loads(checked.out)["chains"]
    assert [(s["board"], s["start_op"], s["stop_op"]) for s in chain["stages"]] == [("board2", 0, 7), ("board1", 7, 15)]

    other = write_plan(tmp_path / "other.yaml", {"board": "board1", "until": name}, {"board": "board2"})
    moved = convert("plan", out, "--boards", boards_file, "--check", other, *QUICK)
    assert f"{out} is split like this already: deploy and run it with --plan" in moved.out


def test_plan_with_a_group_is_checked_and_split(
    convert: Convert, model: Path, boards_file: Path, tmp_path: Path
) -> None:
    graph = load_zoo_model("chain", "float32").graph
    segments = planned_segments(share_all(graph, (3, 1), 5), range(2))
    stage = PlannedStage("board2", None, ("board1",), segments)
    plan, again, out = tmp_path / "plan.yaml", tmp_path / "again.yaml", tmp_path / "parts"
    plan.write_text(render_plan(Plan("chain-float32", "latency", (PlannedChain((stage,)),))))
    checked = convert("plan", model, "--boards", boards_file, "--check", plan, "--out", again, *QUICK)
    assert (checked.code, checked.err) == (0, "")
    assert "board2 + board1 exchange " in checked.out
    assert "times as soon as board2 alone" in checked.out
    assert "as given, not searched for" in checked.out
    assert "75% : 25%" in checked.out
    assert f"to split like this: python -m converter split MODEL --out BUNDLE --plan {again}" in checked.out
    split = convert("split", model, "--plan", again, "--out", out)
    assert (split.code, split.err) == (0, "")
    # And for when one of them is gone.
    assert [splitting.group_sizes for splitting in open_bundle(out).splittings] == [(2,), (1,)]
    known = convert("plan", out, "--boards", boards_file, "--check", plan, *QUICK)
    assert f"{out} is split and planned like this already" in known.out
    uneven = [PlannedSegment(s.by, s.shares[::-1], s.until) for s in segments]
    stage = PlannedStage("board2", None, ("board1",), tuple(uneven))
    plan.write_text(render_plan(Plan("chain-float32", "latency", (PlannedChain((stage,)),))))
    other = convert("plan", out, "--boards", boards_file, "--check", plan, *QUICK)
    assert "to split like this: python -m converter split" in other.out


def test_plan_that_does_not_fit_is_refused_naming_the_stage(
    convert: Convert, boards: LocalBoards, tmp_path: Path
) -> None:
    (tmp_path / "dense.tflite").write_bytes(dense_file())
    tight = write_boards(tmp_path / "boards.yaml", boards, memory_mib=12)
    plan = write_plan(tmp_path / "plan.yaml", {"board": "board1", "until": 2}, {"board": "board2"}, model="dense")
    common = ("plan", tmp_path / "dense.tflite", "--boards", tight)
    refused(convert(*common, "--check", plan, *QUICK), "stage 1 on board2 needs 1", "MiB of 12.0", "Move a cut")
    refused(convert(*common, "--max-boards", "1", *QUICK), "Without the wished cuts, pins and numbers")


@pytest.mark.parametrize(
    ("until", "says"),
    [
        ("nonsense", "'nonsense' is neither a layer, a tensor nor a cut index"),
        (15, "cut index 15 does not exist: this model has cuts 1 to 14"),
    ],
)
def test_plan_with_a_wrong_cut_is_refused_before_anything_is_measured(
    convert: Convert, model: Path, boards_file: Path, tmp_path: Path, until: object, says: str
) -> None:
    plan = write_plan(tmp_path / "plan.yaml", {"board": "board1", "until": until}, {"board": "board2"})
    refused(convert("plan", model, "--boards", boards_file, "--check", plan), says)
    refused(convert("split", model, "--plan", plan, "--out", tmp_path / "parts"), says)
    assert not (tmp_path / "parts").exists()


def test_plan_for_other_boards_is_refused_with_those_that_there_are(
    convert: Convert, model: Path, boards_file: Path, tmp_path: Path
) -> None:
    plan = write_plan(tmp_path / "plan.yaml", {"board": "pi8", "until": 3}, {"board": "board2"})
    done = convert("plan", model, "--boards", boards_file, "--check", plan)
    refused(done, "the plan uses pi8, which the boards do not name. They are: board1, board2.")


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "saved_model"])
def test_keras_model_cannot_be_planned_but_is_told_how(
    convert: Convert, boards_file: Path, tmp_path: Path, name: str
) -> None:
    if name == "saved_model":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(b"")
    done = convert("plan", tmp_path / name, "--boards", boards_file)
    refused(done, f"python -m converter split {tmp_path / name} --boards boards.yaml --out parts/")


# In place of a boards.yaml: nobody is asked before options have been looked at.
NOBODY = "127.0.0.1:1,127.0.0.1:2"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pin", "0"], ["--pin is '0', expected PART=BOARD as in 0=pi1"]),
        (["--pin", "one=pi1"], ["--pin is 'one=pi1'"]),
        (["--pin", "0=127.0.0.1:1", "--pin", "0=127.0.0.1:2"], ["part 0 is pinned twice"]),
        (["--pin", "0=pi9"], ["parts are pinned to pi9; the boards are 127.0.0.1:1, 127.0.0.1:2."]),
        (["--pin", "5=127.0.0.1:1"], ["5=127.0.0.1:1 cannot be met: there are 2 parts at most"]),
        (["--chains", "3"], ["3 chains need 3 boards, and 2 boards may be used"]),
        (["--chains", "2", "--objective", "latency"], ["2 chains side by side are for throughput only"]),
        (["--stages", "2", "--group-size", "2"], ["2 stages of groups of 2 boards need 4 boards, and 2 boards may be"]),
        (["--stages", "auto", "--objective", "energy"], ["groups of boards are planned for throughput or latency"]),
        (
            ["--group-size", "auto", "--chains", "2", "--pin", "0=127.0.0.1:1", "--cut-at", "3"],
            ["--cut-at and --chains and --pin cannot be used with --group-size", "Drop one or the other"],
        ),
        (["--boards", "127.0.0.1:1,127.0.0.1:1"], ["127.0.0.1:1 is named twice"]),
        (["--boards", "127.0.0.1:1,nonsense"], ["'nonsense' is not HOST:PORT"]),
        (["--insecure", "--credentials", "nowhere"], ["--credentials and plaintext exclude each other"]),
        ([], ["board 127.0.0.1:1: ", "does not answer", "127.0.0.1:2 does not answer"]),
    ],
)
def test_wishes_and_boards_that_make_no_sense_are_refused_by_both_commands(
    convert: Convert, model: Path, tmp_path: Path, arguments: list[str], says: list[str]
) -> None:
    common = ("--boards", NOBODY, *arguments)
    for done in (
        convert("plan", model, *common),
        convert("split", model, "--out", tmp_path / "parts", *common),
    ):
        assert (done.code, done.out) == (1, "")
        for words in says:
            assert words in done.err
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--boards", NOBODY, "--parts", "2"], ["--boards and --parts were said", "--boards goes with --cut-at"]),
        (["--boards", NOBODY, "--plan", "p.yaml"], ["--boards and --plan"]),
        (["--plan", "p.yaml", "--cut-at", "3"], ["--cut-at and --plan"]),
        (["--parts", "2", "--objective", "latency"], ["--objective cannot be used without --boards"]),
        (["--parts", "2", "--pin", "0=pi1", "--fresh"], ["--pin and --fresh cannot be used without --boards"]),
        (["--cut-at", "3", "--max-boards", "1", "--chains", "1"], ["--max-boards and --chains cannot be used without"]),
        (
            ["--parts", "2", "--stages", "2", "--group-size", "auto"],
            ["--stages and --group-size cannot be used without"],
        ),
        (["--plan", "missing.yaml"], ["missing.yaml does not exist. Write one"]),
        (["--boards", "missing.yaml"], ["missing.yaml does not exist. Write one"]),
    ],
)
def test_split_refuses_options_that_clash_naming_them(
    convert: Convert, model: Path, tmp_path: Path, arguments: list[str], says: list[str]
) -> None:
    done = convert("split", model, "--out", tmp_path / "parts", *arguments)
    assert (done.code, done.out) == (1, "")
    for words in says:
        assert words in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--check", "p.yaml", "--cut-at", "3"], ["--cut-at cannot be used with --check"]),
        (["--check", "p.yaml", "--pin", "0=a", "--chains", "1"], ["--chains and --pin cannot be used with --check"]),
        (["--plot", "plan.gif"], ["plan.gif ends in '.gif', expected .svg, .png, .pdf"]),
        (["--plot", "nowhere/plan.svg"], ["nowhere/plan.svg cannot be written: its directory does not exist"]),
        (["--out", "nowhere/plan.yaml"], ["nowhere/plan.yaml cannot be written: its directory does not exist"]),
        (["--out", "/"], ["/ cannot be written: it is a directory"]),
        (["--check", "missing.yaml"], ["missing.yaml does not exist"]),
        (["--cut-at", "3,,5"], ["--cut-at is '3,,5'"]),
        (["--cut-at", "9,3"], ["'9' (cut 9) was given before '3' (cut 3)"]),
    ],
)
def test_plan_refuses_options_that_clash_or_lead_nowhere_before_it_measures(
    convert: Convert, model: Path, arguments: list[str], says: list[str]
) -> None:
    done = convert("plan", model, "--boards", NOBODY, *arguments)
    assert (done.code, done.out) == (1, "")
    for words in says:
        assert words in done.err


@pytest.mark.parametrize(
    "arguments", [["--objective", "speed"], ["--max-boards", "0"], ["--chains", "0"], ["--confidence", "1"]]
)
def test_impossible_value_is_explained_with_status_2(convert: Convert, model: Path, arguments: list[str]) -> None:
    done = convert("plan", model, "--boards", NOBODY, *arguments)
    assert (done.code, done.out) == (2, "")
    assert arguments[0] in done.err


def test_wrong_boards_file_is_refused_with_its_lines(convert: Convert, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text("boards:\n  - name: pi1\n    address: 10.0.0.11:50051\n    threads: none\n  - name: pi2\n")
    for command in (("plan", model), ("split", model, "--out", tmp_path / "parts")):
        done = convert(*command, "--boards", path)
        assert done.code == 1
        assert f"{path}:4: boards/0/threads" in done.err
        assert f"{path}:5: boards/1: 'address' is a required property" in done.err


def test_energy_is_refused_where_boards_have_no_sensor(convert: Convert, model: Path, boards_file: Path) -> None:
    done = convert("plan", model, "--boards", boards_file, "--objective", "energy", *QUICK)
    refused(done, "board1, board2 have no energy sensor", "throughput or latency")


def test_plan_that_cannot_be_written_is_an_error(
    convert: Convert, model: Path, boards: LocalBoards, tmp_path: Path
) -> None:
    one = write_boards(tmp_path / "boards.yaml", boards, 1)
    plan = write_plan(tmp_path / "plan.yaml", {"board": "board1"})
    done = convert("plan", model, "--boards", one, "--check", plan, "--out", "/dev/full", *QUICK)
    refused(done, "/dev/full cannot be written", "No space left")


def test_interrupted_plan_leaves_nothing_on_the_boards(boards: LocalBoards, boards_file: Path, tmp_path: Path) -> None:
    (tmp_path / "dense.tflite").write_bytes(dense_file())
    command = [sys.executable, "-m", "converter", "plan", str(tmp_path / "dense.tflite"), "--boards", str(boards_file)]
    options = ["--confidence", "0.5", "--budget-s", "0.3", "--chains", "1", "--max-boards", "1"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    named = boards.named[:2]
    deadline_s = time.monotonic() + 60
    while not any(map(trials_on, named)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode in (130, 1)
    assert out == ""
    assert "Traceback" not in err
    assert not any(map(trials_on, named))


def test_model_of_several_inputs_is_planned_and_run(
    convert: Convert, boards: LocalBoards, boards_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "parts"
    source = zoo_file("two_inputs", "float32")
    n_ops = len(load_zoo_model("two_inputs", "float32").graph.operators)
    cut = str(n_ops // 2)
    done = convert("split", source, "--boards", boards_file, "--cut-at", cut, "--chains", "1", "--out", out, *QUICK)
    assert (done.code, done.err) == (0, "")
    bundle = open_bundle(out)
    x, expected = bundle.load_sample()
    with Dispatcher(bundle, str(boards_file)) as dispatcher:
        answer = dispatcher.infer(x)
    assert np.array_equal(single(answer), next(iter(expected.values())))


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5", ""])
@pytest.mark.parametrize("option", ["--stages", "--group-size"])
def test_number_of_stages_or_boards_that_is_none_is_refused(
    convert: Convert, model: Path, option: str, value: str
) -> None:
    done = convert("plan", model, "--boards", NOBODY, option, value)
    assert (done.code, done.out) == (2, "")
    said = " ".join(done.err.replace("│", " ").split())
    assert f"Invalid value for '{option}'" in said
    assert f"'{value}' is neither a number of 1 or more nor auto." in said


def test_more_stages_than_the_model_has_places_are_refused(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "dense.tflite").write_bytes(dense_file())
    nobody = ",".join(f"127.0.0.1:{port}" for port in range(1, 10))
    done = convert("plan", tmp_path / "dense.tflite", "--boards", nobody, "--stages", "9", "--insecure")
    refused(done, "9 stages need 8 cuts, and dense has ", "Ask for ", " stages at most")


def test_groups_in_a_chain_are_planned_split_explained_and_run(
    convert: Convert, boards: LocalBoards, tmp_path: Path
) -> None:
    out, three = tmp_path / "parts", write_boards(tmp_path / "boards.yaml", boards, 3, group="alike")
    file = zoo_file("residual", "int8")
    wishes = ("--boards", three, "--stages", "2", "--group-size", "auto", *QUICK)
    done = convert("plan", file, *wishes, "--explain", "--out", tmp_path / "plan.yaml")
    assert (done.code, done.err) == (0, "")
    assert "the best that was found of groups of boards in this order" in done.out
    assert "with one chain of single boards at best " in done.out
    assert " chains side by side at best " in done.out
    assert "with one group of boards for the whole model" in done.out
    (chain,) = read_plan(tmp_path / "plan.yaml").chains
    assert len(chain.stages) == 2

    done = convert("split", file, *wishes, "--objective", "latency", "--out", out)
    assert (done.code, done.err) == (0, "")
    bundle = open_bundle(out)
    plan = bundle.plan()
    assert plan is not None
    assert len(plan.chains[0].stages) == 2
    x = random_inputs(bundle, 0)
    with Dispatcher(bundle, str(three)) as dispatcher:
        assert named(dispatcher, dispatcher.infer(x)) == run_whole(bundle, x)
