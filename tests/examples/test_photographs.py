"""The examples for photographs, as a user starts them, on node services of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from bundle.image_input import PRESETS
from dispatcher_client import Dispatcher
from dispatcher_client.photographs import as_input, best_classes, classify_photographs
from examples import camera
from examples.detect_objects import LEAST_SCORE, Found, decode, draw, find_objects
from examples.local_boards import LocalBoards
from tests.photographs import photograph, photograph_bundle

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120
OBJECTS = ["pear", "plum"]
N_FRAMES = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, boards: LocalBoards) -> Path:
    """A user's directory: parts/, a detector's parts/, boards.yaml and photos/."""
    root = tmp_path_factory.mktemp("place")
    photograph_bundle(root / "parts")
    photograph_bundle(root / "detector", "yolo_neck", image_input=PRESETS["unit"], labels=OBJECTS)
    lines = [f"  - name: {b.name}\n    address: {b.address}\n" for b in boards.boards]
    (root / "boards.yaml").write_text("boards:\n" + "".join(lines))
    (root / "photos").mkdir()
    for index in range(6):
        photograph(index, 320, 240).save(root / "photos" / f"{index}.jpg", quality=95)
    return root


def run_example(name: str, *arguments: object, place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *map(str, arguments)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def write_video(directory: Path, photographs: Iterable[int], per_second: int = 10) -> Path:
    video = directory / "video.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), per_second, (64, 48))
    for index in photographs:
        writer.write(np.asarray(photograph(index))[..., ::-1])
    writer.release()
    return video


def best_of(place: Path, boards: LocalBoards) -> dict[str, str]:
    """The likeliest label of each photograph."""
    with Dispatcher(place / "parts", boards.named) as chain:
        seen = list(classify_photographs(chain, sorted((place / "photos").iterdir()), 1))
    return {one.path.name: one.classes[0].label for one in seen}


def test_folder_is_sorted_by_what_the_boards_see(place: Path, boards: LocalBoards) -> None:
    done = run_example("classify_folder", "parts", "boards.yaml", "photos", place=place)
    assert (done.returncode, done.stderr) == (0, "")
    printed = {
        name: line.partition(":")[0] for line in done.stdout.splitlines() for name in re.findall(r"\d\.jpg", line)
    }
    assert printed == best_of(place, boards)


def test_folder_with_a_damaged_photograph_is_sorted_but_for_that(place: Path, tmp_path: Path) -> None:
    photograph(1).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = run_example("classify_folder", "parts", "boards.yaml", tmp_path, place=place)
    assert (done.returncode, "good.png" in done.stdout, "bad.png" in done.stderr) == (1, True, True)


def test_camera_answers_the_newest_frames_in_order_and_drops_the_rest(place: Path, tmp_path: Path) -> None:
    """More frames a second than three processes that share two cores can answer, and a last one that they must."""
    video = write_video(tmp_path, range(N_FRAMES), per_second=1000)
    done = run_example("camera", "parts", "boards.yaml", video, place=place)
    assert done.returncode == 0, done.stderr
    *answers, summary = done.stdout.splitlines()
    numbers = [int(re.match(r"frame (\d+): class \w \d\.\d\d$", line)[1]) for line in answers]  # type: ignore[index]
    read, dropped = map(int, re.findall(r"\d+", summary))
    assert read == N_FRAMES
    assert len(numbers) == read - dropped
    assert dropped > 0
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == N_FRAMES - 1


def test_camera_shows_what_the_chain_says_of_that_very_frame(place: Path, boards: LocalBoards, tmp_path: Path) -> None:
    """One frame, in colours that an exchange of red and blue would change."""
    video = write_video(tmp_path, [3])
    _, bgr = cv2.VideoCapture(str(video)).read()
    with Dispatcher(place / "parts", boards.named) as chain:
        answer = chain.infer(as_input(chain.manifest, np.ascontiguousarray(bgr[..., ::-1])))
        (best,) = best_classes(chain.manifest, answer, 1)
    done = run_example("camera", "parts", "boards.yaml", video, place=place)
    assert done.stdout == f"frame 0: {best.label} {best.score:.2f}\n1 frames, 0 dropped\n"


def test_camera_that_falls_silent_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Silent(camera.LatestFrames):
        def _read(self) -> None:
            """As a camera that was pulled out: nothing comes, and it has not ended."""

    monkeypatch.setattr(camera, "_SILENCE_S", 0.1)
    with (
        Silent(str(write_video(tmp_path, [0]))) as frames,
        pytest.raises(TimeoutError, match="has given no frame"),
    ):
        next(iter(frames))


def test_camera_that_is_not_there_is_named(place: Path) -> None:
    done = run_example("camera", "parts", "boards.yaml", "no.avi", place=place)
    assert (done.returncode, "no.avi cannot be opened" in done.stderr) == (1, True)


def test_notebook_runs_and_shows_what_the_boards_see(
    place: Path, boards: LocalBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "examples" / "photographs.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without what it once showed"
    nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(place)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    printed = "".join(output.get("text", "") for output in outputs)
    for name, label in best_of(place, boards).items():
        assert f"{name} {label} " in printed


def test_detector_prints_what_it_finds_and_draws_it(place: Path, tmp_path: Path) -> None:
    photo, picture = place / "photos" / "0.jpg", tmp_path / "found.png"
    done = run_example("detect_objects", "detector", "boards.yaml", photo, picture, place=place)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines
    scores = [float(line.split()[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] >= LEAST_SCORE - 0.005
    before, after = np.asarray(Image.open(photo)), np.asarray(Image.open(picture))
    assert before.shape == after.shape
    assert (before != after).any()


def head_with(objects: Mapping[int, Sequence[float]], n_cells: int) -> np.ndarray:
    """(1, cells * 2 anchors, 7), silent but for these rows."""
    head = np.zeros((1, 2 * n_cells, 7), np.float32)
    for row, fields in objects.items():
        head[0, row] = fields
    return head


def test_boxes_are_where_the_head_says_and_of_overlapping_ones_the_surest_stays() -> None:
    """A 24 x 24 input and a grid of 3 x 3 cells of 8 pixels; row 8 is the first anchor, of 1.5 cells, of the middle cell.

    A field of 0.5 is the cell's middle, and the anchor's own size.
    """
    middle = 8
    head = head_with({middle: (0.5, 0.5, 0.5, 0.5, 0.9, 0.1, 1.0)}, 9)
    boxes, scores = decode(head[0], (24, 24))
    assert boxes[middle].tolist() == [6, 6, 12, 12]
    np.testing.assert_allclose(scores[middle], [0.09, 0.9], rtol=1e-6)
    fine = {
        0: (0.5, 0.5, 0.5, 0.5, 0.8, 1.0, 0.0),  # a pear in the corner
        2 * (6 * 12 + 6): (0.0, 0.0, 0.9, 0.9, 0.7, 0.0, 1.0),  # the plum in the middle once more, less sure
    }
    heads = {"coarse": head, "fine": head_with(fine, 144)}
    found = find_objects(heads, OBJECTS, (24, 24))
    assert [(one.label, one.box) for one in found] == [("plum", (6, 6, 12, 12)), ("pear", (-0.5, -0.5, 3, 3))]
    assert [one.score for one in found] == pytest.approx([0.9, 0.8])


def test_wide_inputs_have_wide_grids() -> None:
    """48 x 24 pixels in cells of 8: 6 columns, 3 rows."""
    boxes, _ = decode(np.full((36, 7), 0.5, np.float32), (48, 24))
    assert boxes[2 * 7].tolist() == [6, 6, 12, 12]


def test_nothing_is_found_where_the_head_is_silent() -> None:
    assert find_objects({"coarse": head_with({}, 9)}, OBJECTS, (24, 24)) == []


def test_boxes_are_drawn_around_objects() -> None:
    picture = draw(Image.new("RGB", (100, 100)), [Found((20, 30, 40, 50), "pear", 0.9)], OBJECTS)
    pixels = np.asarray(picture)
    assert pixels[60, 20].any()
    assert pixels[60, 60].any()
    assert not pixels[60, 40].any()
