"""The client's commands as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from examples.local_boards import LocalBoards

MakeBundle = Callable[..., Bundle]


def test_deploy_infer_status_and_undeploy_follow_one_another(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = zoo_bundle("yolo_neck", "float32")
    parts = str(bundle.path)
    status, out, _ = run("deploy", parts, "--boards", boards_file, "--json")
    assert status == 0
    deployed = json.loads(out)
    assert deployed["deployment_ids"] == [bundle.deployment_id]
    assert [s["board"] for s in deployed["stages"]] == ["board1", "board2", "board3"]

    inputs, expected = bundle.load_sample()
    np.save(tmp_path / "x.npy", next(iter(inputs.values())))
    answer_file = tmp_path / "y.npz"
    status, out, _ = run(
        "infer", parts, "--boards", boards_file, "--input", str(tmp_path / "x.npy"), "--output", str(answer_file)
    )
    assert status == 0
    assert "coarse: float32" in out
    with np.load(answer_file) as answers:
        by_alias = {t.alias: t.name for t in bundle.manifest.outputs}
        assert set(answers.files) == set(by_alias)
        assert all(answers[alias].tobytes() == expected[name].tobytes() for alias, name in by_alias.items())

    status, out, _ = run("status", "--boards", boards_file, "--json")
    assert status == 0
    rows = json.loads(out)
    assert all(row["state"] == "serving" for row in rows)
    assert all(any(s["deployment_id"] == bundle.deployment_id for s in row["stages"]) for row in rows)
    assert "board1" in run("status", "--boards", boards_file)[1]

    status, out, _ = run("undeploy", parts, "--boards", boards_file, "--json")
    assert status == 0
    assert [row["unloaded_stages"] for row in json.loads(out)] == [1, 1, 1]


def test_infer_prints_json_for_scripts(
    run: Callable[..., tuple[int, str, str]], boards: LocalBoards, zoo_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = zoo_bundle("two_inputs", "float32")
    inputs, expected = bundle.load_sample()
    np.savez(tmp_path / "x.npz", **inputs)  # type: ignore[arg-type]
    addresses = ",".join(boards.addresses)
    status, out, _ = run("infer", str(bundle.path), "--boards", addresses, "--input", str(tmp_path / "x.npz"), "--json")
    assert status == 0
    (answer,) = json.loads(out).values()
    (whole,) = expected.values()
    assert np.array_equal(np.array(answer, np.float32), whole)


def test_bench_prints_throughput_bound_and_stages(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle
) -> None:
    parts = str(zoo_bundle("residual", "int8").path)
    status, out, err = run("bench", parts, "--boards", boards_file, "--frames", "20", "--codec", "lz4")
    assert status == 0
    assert err == ""
    for words in ("throughput", "of the bound", "p50", "p95", "p99", "one at a time", "board3", "bit-identical"):
        assert words in out
    status, out, _ = run("bench", parts, "--boards", boards_file, "--frames", "20", "--json")
    assert status == 0
    assert len(json.loads(out)["stages"]) == 3


def test_bench_draws_traces_and_compares_with_one_board(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle, tmp_path: Path
) -> None:
    parts = str(zoo_bundle("residual", "float32").path)
    picture, trace = tmp_path / "bench.svg", tmp_path / "trace.json"
    more = ("--plot", str(picture), "--trace", str(trace), "--one-board")
    status, out, _ = run("bench", parts, "--boards", boards_file, "--frames", "20", *more)
    assert status == 0
    for words in ("what an image costs", "no sensor", "all boards", "board1 alone would do"):
        assert words in out
    assert "stage 2: board3" in picture.read_text()
    assert len({e["id"] for e in json.loads(trace.read_text())["traceEvents"] if e.get("cat") == "request"}) == 20
    status, out, _ = run("bench", parts, "--boards", boards_file, "--frames", "5", "--json", "--metrics", "127.0.0.1:0")
    assert status == 0
    cost = json.loads(out)["cost"]
    assert [b["board"] for b in cost["boards"]] == ["board1", "board2", "board3"]
    assert cost["cpu_s_per_image"] > 0
    assert (cost["joules_per_image"], cost["one_board"]) == (None, None)
    for ending, words in (("bench.gif", "expected .svg, .png or .pdf"), ("nowhere/bench.svg", "does not exist")):
        status, _, err = run("bench", parts, "--boards", boards_file, "--plot", str(tmp_path / ending))
        assert (status, words in err) == (1, True)


def test_infer_writes_a_trace(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = zoo_bundle("residual", "float32")
    np.savez(tmp_path / "x.npz", **bundle.load_sample()[0])  # type: ignore[arg-type]
    trace = tmp_path / "trace.json"
    more = ("--input", str(tmp_path / "x.npz"), "--trace", str(trace), "--json")
    assert run("infer", str(bundle.path), "--boards", boards_file, *more)[0] == 0
    computed = [e for e in json.loads(trace.read_text())["traceEvents"] if e["name"] == "compute"]
    assert len(computed) % 3 == 0
    assert computed


def test_top_shows_every_board(run: Callable[..., tuple[int, str, str]], boards_file: str) -> None:
    few = ("--boards", boards_file, "--every-s", "0.2", "--looks", "2")
    status, out, _ = run("top", *few, "--json")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 2
    assert [board["board"] for board in rows[0]["boards"]] == ["board1", "board2", "board3"]
    status, out, _ = run("top", *few)
    assert status == 0
    assert "board3" in out


def test_bench_compares_the_answers_of_each_lossy_codec_and_says_on_what(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = zoo_bundle("residual", "float32")
    parts = [str(bundle.path), "--boards", boards_file, "--frames", "10"]
    status, out, err = run("bench", *parts, "--codec", "raw,q4,zfp:1e-3")
    assert (status, err) == (0, "")
    for words in ("lossless transport: 32 inputs", "top-1 agreement", "largest difference", "of the output's range"):
        assert words in out
    for words in ("q4", "zfp:0.001", "probabilities [1, 10]", "(argmax over axis 1)", "seeded random variations"):
        assert words in out
    assert "not through lossy codecs" in out

    several = np.random.default_rng(3).standard_normal((5, *bundle.manifest.inputs[0].shape[1:])).astype(np.float32)
    np.save(tmp_path / "several.npy", several)
    given = ["--codec", "q4", "--input", str(tmp_path / "several.npy"), "--json"]
    status, out, _ = run("bench", *parts, *given)
    assert status == 0
    figures = json.loads(out)
    assert figures["compared_inputs"] == "those given"
    assert figures["stages"][0]["codec_reason"] == "q4"  # ten frames are too few for a board to tell its reason again
    (effect,) = figures["codec_effects"]
    assert (effect["chain"], effect["codec"], effect["inputs"], effect["refusal"]) == (0, "q4", 5, "")
    (output,) = effect["outputs"]
    assert (output["output"], output["shape"], output["top1_axis"]) == ("probabilities", [1, 10], 1)
    assert 0 < output["largest_difference"] < 1
    assert output["share_of_range"] == pytest.approx(output["largest_difference"], rel=0.5)  # probabilities
    assert 0 <= output["top1_agreement"] <= 1

    status, out, _ = run("bench", *parts, "--codec", "lz4", "--json")
    assert (json.loads(out)["codec_effects"], json.loads(out)["compared_inputs"]) == ([], None)


def test_bench_compares_outputs_without_classes_by_their_differences(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle
) -> None:
    parts = str(zoo_bundle("yolo_neck", "float32").path)
    status, out, _ = run("bench", parts, "--boards", boards_file, "--frames", "5", "--codec", "half", "--json")
    assert status == 0
    (effect,) = json.loads(out)["codec_effects"]
    assert {o["output"] for o in effect["outputs"]} == {"coarse", "middle", "fine"}
    assert {o["top1_agreement"] for o in effect["outputs"]} == {None}
    assert all(0 < o["share_of_range"] < 0.01 for o in effect["outputs"])


def test_bench_of_a_batch_says_so(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = zoo_bundle("residual", "int8", 3, 4)
    (sample,) = bundle.load_sample()[0].values()
    np.save(tmp_path / "one.npy", sample[:1])
    parts = [str(bundle.path), "--boards", boards_file, "--frames", "10", "--batch-wait-ms", "2"]
    status, out, _ = run("bench", *parts, "--input", str(tmp_path / "one.npy"))
    assert status == 0
    assert "10 frames of 4 images" in out
    assert "images/s" in out
    status, out, _ = run("bench", *parts, "--json")
    assert status == 0
    assert json.loads(out)["batch"] == 4


def test_status_names_the_board_that_is_down_and_exits_with_1(
    run: Callable[..., tuple[int, str, str]], boards: LocalBoards
) -> None:
    status, out, _ = run("status", "--boards", f"{boards.addresses[0]},127.0.0.1:1", "--json")
    assert status == 1
    up, down = json.loads(out)
    assert up["state"] == "serving"
    assert "127.0.0.1:1 does not answer" in down["error"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ["deploy", "{bundle}", "--boards", "missing.yaml"],
            ["missing.yaml does not exist", "address: 10.0.0.11:50051"],
        ),
        (["deploy", "no-such-bundle", "--boards", "127.0.0.1:1"], ["no-such-bundle", "converter split"]),
        (["deploy", "{bundle}", "--boards", "127.0.0.1:1"], ["3 partitions", "--parts 1"]),
        (["deploy", "{bundle}", "--boards", "127.0.0.1:1,127.0.0.1:1,127.0.0.1:1"], ["does not answer"]),
        (
            ["deploy", "{bundle}", "--boards", "192.0.2.1:1,192.0.2.1:1,192.0.2.1:1"],
            ["192.0.2.1:1", "does not answer", "TLS"],
        ),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "missing.npy"], ["missing.npy cannot be read"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "{wrong}"], ["shape [2, 2]", "expected image"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "{empty}"], ["empty.npy cannot be read"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "{objects}"], ["objects.npz cannot be read"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "{wrong}", "--output", "/none/y.npz"], ["not exist"]),
        (["bench", "{bundle}", "--boards", "{boards}", "--window", "0"], ["greater than or equal to 1"]),
        (
            ["bench", "{bundle}", "--boards", "{boards}", "--codec", "gzip"],
            ["unknown codec 'gzip': expected one of raw, lz4"],
        ),
    ],
)
def test_wrong_call_ends_with_one_clear_error(
    run: Callable[..., tuple[int, str, str]],
    boards_file: str,
    zoo_bundle: MakeBundle,
    tmp_path: Path,
    command: list[str],
    words: list[str],
) -> None:
    np.save(tmp_path / "wrong.npy", np.zeros((2, 2), np.float32))
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez(tmp_path / "objects.npz", image=np.array([{}], object))
    places = {"bundle": zoo_bundle("residual", "float32").path, "boards": boards_file}
    places |= {"wrong": tmp_path / "wrong.npy", "empty": tmp_path / "empty.npy", "objects": tmp_path / "objects.npz"}
    status, out, err = run(*(part.format(**places) for part in command))
    assert status != 0
    assert out == ""
    assert "Traceback" not in err
    assert all(word in err.replace("\n", " ") for word in words), err


@pytest.fixture
def plan_file(two_chains: Bundle, tmp_path: Path) -> str:
    """The plan of the bundle with two chains, their boards exchanged."""
    text = (two_chains.path / "plan.yaml").read_text(encoding="utf-8")
    path = tmp_path / "plan.yaml"
    path.write_text(text.replace("board3", "other").replace("board1", "board3").replace("other", "board1"))
    return str(path)


def test_commands_follow_a_plan_of_two_chains(
    run: Callable[..., tuple[int, str, str]], boards_file: str, two_chains: Bundle, plan_file: str, tmp_path: Path
) -> None:
    parts = str(two_chains.path)
    status, out, _ = run("deploy", parts, "--boards", boards_file, "--plan", plan_file, "--json")
    assert status == 0
    deployed = json.loads(out)
    assert deployed["deployment_ids"] == [s.deployment_id for s in two_chains.splittings]
    places = [(s["chain"], s["stage"], s["board"]) for s in deployed["stages"]]
    assert places == [(0, 0, "board3"), (0, 1, "board2"), (1, 0, "board1")]
    status, out, _ = run("deploy", parts, "--boards", boards_file, "--plan", plan_file)
    assert "are loaded" in out
    assert "chain" in out

    inputs, expected = two_chains.load_sample()
    np.savez(tmp_path / "x.npz", **inputs)  # type: ignore[arg-type]
    arguments = ("--boards", boards_file, "--plan", plan_file, "--input", str(tmp_path / "x.npz"), "--json")
    status, out, _ = run("infer", parts, *arguments)
    assert status == 0
    (answer,) = json.loads(out).values()
    assert np.array_equal(np.array(answer, np.int8), next(iter(expected.values())))

    status, out, err = run("bench", parts, "--boards", boards_file, "--plan", plan_file, "--frames", "20")
    assert (status, err) == (0, "")
    for words in (
        "chain 0: ",
        "chain 1: ",
        "the sum over the chains",
        " in flight at the end",
        "queueing adds ",
        "board3",
    ):
        assert words in out

    status, out, _ = run("undeploy", parts, "--boards", boards_file)
    assert status == 0
    assert "are unloaded" in out
    rows = json.loads(run("status", "--boards", boards_file, "--json")[1])
    ours = {s.deployment_id for s in two_chains.splittings}
    assert not any(stage["deployment_id"] in ours for row in rows for stage in row["stages"])


def test_chains_are_not_mentioned_when_there_is_one(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle
) -> None:
    parts = str(zoo_bundle("mlp", "int8").path)
    for command in (["deploy"], ["bench", "--frames", "5"]):
        status, out, _ = run(command[0], parts, "--boards", boards_file, *command[1:])
        assert status == 0
        assert "chain" not in out.replace("chains", "")


def test_boards_missing_from_the_bundles_plan_are_told_in_one_line(
    boards: LocalBoards, two_chains: Bundle, tmp_path: Path
) -> None:
    addresses = ",".join(boards.addresses)  # addresses are names of their own
    command = [
        sys.executable,
        "-m",
        "dispatcher_client",
        "deploy",
        str(two_chains.path),
        "--boards",
        addresses,
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert len(json.loads(done.stdout)["stages"]) == 2
    assert done.stderr.count("\n") == 1
    assert "needs board1, board2, board3, not among the boards given (127.0.0.1:" in done.stderr


def test_plan_that_does_not_fit_ends_with_a_clear_error(
    run: Callable[..., tuple[int, str, str]], boards_file: str, two_chains: Bundle, plan_file: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(Path(plan_file).read_text().replace("until: 9", "until: 8").replace("board2", "attic"))
    parts = str(two_chains.path)
    np.save(tmp_path / "x.npy", np.zeros(1))
    for command, *options in (["deploy"], ["infer", "--input", str(tmp_path / "x.npy")], ["bench"]):
        status, out, err = run(command, parts, "--boards", boards_file, "--plan", str(broken), *options)
        assert (status, out) == (1, "")
        assert "attic is not among the boards given" in err
        assert "python -m converter split MODEL --plan FILE" in err
    broken.write_text("chains: []")
    status, _, err = run("deploy", parts, "--boards", boards_file, "--plan", str(broken))
    assert status == 1
    assert "broken.yaml:1: " in err
