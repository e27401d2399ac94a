"""Bundles on disk: what is damaged is named, and a bundle appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle import Bundle, BundleError, BundleWriter, building, open_bundle
from bundle.manifest import render_manifest
from protos.v1.manifest_pb2 import Manifest, ModelFile, Partition, Splitting
from protos.v1.tensor_pb2 import DType, TensorSpec

IMAGE = TensorSpec(name="image", dtype=DType.INT8, shape=[3])
# The smallest bundle; `content` stands for the model.
WRITE = """
import numpy as np
from bundle import BundleWriter
from protos.v1.manifest_pb2 import Manifest, Partition, Splitting
from protos.v1.tensor_pb2 import DType, TensorSpec

def write(out, content, replace):
    image = [TensorSpec(name="image", dtype=DType.INT8, shape=[3])]
    with BundleWriter(out, replace=replace) as writer:
        manifest = Manifest(format_version=2, model_name="tiny", inputs=image, outputs=image)
        manifest.whole.CopyFrom(writer.add_model(content, "whole"))
        file = writer.add_model(content)
        part = Partition(file=file, stop_op=1, arriving=image, leaving=image)
        manifest.splittings.append(Splitting(partitions=[part]))
        writer.finish(manifest, {"image": np.zeros(3, np.int8)}, {"image": np.ones(3, np.int8)})
"""


def write_tiny(out: Path, content: bytes = b"model", *, replace: bool = False) -> Bundle:
    with BundleWriter(out, replace=replace) as writer:
        file = writer.add_model(content)
        return writer.finish(tiny_manifest(file), {"image": np.zeros(3, np.int8)}, {"image": np.ones(3, np.int8)})


def tiny_manifest(file: ModelFile) -> Manifest:
    part = Partition(file=file, stop_op=1, arriving=[IMAGE], leaving=[IMAGE])
    splitting = Splitting(partitions=[part])
    manifest = Manifest(format_version=2, model_name="tiny", inputs=[IMAGE], outputs=[IMAGE], splittings=[splitting])
    manifest.whole.CopyFrom(file)
    return manifest


def content_of(bundle: Bundle) -> bytes:
    return bundle.file_path(bundle.splittings[0].partitions[0].file).read_bytes()


def tree(directory: Path) -> dict[str, bytes]:
    """Everything below a directory, hidden files too."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_bundle_comes_back_when_opened(whole_bundle: Bundle) -> None:
    opened = open_bundle(str(whole_bundle.path))
    assert opened.manifest == whole_bundle.manifest
    assert opened.deployment_id == whole_bundle.deployment_id


def test_files_are_named_by_their_content(whole_bundle: Bundle) -> None:
    files = [whole_bundle.manifest.whole, *(p.file for p in whole_bundle.splittings[0].partitions)]
    for file in files:
        path = whole_bundle.file_path(file)
        content = path.read_bytes()
        assert path.stem == file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.size_bytes == len(content)
    assert len(list(whole_bundle.path.rglob("*.tflite"))) == 4


def test_equal_partitions_share_a_file(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "out") as writer:
        assert writer.add_model(b"same") == writer.add_model(b"same")


def test_sample_comes_back_bit_for_bit(tmp_path: Path) -> None:
    inputs = {"a/b:0;c": np.array([np.nan, -0.0], np.float32), "file": np.array(3, np.int32)}
    outputs = {"a/b:0;c": np.zeros((0, 2), np.int8)}
    with BundleWriter(tmp_path / "out") as writer:
        bundle = writer.finish(tiny_manifest(writer.add_model(b"model")), inputs, outputs)
    got_inputs, got_outputs = bundle.load_sample()
    for got, expected in ((got_inputs, inputs), (got_outputs, outputs)):
        assert got.keys() == expected.keys()
        for name, array in expected.items():
            assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
            assert got[name].tobytes() == array.tobytes()


def test_damaged_file_is_refused_naming_both_hashes(bundle_copy: Bundle) -> None:
    file = bundle_copy.splittings[0].partitions[1].file
    path = bundle_copy.file_path(file)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"damaged or was changed: its SHA-256 is .*the manifest says {file.sha256}"):
        bundle_copy.file_path(file)


def test_missing_file_is_refused_by_name(bundle_copy: Bundle) -> None:
    file = bundle_copy.splittings[0].partitions[0].file
    bundle_copy.file_path(file).unlink()
    with pytest.raises(BundleError, match=rf"{file.sha256}\.tflite is missing from the bundle\. Split the model again"):
        bundle_copy.file_path(file)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "partitions/../../secret", "", ".", "partitions/.."])
def test_path_is_refused_when_it_leads_out_of_the_bundle(path: str, tmp_path: Path) -> None:
    bundle = write_tiny(tmp_path / "out")
    (tmp_path / "secret").write_bytes(b"secret")
    file = ModelFile(path=path, sha256=hashlib.sha256(b"secret").hexdigest())
    with pytest.raises(BundleError, match="outside the bundle"):
        bundle.file_path(file)


def test_path_is_refused_when_a_link_leads_out_of_the_bundle(tmp_path: Path) -> None:
    bundle = write_tiny(tmp_path / "out")
    (tmp_path / "secret").write_bytes(b"secret")
    (bundle.path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="outside the bundle"):
        bundle.file_path(ModelFile(path="link", sha256=hashlib.sha256(b"secret").hexdigest()))


def test_bundle_is_read_when_reached_through_a_link(tmp_path: Path) -> None:
    write_tiny(tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert content_of(open_bundle(tmp_path / "link")) == b"model"


def test_directory_is_refused_with_the_command_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"nowhere is not a directory\. Make a bundle: python -m converter split MODEL"
    ):
        open_bundle(tmp_path / "nowhere")


def test_directory_is_refused_when_it_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(BundleError, match=r"is not a bundle: it has no manifest\.json"):
        open_bundle(tmp_path)


def test_manifest_is_refused_when_it_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"PK\x03\x04 but no archive"])
def test_sample_is_refused_when_damaged(bundle_copy: Bundle, damage: bytes) -> None:
    sample = bundle_copy.path / bundle_copy.manifest.sample.path
    sample.write_bytes(damage)
    with pytest.raises(BundleError, match=r"sample\.npz is damaged"):
        bundle_copy.load_sample()
    bundle_copy.manifest.sample.sha256 = hashlib.sha256(damage).hexdigest()
    with pytest.raises(BundleError, match=r"sample\.npz is not a sample: .* Split the model again"):
        bundle_copy.load_sample()


def test_sample_with_pickled_objects_is_refused(bundle_copy: Bundle) -> None:
    sample = bundle_copy.path / bundle_copy.manifest.sample.path
    pickled: dict[str, Any] = {"input:image": np.array([{"code": 1}], object)}
    np.savez(sample, **pickled)
    bundle_copy.manifest.sample.sha256 = hashlib.sha256(sample.read_bytes()).hexdigest()
    with pytest.raises(BundleError, match="is not a sample"):
        bundle_copy.load_sample()


def test_bundle_is_written_into_new_directories_and_empty_ones(tmp_path: Path) -> None:
    assert content_of(write_tiny(tmp_path / "new" / "deep" / "out")) == b"model"
    (tmp_path / "empty").mkdir()
    assert content_of(write_tiny(tmp_path / "empty")) == b"model"
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("out", [Path(), Path("../here")])
def test_present_directory_is_refused_as_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(BundleError, match="the present directory cannot be made a bundle"):
        BundleWriter(out)


def test_bundle_can_be_read_by_others(tmp_path: Path) -> None:
    assert write_tiny(tmp_path / "out").path.stat().st_mode & 0o777 == 0o755


def test_bundle_is_replaced_when_asked_for(tmp_path: Path) -> None:
    write_tiny(tmp_path / "out", b"old")
    assert content_of(write_tiny(tmp_path / "out", b"new", replace=True)) == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert len(list((tmp_path / "out").rglob("*.tflite"))) == 1


def test_bundle_is_left_alone_when_replacing_was_not_asked_for(tmp_path: Path) -> None:
    write_tiny(tmp_path / "out", b"old")
    before = tree(tmp_path)
    with pytest.raises(BundleError, match=r"out holds a bundle already\. Say --force to replace it"):
        write_tiny(tmp_path / "out", b"new")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("replace", [False, True])
def test_what_is_no_bundle_is_never_replaced(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"photo")
    (tmp_path / "file").write_bytes(b"text")
    before = tree(tmp_path)
    for name in ("photos", "file"):
        with pytest.raises(BundleError, match=f"{name} exists and is not a bundle; it is left alone"):
            BundleWriter(tmp_path / name, replace=replace)
    assert tree(tmp_path) == before


def test_place_is_looked_at_again_when_the_bundle_is_finished(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "out") as writer:
        file = writer.add_model(b"slow")
        write_tiny(tmp_path / "out", b"quick")
        with pytest.raises(BundleError, match="holds a bundle already"):
            writer.finish(tiny_manifest(file), {}, {})
    assert content_of(open_bundle(tmp_path / "out")) == b"quick"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_nothing_is_left_when_the_writer_is_left_early(tmp_path: Path) -> None:
    write_tiny(tmp_path / "old", b"old")
    before = tree(tmp_path)

    def fail_in(out: Path, replace: bool) -> None:
        with BundleWriter(out, replace=replace) as writer:
            assert writer.path_of(writer.add_model(b"new")).read_bytes() == b"new"
            raise KeyboardInterrupt

    for out, replace in ((tmp_path / "new", False), (tmp_path / "old", True)):
        with pytest.raises(KeyboardInterrupt):
            fail_in(out, replace)
    assert tree(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("old", [[b"old"], []])
def test_what_was_there_comes_back_when_the_new_bundle_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: list[bytes]
) -> None:
    for content in old:
        write_tiny(tmp_path / "out", content)
    before = tree(tmp_path)
    rename, failures = os.rename, ["one"]

    def fail_once(source: Path, target: Path) -> None:
        if target == tmp_path / "out" and failures:
            raise OSError(f"the disk has gone {failures.pop()} time")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_once)
    monkeypatch.setattr(building, "exchange", lambda first, second: False)  # as on file systems that swap no names
    with pytest.raises(BundleError, match="cannot be written: the disk has gone one time"):
        write_tiny(tmp_path / "out", b"new", replace=True)
    assert tree(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == len(old)


def test_place_is_refused_when_no_directory_can_be_made_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for out in (tmp_path / "file" / "out", tmp_path / ("x" * 300)):
        with pytest.raises(BundleError, match=r"cannot be written.*choose another --out"), BundleWriter(out):
            pytest.fail("the writer was entered")


@pytest.mark.parametrize("limit_bytes", [100, 3000])
def test_full_disk_is_told_and_leaves_nothing(tmp_path: Path, limit_bytes: int) -> None:
    """With a limit on file sizes, as on a full disk: the first within the model, the second within the sample."""
    script = WRITE + (
        "import resource, sys; from pathlib import Path\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))\n"
        "big = {n: np.zeros(4000, np.int8) for n in 'ab'}; np_zeros = np.zeros\n"
        "np.zeros = lambda *_: np_zeros(4000, np.int8)\n"
        "write(Path(sys.argv[1]), bytes(2000), False)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "BundleError: the bundle" in done.stderr.splitlines()[-1]
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_rendered_manifest_is_what_lies_in_the_bundle(whole_bundle: Bundle) -> None:
    text = (whole_bundle.path / "manifest.json").read_text(encoding="utf-8")
    assert text == render_manifest(whole_bundle.manifest)
