"""What a user may call the model: a bundle, in the order that it counts, or a .tflite file; all else is told what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import Bundle
from planner.errors import SourceError
from planner.sources import open_model
from tests.bundles import load_zoo_model, zoo_file

MakeBundle = Callable[..., Bundle]


@pytest.mark.parametrize(("name", "mode"), [("residual", "int8"), ("inception", "float32"), ("unet", "float32")])
def test_bundle_and_file_give_the_operators_in_the_order_that_split_counts(
    zoo_bundle: MakeBundle, name: str, mode: str
) -> None:
    counted = [op.source_index for op in load_zoo_model(name, mode).graph.operators]
    of_bundle, of_file = open_model(zoo_bundle(name, mode).path), open_model(zoo_file(name, mode))
    for model in (of_bundle, of_file):
        assert [op.source_index for op in model.graph.operators] == counted
        assert model.name == f"{name}-{mode}"
    assert of_bundle.positions == of_file.positions


def test_keras_model_is_refused_with_the_command_that_makes_a_bundle(tmp_path: Path) -> None:
    for name in ("model.h5", "model.keras"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "saved_model").mkdir()
    for path in tmp_path.iterdir():
        with pytest.raises(SourceError, match=f"python -m converter split {path} --boards"):
            open_model(path)


@pytest.mark.parametrize("name", ["parts", "model.tflite", "model.h5"])
def test_path_where_nothing_is_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=f"there is nothing at {tmp_path / name}"):
        open_model(tmp_path / name)


def test_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(SourceError, match=r"model\.tflite cannot be used: not a TFLite file"):
        open_model(tmp_path / "model.tflite")
