"""Photographs through a chain of boards: what it sees is what the whole model sees, in order, and errors have their places."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle import Bundle
from bundle.image_input import PRESETS, complete_image_input
from bundle.photographs import read_photograph
from dispatcher_client import Dispatcher, InputError
from dispatcher_client.photographs import as_input, best_classes, classify_photographs
from dispatcher_client.values import from_tensors, to_tensors
from examples.local_boards import LocalBoards
from protos.v1.manifest_pb2 import Manifest
from protos.v1.tensor_pb2 import DType, TensorSpec
from runtime import Runner, load_runtime
from tests.photographs import LABELS, photograph, photograph_bundle
from transport.tensor_spec import Array

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    root = tmp_path_factory.mktemp("bundles")
    return {mode: photograph_bundle(root / mode, mode=mode) for mode in ("float32", "int8")}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photographs; the second and the last are damaged."""
    directory = tmp_path / "photos"
    directory.mkdir()
    for index in range(4):
        path = directory / f"{index}.png"
        photograph(index).save(path)
        if index % 2:
            path.write_bytes(path.read_bytes()[:60])
    return directory


def whole_answer(bundle: Bundle, path: Path) -> Array:
    """The whole model's scores, from the photograph's pixels and the manifest alone."""
    manifest = bundle.manifest
    tensors, is_real = to_tensors(manifest.inputs, read_photograph(path, manifest.image_input)[None])
    outputs = Runner(load_runtime(), bundle.file_path(manifest.whole)).run(tensors)
    return np.asarray(from_tensors(manifest.outputs, {manifest.outputs[0].name: outputs[0]}, is_real)).reshape(-1)


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_photographs_are_classified_as_by_the_whole_model_and_errors_keep_their_places(
    boards: LocalBoards, bundles: dict[str, Bundle], photos: Path, mode: str
) -> None:
    bundle = bundles[mode]
    paths = sorted(photos.iterdir())
    with Dispatcher(bundle, boards.named) as chain:
        seen = list(classify_photographs(chain, paths, 3))
        by_hand = chain.infer(as_input(chain.manifest, Image.open(paths[2])))
    assert [s.path for s in seen] == paths
    for index in (1, 3):
        assert (seen[index].classes, f"cannot read the image {paths[index]}" in seen[index].error) == ((), True)
    for index in (0, 2):
        scores = whole_answer(bundle, paths[index])
        best = np.argsort(-scores, kind="stable")[:3]
        assert [(c.index, c.label, c.score) for c in seen[index].classes] == [
            (i, LABELS[i], float(scores[i])) for i in best
        ]
    assert best_classes(bundle.manifest, by_hand, 3) == seen[2].classes


def test_infer_prints_a_table_and_an_error_line_for_what_cannot_be_read(
    run: Run, boards_file: str, bundles: dict[str, Bundle], photos: Path
) -> None:
    parts = str(bundles["int8"].path)
    status, out, err = run("infer", str(photos), "--bundle", parts, "--boards", boards_file, "--top", "2")
    assert status == 1
    assert [line.split(" (")[0] for line in err.splitlines()] == [
        f"error: cannot read the image {photos / name}" for name in ("1.png", "3.png")
    ]
    assert "2 photographs" in out
    assert sum(line.count("class ") for line in out.splitlines() if "score" not in line) == 4
    status, out, err = run("infer", parts, str(photos / "0.png"), str(photos / "2.png"), "--boards", boards_file)
    assert (status, err) == (0, "")


def test_infer_prints_a_json_line_for_each_photograph(
    run: Run, boards_file: str, bundles: dict[str, Bundle], photos: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    more = ("--bundle", str(bundles["float32"].path), "--boards", boards_file, "--json", "--trace", str(trace))
    status, out, err = run("infer", str(photos), *more)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (1, "")
    assert [Path(line["path"]).name for line in lines] == ["0.png", "1.png", "2.png", "3.png"]
    assert [len(line["classes"]) for line in lines] == [5, 0, 5, 0]
    assert [bool(line["error"]) for line in lines] == [False, True, False, True]
    events = json.loads(trace.read_text())["traceEvents"]
    assert len({e["id"] for e in events if e.get("cat") == "request"}) == 3  # the sample, too, when the chain opened


def test_infer_refuses_what_it_cannot_answer(
    run: Run, boards_file: str, bundles: dict[str, Bundle], zoo_bundle: Callable[..., Bundle], photos: Path
) -> None:
    parts, photo = str(bundles["int8"].path), str(photos / "0.png")
    (photos / "empty").mkdir()
    for arguments, says in (
        ([], "no bundle was named"),
        ([parts], "neither was said: give photographs"),
        ([parts, photo, "--input", "x.npy"], "both were said"),
        ([parts, photo, "--output", "y.npz"], "--output goes with --input only"),
        ([parts, "--input", "x.npy", "--top", "2"], "--top goes with photographs only"),
        ([parts, str(photos / "empty")], "holds no images"),
        ([str(zoo_bundle("residual", "int8").path), photo], "Split the model again with --images"),
        ([str(zoo_bundle("yolo_neck", "float32").path), photo], "does not tell classes apart: it gives fine"),
    ):
        status, out, err = run("infer", *arguments, "--boards", boards_file)
        assert (status, out) == (1, "")
        assert says in err


def test_infer_names_what_is_missing_for_photographs(
    run: Run, boards_file: str, bundles: dict[str, Bundle], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bundle.photographs", "dispatcher_client.photographs"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "PIL", None)
    status, out, err = run("infer", str(photos), "--bundle", str(bundles["int8"].path), "--boards", boards_file)
    assert (status, out) == (1, "")
    assert (
        "reading photographs needs the package PIL, which is not installed here: pip install 'boardline[photographs]'"
        in err
    )


def test_input_of_whole_numbers_gets_pixels_that_fit_it() -> None:
    spec = TensorSpec(name="image", dtype=DType.UINT8, shape=[1, 4, 5])
    manifest = Manifest(inputs=[spec], image_input=complete_image_input(PRESETS["raw"], spec.shape))
    array = as_input(manifest, np.full((8, 8, 3), 77, np.uint8))
    assert (array.shape, array.dtype, set(array.ravel())) == ((1, 4, 5), np.uint8, {77})
    with pytest.raises(InputError, match="the image cannot become an input"):
        as_input(manifest, np.zeros((2, 2, 7), np.uint8))


@pytest.mark.parametrize(("dtype", "scores"), [("uint8", [0, 255, 7]), ("int8", [-128, 127, 3])])
def test_scores_in_whole_numbers_have_their_order(dtype: str, scores: list[int]) -> None:
    """0 and the least number of a signed type are their own negatives."""
    wire = {"uint8": DType.UINT8, "int8": DType.INT8}[dtype]
    manifest = Manifest(outputs=[TensorSpec(name="scores", dtype=wire, shape=[1, 3])])
    best = best_classes(manifest, np.array([scores], dtype), 3)
    assert [(one.index, one.score) for one in best] == [(1, max(scores)), (2, scores[2]), (0, min(scores))]
