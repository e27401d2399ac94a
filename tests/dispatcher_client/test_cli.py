"""The client's commands as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client.cli import main
from examples.local_boards import LocalBoards

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def boards_file(boards: LocalBoards, tmp_path: Path) -> str:
    lines = [f"  - name: {b.name}\n    address: {b.address}\n" for b in boards.boards]
    path = tmp_path / "boards.yaml"
    path.write_text("boards:\n" + "".join(lines))
    return str(path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; its exit status, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dispatcher_client", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def test_deploy_infer_status_and_undeploy_follow_one_another(
    run: Callable[..., tuple[int, str, str]], boards_file: str, zoo_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = zoo_bundle("yolo_neck", "float32")
    parts = str(bundle.path)
    status, out, _ = run("deploy", parts, "--boards", boards_file, "--json")
    assert status == 0
    deployed = json.loads(out)
    assert deployed["deployment_id"] == bundle.deployment_id
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
        (["deploy", "{bundle}", "--boards", "192.0.2.1:1,192.0.2.1:1,192.0.2.1:1"], ["plaintext", "--insecure"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "missing.npy"], ["missing.npy cannot be read"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "{wrong}"], ["shape [2, 2]", "expected image"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "{empty}"], ["empty.npy cannot be read"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "{objects}"], ["objects.npz cannot be read"]),
        (["infer", "{bundle}", "--boards", "{boards}", "--input", "{wrong}", "--output", "/none/y.npz"], ["not exist"]),
        (["bench", "{bundle}", "--boards", "{boards}", "--window", "0"], ["greater than or equal to 1"]),
        (["bench", "{bundle}", "--boards", "{boards}", "--codec", "gzip"], ["'gzip' is not one of raw, lz4"]),
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
