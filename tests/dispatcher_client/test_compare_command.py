"""`compare` as a user types it, on real node services."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle import Bundle
from tests.bundles import zoo_file
from tests.photographs import photograph, photograph_bundle

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("int8") / "parts"
    return photograph_bundle(out, mode="int8", taps=["re_lu_1"], taps_boundaries=True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    directory = tmp_path / "photos"
    directory.mkdir()
    for index in range(6):
        photograph(index).save(directory / f"{index}.png")
    return directory


def test_photographs_through_an_int8_chain_against_the_float_model(
    run: Run, boards_file: str, int8: Bundle, photos: Path, tmp_path: Path
) -> None:
    against, picture = str(zoo_file("residual", "float32")), tmp_path / "differences.png"
    given = ("compare", str(int8.path), "--boards", boards_file, "--data", str(photos), "--against", against)
    status, out, err = run(*given, "--plot", str(picture))
    assert (status, err) == (0, "")
    assert f"residual-int8, codec auto, against {against}: 6 inputs" in out
    for words in ("re_lu_1", "board1", "board3", "SQNR dB", "probabilities (output)", "the first choice agrees for"):
        assert words in out
    with Image.open(picture) as image:
        assert min(image.size) > 500
    status, out, _ = run(*given, "--json")
    found = json.loads(out)
    (chain,) = found["chains"]
    assert (chain["codec"], chain["inputs"], found["against"]) == ("auto", 6, against)
    assert [Path(name).name for name in found["inputs"]] == [f"{index}.png" for index in range(6)]
    names = [tensor["name"] for tensor in chain["tensors"]]
    assert "re_lu_1" in names
    assert names[-1] == "probabilities"
    assert set(found["boards"]) == set(names)
    assert found["boards"]["probabilities"] == "board3"
    assert all(tensor["rmse"] > 0 and tensor["cosine"] > 0.9 for tensor in chain["tensors"])
    assert found["not_compared"] == {}


def test_codecs_are_compared_side_by_side_with_the_bundles_own_model(
    run: Run, boards_file: str, zoo_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = zoo_bundle("residual", "float32")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).random((5, 24, 24, 3), np.float32))
    given = ("compare", str(bundle.path), "--boards", boards_file, "--data", str(tmp_path / "x.npy"))
    status, out, err = run(*given, "--codec", "auto", "--codec", "zfp:0.1", "--plot", str(tmp_path / "codecs.svg"))
    assert (status, err) == (0, "")
    assert "codec auto, against its own whole model: 5 inputs" in out
    assert "codec zfp:0.1, against its own whole model: 5 inputs" in out
    assert "exact" in out
    assert "the bundle has no taps" in out
    assert "</svg>" in (tmp_path / "codecs.svg").read_text()
    status, out, _ = run(*given, "--codec", "raw", "--json")
    (chain,) = json.loads(out)["chains"]
    (output,) = chain["tensors"]
    assert (output["largest"], output["sqnr_db"], output["agreement"]["top1"]) == (0.0, None, 1.0)


def test_boards_of_chains_side_by_side_are_named_for_each(
    run: Run, boards_file: str, two_chains: Bundle, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(1).random((8, 24, 24, 3), np.float32))
    status, out, _ = run(
        "compare", str(two_chains.path), "--boards", boards_file, "--data", str(tmp_path / "x.npy"), "--json"
    )
    found = json.loads(out)
    assert status == 0
    assert found["boards"] == {"probabilities": "board2 | board3"}
    assert found["chains"][0]["tensors"][0]["largest"] == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--data", "{x}", "--against", "model.keras"), "nothing at model.keras"),
        (("--data", "{x}", "--against", "{neck}"), "has nothing to compare"),
        (("--data", "{x}", "--against", "{mlp}"), "the model to compare with does not take what the chain takes"),
        (("--data", "{x}", "--data", "{x}"), "--data takes one .npy or .npz, or photographs"),
        (("--data", "{small}"), "has shape"),
        (("--data", "nowhere.npy"), "nowhere.npy cannot be read"),
        (("--data", "{x}", "--plot", "picture.bmp"), "expected .svg, .png or .pdf"),
        (("--data", "{x}", "--codec", "zip"), "zip"),
        (("--data", "{x}", "--against", "{broken}"), "cannot be used"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_boards_are_asked(
    run: Run, zoo_bundle: Callable[..., Bundle], tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 24, 24, 3), np.float32))
    np.save(tmp_path / "small.npy", np.zeros((2, 8, 8, 3), np.float32))
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    names = {
        "x": tmp_path / "x.npy",
        "small": tmp_path / "small.npy",
        "neck": zoo_file("yolo_neck", "float32"),
        "mlp": zoo_file("mlp", "float32"),
        "broken": tmp_path / "broken.tflite",
    }
    nobody = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"
    bundle = str(zoo_bundle("residual", "float32").path)
    status, _, err = run("compare", bundle, "--boards", nobody, *(text.format(**names) for text in more))
    assert status == 1
    assert said in " ".join(err.split())


def test_photographs_need_a_bundle_that_says_how_they_become_the_input(
    run: Run, zoo_bundle: Callable[..., Bundle], photos: Path, int8: Bundle
) -> None:
    boards = ("--boards", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", "--data", str(photos))
    status, _, err = run("compare", str(zoo_bundle("residual", "float32").path), *boards)
    assert (status, "does not say how images become the model's input" in err) == (1, True)
    (photos / "0.png").write_bytes(b"no picture")
    status, _, err = run("compare", str(int8.path), *boards)
    assert (status, "cannot read the image" in err) == (1, True)


def test_client_without_the_planners_packages_is_told_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch, int8: Bundle
) -> None:
    for module in [name for name in sys.modules if name.startswith(("dispatcher_client.comparison", "partitioning"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    status, _, err = run("compare", str(int8.path), "--boards", "127.0.0.1:1", "--data", "x.npy")
    assert status == 1
    assert "comparing needs the package flatbuffers" in err
    assert "pip install 'boardline[planner]'" in " ".join(err.split())
