"""The converter's commands: results on stdout, one clear line for everything that is wrong, and nothing half-written."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from bundle import Bundle, open_bundle
from bundle.manifest import render_manifest
from bundle.photographs import read_photograph
from converter.cli import main
from partitioning import Graph
from tests import zoo
from tests.bundles import make_bundle, zoo_file
from tests.converter.changed_weights import with_one_byte_changed
from tests.zoo import cache
from transport.tensor_spec import quantize

RESIDUAL = cache.model_path(cache.default_directory(), "residual", "int8")
INSTALLED = Path(sys.executable).with_name("boardline-converter")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Convert = Callable[..., Outcome]


@pytest.fixture(scope="module", autouse=True)
def residual() -> None:
    """Makes the model that RESIDUAL names."""
    zoo.load("residual", "int8")


@pytest.fixture
def convert(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Convert:
    """Runs a command as `python -m converter` does, in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["converter", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return Outcome(int(exit_.value.code or 0), *capsys.readouterr())

    return run


def run_process(*command: object) -> Outcome:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("sound") / "parts", "residual", "int8", cut_lists=[("6", "7")])


@pytest.fixture
def bundle(sound: Bundle, tmp_path: Path) -> Bundle:
    """A copy to damage."""
    return open_bundle(shutil.copytree(sound.path, tmp_path / "parts"))


def refused(outcome: Outcome, *says: str) -> None:
    """Asserts one line on stderr that says all this, nothing on stdout, and failure."""
    assert outcome.out == ""
    assert outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1
    for text in says:
        assert text in outcome.err
    assert outcome.code == 1


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


def test_installed_command_writes_nothing_but_json_to_the_screen(tmp_path: Path) -> None:
    done = run_process(INSTALLED, "split", RESIDUAL, "--cut-at", "6,7", "--out", tmp_path / "parts", "--json")
    assert (done.code, done.err) == (0, "")
    (split,) = json.loads(done.out)["splittings"]
    assert split["deployment_id"] == open_bundle(tmp_path / "parts").deployment_id
    assert [p["stop_op"] for p in split["partitions"]] == [6, 7, 33]


def test_module_command_fails_with_one_line_and_status_1(tmp_path: Path) -> None:
    done = run_process(sys.executable, "-m", "converter", "split", tmp_path / "no.tflite", "--parts", "2", "--out", "x")
    refused(done, f"no model at {tmp_path / 'no.tflite'}", ".tflite file")


def test_json_of_every_command_parses(convert: Convert, bundle: Bundle, tmp_path: Path) -> None:
    split = json.loads(convert("split", RESIDUAL, "--cut-at", "6,7", "--out", tmp_path / "again", "--json").out)
    inspected = json.loads(convert("inspect", tmp_path / "again", "--json").out)
    assert split == inspected
    assert split["splittings"][0]["deployment_id"] == bundle.deployment_id
    cuts = json.loads(convert("cuts", RESIDUAL, "--json").out)
    assert [c["index"] for c in cuts] == list(range(1, 33))
    assert cuts[5]["bytes"] == sum(t["bytes"] for t in cuts[5]["crossing"])
    verified = json.loads(convert("verify", bundle.path, "--json").out)
    assert verified["identical"] is True
    assert verified["recorded_answer"] == "identical"
    assert verified["differing_outputs"] == []
    assert verified["compared_bytes"] == 10


def test_cuts_are_listed_as_a_table(convert: Convert) -> None:
    done = convert("cuts", RESIDUAL)
    assert (done.code, done.err) == (0, "")
    assert f"{RESIDUAL}: 32 cuts" in done.out
    assert "CONV_2D | CONV_2D" in done.out
    assert "int8 1x12x12x" in done.out


def test_bundle_is_shown_as_a_table(convert: Convert, sound: Bundle) -> None:
    done = convert("inspect", sound.path)
    assert (done.code, done.err) == (0, "")
    assert f"{sound.deployment_id}: residual-int8.tflite, quantised: as-is" in done.out
    assert "needs TensorFlow Lite" in done.out
    for operators in ("0-5", "6-6", "7-32"):
        assert operators in done.out


def test_bundle_is_drawn_with_its_cuts(convert: Convert, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "int8", cut_lists=[["6", "7"], ["9"]])
    done = convert("inspect", bundle.path, "--plot", tmp_path / "parts.svg")
    assert (done.code, done.err) == (0, "")
    drawn = (tmp_path / "parts.svg").read_text()
    for words in (*(s.deployment_id for s in bundle.splittings), "part 2", "cut 6", "cut 7", "cut 9"):
        assert words in drawn
    refused(convert("inspect", bundle.path, "--plot", tmp_path / "parts.txt"), "expected .svg, .png, .pdf")


def test_every_splitting_is_shown_and_verified(convert: Convert, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "int8", cut_lists=[["6", "7"], ["9"]])
    shown = convert("inspect", bundle.path)
    assert (shown.code, shown.err) == (0, "")
    for index, splitting in enumerate(bundle.splittings):
        assert f"splitting {index}: {splitting.deployment_id}" in shown.out
    assert "9-32" in shown.out
    in_json = json.loads(convert("inspect", bundle.path, "--json").out)
    assert [len(s["partitions"]) for s in in_json["splittings"]] == [3, 2]
    verified = convert("verify", bundle.path)
    assert verified.code == 0
    assert "3 partitions against the whole model" in verified.out
    assert "2 partitions against the whole model" in verified.out


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


def test_bundle_is_replaced_when_forced(convert: Convert, bundle: Bundle) -> None:
    before = bundle.deployment_id
    refused(convert("split", RESIDUAL, "--parts", "2", "--out", bundle.path), "holds a bundle already", "--force")
    assert open_bundle(bundle.path).deployment_id == before
    assert convert("split", RESIDUAL, "--cut-at", "9", "--out", bundle.path, "--force").code == 0
    assert len(open_bundle(bundle.path).splittings[0].partitions) == 2


def test_directory_is_left_alone_when_it_is_no_bundle_even_if_forced(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"photo")
    done = convert("split", RESIDUAL, "--parts", "2", "--out", tmp_path / "photos", "--force")
    refused(done, "photos exists and is not a bundle; it is left alone", "--out")
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"photo"


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


def text_file(path: Path) -> Path:
    path.write_text("this is no model")
    return path


def truncated(path: Path) -> Path:
    path.write_bytes(RESIDUAL.read_bytes()[:5000])
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def directory(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("no.h5", lambda path: path, ["no model at", "no.h5", "SavedModel"]),
        ("a.tflite", text_file, ["a.tflite is not a TFLite file", "expected b'TFL3'", "Convert or download it again"]),
        ("a.tflite", truncated, ["a.tflite", "TFLite file", "again"]),
        ("a.tflite", empty, ["a.tflite is not a TFLite file"]),
        ("a.h5", text_file, ["a.h5 is not a readable HDF5 file", "Save the model again"]),
        ("a.keras", text_file, ["a.keras is not a readable .keras archive", "Save the model again"]),
        ("a.onnx", text_file, ["a.onnx is not a model of a known kind", "expected", ".tflite"]),
        ("model", directory, ["without saved_model.pb", "expected"]),
    ],
)
@pytest.mark.parametrize("command", ["split", "cuts"])
def test_model_is_refused_when_missing_or_corrupt(
    convert: Convert, tmp_path: Path, command: str, name: str, make: Callable[[Path], Path], says: list[str]
) -> None:
    model = make(tmp_path / name)
    place = ("--parts", "2", "--out", tmp_path / "parts") if command == "split" else ()
    refused(convert(command, model, *place), *says)
    assert {p.name for p in tmp_path.iterdir()} <= {name}


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["--parts", "0"],
        ["--parts", "two"],
        ["--parts", "2", "--quantize", "int4"],
        ["--parts", "2", "--runtime", "onnx"],
    ],
)
def test_usage_is_explained_with_status_2_when_a_value_is_impossible(
    convert: Convert, tmp_path: Path, arguments: list[str]
) -> None:
    done = convert("split", RESIDUAL, "--out", tmp_path / "parts", *arguments)
    assert (done.code, done.out) == (2, "")
    assert arguments[-2] in done.err
    assert list(tmp_path.iterdir()) == []


def remove_partition(bundle: Bundle) -> None:
    bundle.file_path(bundle.splittings[0].partitions[1].file).unlink()


def damage_partition(bundle: Bundle) -> None:
    path = bundle.file_path(bundle.splittings[0].partitions[1].file)
    path.write_bytes(path.read_bytes()[:-1])


def damage_sample(bundle: Bundle) -> None:
    (bundle.path / "sample.npz").write_bytes(b"")


def damage_manifest(bundle: Bundle) -> None:
    (bundle.path / "manifest.json").write_text("{")


def newer_manifest(bundle: Bundle) -> None:
    bundle.manifest.format_version = 3
    (bundle.path / "manifest.json").write_text(render_manifest(bundle.manifest))


def remove_manifest(bundle: Bundle) -> None:
    (bundle.path / "manifest.json").unlink()


def replace_by_text(bundle: Bundle) -> None:
    """A partition that is no model, with its hash put right."""
    file = bundle.splittings[0].partitions[0].file
    bundle.file_path(file).write_text("TFL3, but not really")
    file.sha256 = hashlib.sha256(b"TFL3, but not really").hexdigest()
    (bundle.path / "manifest.json").write_text(render_manifest(bundle.manifest))


@pytest.mark.parametrize(
    ("damage", "commands", "says"),
    [
        (remove_partition, ["verify"], ["is missing from the bundle", "Split the model again"]),
        (damage_partition, ["verify"], ["its SHA-256 is", "the manifest says", "Split the model again"]),
        (damage_sample, ["verify"], ["sample.npz is damaged"]),
        (damage_manifest, ["verify", "inspect"], ["does not follow protos/v1/manifest.proto", "Split the model again"]),
        (newer_manifest, ["verify", "inspect"], ["format version 3, this version reads 2"]),
        (remove_manifest, ["verify", "inspect"], ["is not a bundle: it has no manifest.json"]),
        (replace_by_text, ["verify"], ["refuses the model"]),
    ],
)
def test_bundle_is_refused_when_corrupt_or_foreign(
    convert: Convert, bundle: Bundle, damage: Callable[[Bundle], None], commands: list[str], says: list[str]
) -> None:
    damage(bundle)
    for command in commands:
        refused(convert(command, bundle.path), *says)


def test_bundle_is_refused_with_the_command_to_make_one_when_there_is_none(convert: Convert, tmp_path: Path) -> None:
    for command in ("verify", "inspect"):
        refused(convert(command, tmp_path / "nowhere"), "nowhere is not a directory", "python -m converter split MODEL")


def test_verifying_fails_naming_the_output_when_bits_differ(convert: Convert, bundle: Bundle) -> None:
    file = bundle.splittings[0].partitions[2].file
    path = bundle.file_path(file)
    changed = with_one_byte_changed(path.read_bytes())
    path.write_bytes(changed)
    file.sha256 = hashlib.sha256(changed).hexdigest()
    (bundle.path / "manifest.json").write_text(render_manifest(bundle.manifest))
    told = convert("verify", bundle.path)
    assert told.code == 1
    assert "DIFFERENT in probabilities" in told.out
    in_json = convert("verify", bundle.path, "--json")
    assert in_json.code == 1
    assert json.loads(in_json.out)["differing_outputs"] == ["probabilities"]


def test_recorded_answer_is_called_not_comparable_when_another_runtime_gave_it(
    convert: Convert, bundle: Bundle
) -> None:
    bundle.manifest.measured_on.version = "0.0"
    (bundle.path / "manifest.json").write_text(render_manifest(bundle.manifest))
    done = convert("verify", bundle.path)
    assert done.code == 0
    assert "not comparable: the bundle was made with another runtime" in done.out


@pytest.mark.parametrize("command", ["split", "cuts", "inspect", "verify"])
def test_every_command_has_help_with_an_example(convert: Convert, command: str) -> None:
    done = convert(command, "--help")
    assert done.code == 0
    assert f"Example: python -m converter {command}" in done.out


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


def test_cuts_of_a_batch_carry_its_bytes(convert: Convert) -> None:
    one, four = (json.loads(convert("cuts", RESIDUAL, "--json", "--batch", n).out) for n in (1, 4))
    assert [row["bytes"] * 4 for row in one] == [row["bytes"] for row in four]
