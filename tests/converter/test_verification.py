"""Verifying a bundle: it notices one changed byte in a partition, in the whole model and in the recorded answer."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle import Bundle, BundleError, BundleWriter, open_bundle
from bundle.manifest import render_manifest
from converter.convert import ConvertedModel
from converter.split_model import LoadedModel, SplitRequest, split_model
from converter.verification import verify_bundle
from protos.v1.manifest_pb2 import ModelFile
from runtime import load_runtime
from tests.bundles import ignore_progress, make_bundle
from tests.converter.changed_weights import with_one_byte_changed
from tests.partitioning.graph_builder import ModelBuilder

RUNTIME = load_runtime()


@pytest.fixture(scope="module", params=[("residual", "int8"), ("chain", "float32"), ("yolo_neck", "int8")])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    name, mode = request.param
    return make_bundle(tmp_path_factory.mktemp("sound") / "out", name, mode, parts=3)


@pytest.fixture
def bundle(sound: Bundle, tmp_path: Path) -> Bundle:
    """A copy to change."""
    return open_bundle(shutil.copytree(sound.path, tmp_path / "copy"))


def save(bundle: Bundle) -> Bundle:
    """The bundle with its changed manifest, as somebody would find it."""
    (bundle.path / "manifest.json").write_text(render_manifest(bundle.manifest))
    return open_bundle(bundle.path)


def change_weight(bundle: Bundle, file: ModelFile) -> None:
    path = bundle.file_path(file)
    changed = with_one_byte_changed(path.read_bytes())
    path.write_bytes(changed)
    file.sha256 = hashlib.sha256(changed).hexdigest()


def change_recorded_answer(bundle: Bundle, name: str) -> None:
    path = bundle.path / bundle.manifest.sample.path
    with np.load(path) as stored:
        arrays = {key: stored[key].copy() for key in stored.files}
    arrays[f"output:{name}"].view(np.uint8).flat[0] ^= 1
    np.savez(path, **arrays)
    bundle.manifest.sample.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()


def test_sound_bundle_is_identical_in_every_way(sound: Bundle) -> None:
    result = verify_bundle(sound, RUNTIME)
    assert result.is_identical
    assert (result.differing, result.differing_from_record) == ((), ())
    outputs = sound.load_sample()[1]
    assert result.compared_bytes == sum(array.nbytes for array in outputs.values()) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_bundle_is_verified_with_any_number_of_threads(sound: Bundle, threads: int) -> None:
    assert not verify_bundle(sound, RUNTIME, threads).differing


def test_changed_weight_of_a_partition_is_noticed_though_its_hash_was_updated(bundle: Bundle) -> None:
    change_weight(bundle, bundle.splittings[0].partitions[0].file)
    result = verify_bundle(save(bundle), RUNTIME)
    assert not result.is_identical
    assert set(result.differing) <= {t.alias for t in bundle.manifest.outputs}
    assert result.differing
    assert result.differing_from_record == ()


def test_splitting_that_differs_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "out", "residual", "int8", cut_lists=[["9"], ["12"], []])
    change_weight(bundle, bundle.splittings[1].partitions[0].file)
    result = verify_bundle(save(bundle), RUNTIME)
    assert not result.is_identical
    assert [bool(names) for names in result.differing_by_splitting] == [False, True, False]
    assert result.differing == result.differing_by_splitting[1]


def test_changed_weight_of_the_whole_model_is_noticed_twice(bundle: Bundle) -> None:
    change_weight(bundle, bundle.manifest.whole)
    result = verify_bundle(save(bundle), RUNTIME)
    assert not result.is_identical
    assert result.differing == result.differing_from_record != ()


def test_changed_weight_is_refused_when_the_hash_tells(bundle: Bundle) -> None:
    file = bundle.splittings[0].partitions[1].file
    path = bundle.file_path(file)
    path.write_bytes(with_one_byte_changed(path.read_bytes()))
    with pytest.raises(BundleError, match=f"{file.sha256}.*damaged or was changed"):
        verify_bundle(bundle, RUNTIME)


def test_changed_recorded_answer_is_noticed_and_named(bundle: Bundle) -> None:
    last = bundle.manifest.outputs[-1]
    change_recorded_answer(bundle, last.name)
    result = verify_bundle(save(bundle), RUNTIME)
    assert not result.is_identical
    assert (result.differing, result.differing_from_record) == ((), (last.alias,))


@pytest.mark.parametrize("change", [{"version": "0.0"}, {"name": "tflite-runtime"}])
def test_recorded_answer_is_not_compared_when_another_runtime_gave_it(bundle: Bundle, change: dict[str, Any]) -> None:
    change_recorded_answer(bundle, bundle.manifest.outputs[0].name)
    result = verify_bundle(save(bundle), replace(RUNTIME, **change))
    assert result.is_identical
    assert result.differing_from_record is None


def test_outputs_are_told_apart_when_the_model_gives_one_twice(tmp_path: Path) -> None:
    """x -> relu -> a -> logistic -> b, with outputs a, a, b."""
    builder = ModelBuilder()
    x, a, b = (builder.main.tensor((1, 4), name=name) for name in "xab")
    builder.main.operator("RELU", [x], [a])
    builder.main.operator("LOGISTIC", [a], [b])
    builder.main.ends([x], [a, a, b])
    path = tmp_path / "twice.tflite"
    path.write_bytes(builder.build())
    loaded = LoadedModel.from_converted(ConvertedModel(path, (), (), (), None))
    with BundleWriter(tmp_path / "out") as writer:
        split_model(loaded, SplitRequest(path, "tflite", "as-is", 2, ()), writer, RUNTIME, None, ignore_progress)
    result = verify_bundle(open_bundle(tmp_path / "out"), RUNTIME)
    assert result.is_identical
    assert result.compared_bytes == 2 * 16
