"""`profile` as a user types it: tables for people, flat rows for scripts, and what is missing said in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import Bundle
from dispatcher_client.cli import main
from examples.local_boards import LocalBoards
from planner.sources import open_model
from tests.planner.on_boards import trials_on

MakeBundle = Callable[..., Bundle]
Run = Callable[..., tuple[int, str, str]]
QUICK = ("--confidence", "0.5", "--budget-s", "0.05")

# The client's command line in an interpreter without a package.
WITHOUT = """
import sys
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name={package!r})
sys.meta_path.insert(0, Refuses())
from dispatcher_client.cli import main
main()
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `profile`; its exit status, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dispatcher_client", "profile", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def boards_file(boards: LocalBoards, tmp_path: Path) -> Path:
    """Two boards; the link between them is known."""
    lines = [f"  - {{name: {b.name}, address: '{b.address}', threads: 2}}\n" for b in boards.boards[:2]]
    path = tmp_path / "boards.yaml"
    path.write_text("boards:\n" + "".join(lines) + "links:\n  - {between: [board1, board2], mbit_s: 940}\n")
    return path


def test_rows_of_boards_pieces_links_and_codecs_are_printed_for_scripts(
    run: Run, boards: LocalBoards, boards_file: Path, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("chain", "float32")
    status, out, err = run(bundle.path, "--boards", boards_file, "--json", *QUICK)
    assert (status, err) == (0, "")
    rows = json.loads(out)
    assert list(rows) == ["boards", "pieces", "links", "codecs"]
    model = open_model(bundle.path)
    assert [row["board"] for row in rows["boards"]] == ["board1", "board2"]
    assert {row["threads"] for row in rows["boards"]} == {2}
    expected = [(b, model.segment(ops).sha256) for b in ("board1", "board2") for ops in model.pieces]
    assert [(row["board"], row["sha256"]) for row in rows["pieces"]] == expected
    assert len(rows["links"]) == 6
    (written, back) = [row for row in rows["links"] if not row["measured"]]
    assert written["mbit_s"] == back["mbit_s"] == pytest.approx(940)
    assert {row["board"] for row in rows["codecs"]} == {"board1", "board2"}
    assert all(trials_on(board) == [] for board in boards.named[:2])


def test_tables_are_printed_for_people(run: Run, boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    status, out, err = run(zoo_bundle("chain", "float32").path, "--boards", boards.addresses[0], *QUICK)
    assert (status, err) == (0, "")
    for words in ("chain-float32: ", "pieces on 1 boards", "links under gRPC, Mbit/s", "codecs on activations"):
        assert words in out
    assert boards.addresses[0] in out


def test_board_that_does_not_answer_is_named(run: Run, boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    nobody = f"{boards.addresses[0]},127.0.0.1:1"
    status, out, err = run(zoo_bundle("chain", "float32").path, "--boards", nobody, *QUICK)
    assert (status, out) == (1, "")
    assert err.startswith("error: board 127.0.0.1:1: 127.0.0.1:1 does not answer")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("model.h5", "python -m converter split"),
        ("missing.tflite", "there is nothing at"),
        ("broken.tflite", "broken.tflite cannot be used: not a TFLite file"),
    ],
)
def test_source_that_is_no_model_is_refused(run: Run, tmp_path: Path, source: str, says: str) -> None:
    if source != "missing.tflite":
        (tmp_path / source).write_bytes(b"nothing of the kind")
    status, out, err = run(tmp_path / source, "--boards", "127.0.0.1:1")
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert says in err


def test_bundle_that_is_damaged_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    status, _, err = run(tmp_path, "--boards", "127.0.0.1:1")
    assert status == 1
    assert "Split the model again" in err


def test_wrong_boards_file_is_refused_with_its_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "boards.yaml").write_text("boards:\n  - name: pi1\n")
    status, _, err = run(tmp_path / "model.tflite", "--boards", tmp_path / "boards.yaml")
    assert status == 1
    assert f"{tmp_path / 'boards.yaml'}:2: " in err


def test_board_named_twice_is_refused(run: Run, boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    twice = ",".join([boards.addresses[0]] * 2)
    status, _, err = run(zoo_bundle("chain", "float32").path, "--boards", twice)
    assert status == 1
    assert "is named twice" in err


@pytest.mark.parametrize("package", ["ai_edge_litert", "flatbuffers"])
def test_missing_package_is_named_with_the_extra_that_brings_it(package: str) -> None:
    command = [sys.executable, "-c", WITHOUT.format(package=package), "profile", "parts", "--boards", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: profiling needs the package {package}, which is not installed here: pip install 'boardline[planner]'.\n"
    )
