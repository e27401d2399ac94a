"""`split`: what a bundle keeps of what was said, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle import open_bundle
from bundle.photographs import read_photograph
from partitioning import Graph
from tests import zoo
from tests.bundles import zoo_file
from tests.converter.commands import INSTALLED, RESIDUAL, Convert, refused, run_process, text_file
from tests.zoo import cache
from transport.tensor_spec import quantize

pytestmark = pytest.mark.usefixtures("residual")


def test_model_is_split_and_the_bundle_verified(convert: Convert, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    done = convert("split", RESIDUAL, "--parts", "3", "--out", out)
    assert (done.code, done.err) == (0, "")
    assert "3 partitions, bit-identical to the whole model" in done.out
    manifest = open_bundle(out).manifest
    assert len(manifest.splittings[0].partitions) == 3
    assert (manifest.source.kind, manifest.source.quantize) == ("tflite", "as-is")
    assert [p.name for p in tmp_path.iterdir()] == ["parts"]
    verified = convert("verify", out)
    assert (verified.code, verified.err) == (0, "")
    assert "3 partitions against the whole model" in verified.out
    assert ": bit-identical\n" in verified.out
    assert verified.out.endswith("recorded in the bundle: identical\n")


def test_keras_model_is_quantised_and_cut_at_its_layers(tmp_path: Path) -> None:
    script = """
import sys, keras
from keras import layers
x = image = keras.Input((8, 8, 3), name="image")
for name in ("first", "second", "third"):
    x = layers.Conv2D(4, 3, activation="relu", padding="same", name=name)(x)
x = layers.Dense(3, name="answer")(layers.Flatten()(x))
keras.Model(image, x).save(sys.argv[1])
"""
    model, data, out = tmp_path / "small.keras", tmp_path / "images.npy", tmp_path / "parts"
    made = run_process(sys.executable, "-c", script, model)
    assert made.code == 0, made.err
    images = np.random.default_rng(0).normal(size=(20, 8, 8, 3)).astype(np.float32)
    np.save(data, images)
    arguments = ("--cut-at", "first,third", "--quantize", "int8", "--calibration", data, "--out", out, "--json")
    done = run_process(INSTALLED, "split", model, *arguments)
    assert (done.code, done.err) == (0, "")
    partitions = json.loads(done.out)["splittings"][0]["partitions"]
    assert [p["stop_op"] for p in partitions[:2]] == [1, 3]
    assert {t["dtype"] for p in partitions for t in (*p["arriving"], *p["leaving"])} == {"int8"}
    bundle = open_bundle(out)
    assert (bundle.manifest.source.kind, bundle.manifest.source.quantize) == ("keras3", "int8")
    (sample,) = bundle.load_sample()[0].values()
    spec = bundle.manifest.inputs[0]
    assert spec.alias == "image"
    assert np.array_equal(sample, quantize(spec, images[:1]))


def test_bundle_keeps_how_images_become_the_input_and_the_labels(convert: Convert, tmp_path: Path) -> None:
    labels, out = tmp_path / "labels.txt", tmp_path / "parts"
    labels.write_text("".join(f"class {i}\n" for i in range(10)))
    Image.new("RGB", (30, 20), (255, 0, 0)).save(tmp_path / "red.png")
    given = ("--images", "tf", "--labels", labels, "--calibration", tmp_path)
    done = convert("split", RESIDUAL, "--parts", "2", "--out", out, *given)
    assert (done.code, done.err) == (0, "")
    bundle = open_bundle(out)
    assert (bundle.manifest.image_input.height, list(bundle.manifest.image_input.mean)) == (24, [127.5])
    assert list(bundle.manifest.labels) == [f"class {i}" for i in range(10)]
    spec, (sample,) = bundle.manifest.inputs[0], bundle.load_sample()[0].values()
    expected = read_photograph(tmp_path / "red.png", bundle.manifest.image_input)[None]
    assert np.array_equal(sample, quantize(spec, expected) if spec.HasField("quantization") else expected)
    plain = convert(
        "split", RESIDUAL, "--cut-at", str(bundle.splittings[0].cut_indices[0]), "--out", tmp_path / "plain"
    )
    assert plain.code == 0
    assert open_bundle(tmp_path / "plain").deployment_id == bundle.deployment_id


def test_labels_that_are_too_few_are_refused_before_anything_is_measured(convert: Convert, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    arguments = ("--parts", "2", "--out", tmp_path / "parts", "--labels", labels)
    refused(convert("split", RESIDUAL, *arguments), "there are 2 labels, and the model has 10 classes")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_images_are_refused_for_a_model_with_several_inputs(convert: Convert, tmp_path: Path) -> None:
    arguments = ("--parts", "2", "--out", tmp_path / "parts", "--images", "unit")
    refused(convert("split", zoo_file("two_inputs", "float32"), *arguments), "--images says how", "the model has 2: ")
    assert list(tmp_path.iterdir()) == []


def test_taps_are_recorded_and_verified(convert: Convert, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    done = convert(
        "split", RESIDUAL, "--parts", "2", "--taps", "re_lu_1, max_pooling2d_1", "--tap-boundaries", "--out", out
    )
    assert done.code == 0, done.err
    bundle = open_bundle(out)
    names = [spec.alias for spec in bundle.manifest.taps]
    assert names[:2] == ["re_lu_1", "max_pooling2d_1"]
    (splitting,) = bundle.splittings
    crossing = {spec.name for spec in splitting.partitions[0].leaving}
    assert crossing <= {spec.name for spec in bundle.manifest.taps}
    verified = convert("verify", out, "--json")
    assert json.loads(verified.out)["identical"] is True
    refused(convert("split", RESIDUAL, "--parts", "2", "--taps", "re_lu_1,,x", "--out", out), "--taps is 're_lu_1,,x'")
    refused(
        convert("split", RESIDUAL, "--parts", "2", "--taps", "re_lu_0", "--out", tmp_path / "other"),
        "tap 're_lu_0' is neither a layer nor a tensor",
        "Near matches: re_lu_",
    )


def test_sample_is_the_first_of_the_calibration_data(convert: Convert, tmp_path: Path) -> None:
    (image,) = zoo.inputs("residual").values()
    np.save(tmp_path / "images.npy", np.concatenate([image, image + 1]))
    arguments = (
        "split",
        RESIDUAL,
        "--parts",
        "2",
        "--calibration",
        tmp_path / "images.npy",
        "--out",
        tmp_path / "parts",
    )
    assert convert(*arguments).code == 0
    bundle = open_bundle(tmp_path / "parts")
    (stored,) = bundle.load_sample()[0].values()
    q = bundle.manifest.inputs[0].quantization
    assert np.abs((stored.astype(np.float32) - q.zero_point) * q.scale - image).max() < q.scale


def test_cut_is_refused_with_near_matches_when_its_name_is_misspelt(convert: Convert, tmp_path: Path) -> None:
    graph = Graph.from_bytes(RESIDUAL.read_bytes())
    name = graph.tensors[graph.operators[3].outputs[0]].name
    done = convert("split", RESIDUAL, "--cut-at", name[:-1] + "X", "--out", tmp_path / "parts")
    refused(done, "X' is neither a layer, a tensor nor a cut index", "Near matches: ", name, "`cuts`")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cut_at", "says"),
    [
        ("zzzzzzzzzzzz", ["'zzzzzzzzzzzz'", "Nothing has a similar name", "`cuts`"]),
        ("33", ["cut index 33 does not exist: this model has cuts 1 to 32"]),
        ("0", ["cut index 0 does not exist"]),
        ("5,5", ["cut name '5' was given twice", "Drop one"]),
        ("9,3", ["'9' (cut 9) was given before '3' (cut 3)", "Write them as 3,9"]),
        ("", ["--cut-at is ''", "conv1,conv2"]),
        ("3,,9", ["--cut-at is '3,,9'", "single commas"]),
        ("image", ["'image' is an input of the model"]),
    ],
)
def test_cut_is_refused_when_its_name_is_wrong(convert: Convert, tmp_path: Path, cut_at: str, says: list[str]) -> None:
    refused(convert("split", RESIDUAL, "--cut-at", cut_at, "--out", tmp_path / "parts"), *says)
    assert list(tmp_path.iterdir()) == []


def test_split_is_refused_when_there_are_more_parts_than_operators(convert: Convert, tmp_path: Path) -> None:
    done = convert("split", RESIDUAL, "--parts", "34", "--out", tmp_path / "parts")
    refused(done, "34 parts were asked for", "33 operators", "Ask for 1 to 33")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], ["nothing was said: say --boards FILE", "--parts N, --cut-at", "`cuts`"]),
        (["--parts", "2", "--cut-at", "3"], ["--parts and --cut-at were said: say"]),
        (["--parts", "2", "--quantize", "int8"], ["int8 asked for", "already TFLite"]),
        (["--parts", "2", "--quantize", "float16"], ["float16 asked for", "already TFLite"]),
        (
            ["--parts", "2", "--images", "pixels"],
            ["'pixels' does not say", "expected raw, unit, tf, torch, caffe or a .yaml"],
        ),
        (["--parts", "2", "--labels", "no.txt"], ["no.txt cannot be read", "a class on each line"]),
        (["--parts", "2", "--input-shape", "image=a,b"], ["--input-shape is 'image=a,b', expected NAME=N,N,..."]),
        (["--parts", "2", "--input-shape", "image=8,8,3"], ["already TFLite and its shapes are fixed"]),
        (["--parts", "2", "--calibration", "no.npy"], ["no calibration data at no.npy", "directory of images"]),
    ],
)
def test_options_are_refused_when_they_clash_or_make_no_sense(
    convert: Convert, tmp_path: Path, arguments: list[str], says: list[str]
) -> None:
    refused(convert("split", RESIDUAL, "--out", tmp_path / "parts", *arguments), *says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), ["shape is (4, 8, 8, 3), expected (N, 24, 24, 3)"]),
        (np.zeros((0, 24, 24, 3), np.float32), ["no samples"]),
        (np.full((2, 24, 24, 3), np.nan, np.float32), ["NaN or infinity in sample 0"]),
        (np.full((2, 24, 24, 3), "x"), ["dtype is <U1, expected float32"]),
    ],
)
def test_calibration_data_are_refused_when_they_do_not_fit(
    convert: Convert, tmp_path: Path, data: np.ndarray[Any, Any], says: list[str]
) -> None:
    np.save(tmp_path / "data.npy", data)
    arguments = ("--calibration", tmp_path / "data.npy", "--parts", "2", "--out", tmp_path / "parts")
    refused(convert("split", RESIDUAL, *arguments), "data.npy, input image", *says)
    assert [p.name for p in tmp_path.iterdir()] == ["data.npy"]


def test_tflite_is_split_without_tensorflow_keras_and_h5py(tmp_path: Path) -> None:
    blocked = ("tensorflow", "keras", "tf_keras", "h5py")
    script = f"import sys\nsys.modules.update(dict.fromkeys({blocked}))\nfrom converter.cli import main\nmain()\n"
    place = ("--parts", "2", "--out", tmp_path / "parts", "--json")
    done = run_process(sys.executable, "-c", script, "split", RESIDUAL, *place)
    assert (done.code, done.err) == (0, "")
    assert len(json.loads(done.out)["splittings"][0]["partitions"]) == 2
    refused(
        run_process(sys.executable, "-c", script, "cuts", text_file(tmp_path / "a.h5")), "a.h5", "h5py", "Install it"
    )


def test_batch_is_recorded_verified_and_told(convert: Convert, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = convert("split", RESIDUAL, "--parts", 3, "--batch", 4, "--out", out)
    assert outcome.code == 0
    assert "4 inputs in one frame; its answers equal those to single inputs bit for bit" in outcome.out
    bundle = open_bundle(out)
    assert bundle.batch == bundle.manifest.batch == 4
    assert {spec.shape[0] for spec in (*bundle.manifest.inputs, *bundle.manifest.outputs)} == {4}
    (sample,) = bundle.load_sample()[0].values()
    assert sample.shape[0] == 4
    assert convert("verify", out).code == 0
    assert "4 inputs in one frame" in convert("inspect", out).out
    assert json.loads(convert("inspect", out, "--json").out)["batch"] == 4
    parts = [out / p.file.path for p in bundle.splittings[0].partitions]
    assert all(t.shape[0] == 4 for part in parts for t in _inputs(part))


def _inputs(part: Path) -> list[Any]:
    graph = Graph.from_bytes(part.read_bytes())
    return [graph.tensors[t] for t in graph.inputs]


def test_bundle_without_a_batch_is_as_it_always_was(convert: Convert, tmp_path: Path) -> None:
    paths = [tmp_path / "plain", tmp_path / "one"]
    for path, options in zip(paths, ([], ["--batch", 1])):
        assert convert("split", RESIDUAL, "--cut-at", "9", *options, "--out", path).code == 0
    plain, one = (sorted(p.relative_to(path) for p in path.rglob("*")) for path in paths)
    assert plain == one
    assert '"batch"' not in (paths[0] / "manifest.json").read_text()
    assert open_bundle(paths[0]).batch == 1
    assert open_bundle(paths[0]).deployment_id == open_bundle(paths[1]).deployment_id


def test_model_that_takes_no_batch_is_refused_in_one_line(convert: Convert, tmp_path: Path) -> None:
    zoo.load("gru", "float32")
    gru = cache.model_path(cache.default_directory(), "gru", "float32")
    outcome = convert("split", gru, "--parts", 2, "--batch", 4, "--out", tmp_path / "out")
    assert outcome.code == 1
    assert "WHILE" in outcome.err
    assert not (tmp_path / "out").exists()
