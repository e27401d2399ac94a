"""The converter's commands: results on stdout, one clear line for everything that is wrong, and nothing half-written."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import Bundle, open_bundle
from bundle.manifest import render_manifest
from tests.bundles import make_bundle
from tests.converter.changed_weights import with_one_byte_changed
from tests.converter.commands import INSTALLED, RESIDUAL, Convert, refused, run_process, text_file

pytestmark = pytest.mark.usefixtures("residual")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("sound") / "parts", "residual", "int8", cut_lists=[("6", "7")])


@pytest.fixture
def bundle(sound: Bundle, tmp_path: Path) -> Bundle:
    """A copy to damage."""
    return open_bundle(shutil.copytree(sound.path, tmp_path / "parts"))


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


def test_cuts_of_a_batch_carry_its_bytes(convert: Convert) -> None:
    one, four = (json.loads(convert("cuts", RESIDUAL, "--json", "--batch", n).out) for n in (1, 4))
    assert [row["bytes"] * 4 for row in one] == [row["bytes"] for row in four]
