"""Reads a bundle and checks its hashes; writes one whole or not at all."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from bundle.errors import BundleError
from bundle.manifest import parse_manifest, render_manifest
from bundle.plan import Plan
from bundle.splitting import BundleSplitting, list_splittings
from protos.v1.manifest_pb2 import Manifest, ModelFile

Array = np.ndarray[Any, Any]

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
PLAN_NAME = "plan.yaml"
_SAMPLE_NAME = "sample.npz"
_INPUT_PREFIX, _OUTPUT_PREFIX = "input:", "output:"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest has been read and checked.

    `manifest_bytes` are the manifest's file as it was read; `signature` is theirs, empty if there is none, and unchecked.
    """

    path: Path
    manifest: Manifest
    manifest_bytes: bytes = field(default=b"", repr=False)
    signature: bytes = field(default=b"", repr=False)

    @property
    def splittings(self) -> tuple[BundleSplitting, ...]:
        """Every way in which this bundle splits the model; there is at least one."""
        return list_splittings(self.manifest)

    @property
    def batch(self) -> int:
        """Inputs in one frame; 1 unless the model was split for a batch."""
        return self.manifest.batch or 1

    @property
    def deployment_id(self) -> str:
        """Names the first splitting on the boards."""
        return self.splittings[0].deployment_id

    def file_path(self, file: ModelFile) -> Path:
        """Where a model file lies.

        Raises: BundleError: the manifest points outside the bundle, the file is missing, or its hash is wrong.
        """
        path = self._inside(file.path)
        _check_hash(path, file.sha256)
        return path

    def load_sample(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """The sample input and the whole model's answer, by tensor name. Raises: BundleError: missing or damaged."""
        path = self._inside(self.manifest.sample.path)
        _check_hash(path, self.manifest.sample.sha256)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return _with_prefix(arrays, _INPUT_PREFIX), _with_prefix(arrays, _OUTPUT_PREFIX)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BundleError(f"{path} is not a sample: {error}. Split the model again.") from error

    def plan(self) -> Plan | None:
        """The plan that the bundle was split for, if there is one. Raises: PlanError: it cannot be read."""
        path = self.path / PLAN_NAME
        if not path.is_file():
            return None
        from bundle.plan_file import read_plan  # here, because a board may open a bundle and has no YAML

        return read_plan(path)

    def _inside(self, relative: str) -> Path:
        path = (self.path / relative).resolve()
        if not relative or self.path.resolve() not in path.parents:
            raise BundleError(f"the manifest points at {relative!r}, outside the bundle {self.path}.")
        return path


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Reads a bundle's manifest; files are checked when they are asked for.

    Raises: BundleError: no such directory, no manifest, or a manifest that this version cannot read.
    """
    directory = Path(path)
    manifest_path = directory / MANIFEST_NAME
    if not directory.is_dir():
        raise BundleError(
            f"{directory} is not a directory. Make a bundle: python -m converter split MODEL --out {directory}"
        )
    if not manifest_path.is_file():
        raise BundleError(
            f"{directory} is not a bundle: it has no {MANIFEST_NAME}. Make one: python -m converter split"
        )
    try:
        content = manifest_path.read_bytes()
        text = content.decode()
        signature_path = directory / SIGNATURE_NAME
        signature = signature_path.read_bytes() if signature_path.is_file() else b""
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{manifest_path} cannot be read: {error}.") from error
    return Bundle(directory, parse_manifest(text), content, signature)


class BundleWriter:
    """Collects a bundle in a hidden directory beside its place; `finish` moves it there, leaving early removes it.

    with BundleWriter(out) as writer:
        file = writer.add_model(data)
        ...
        writer.finish(manifest)
    """

    def __init__(self, out: Path, *, replace: bool = False) -> None:
        """Raises: BundleError: something is at `out` already, and it is not a bundle or `replace` is off."""
        self._out = out
        self._replace = replace
        self._require_place()

    def __enter__(self) -> BundleWriter:
        from bundle.building import Building  # here, because a bundle is also read where locks are missing

        with self._naming_errors():
            self._place = Building(self._out)
        self._building = self._place.path
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._place.discard()

    def add_model(self, data: bytes, directory: str = "partitions") -> ModelFile:
        """Stores a TFLite file under its content's hash. Raises: BundleError: the disk is full."""
        sha256 = hashlib.sha256(data).hexdigest()
        relative = Path(directory) / f"{sha256}.tflite"
        path = self._building / relative
        with self._naming_errors():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        return ModelFile(path=relative.as_posix(), sha256=sha256, size_bytes=len(data))

    def path_of(self, file: ModelFile) -> Path:
        """Where a file added before lies until `finish`."""
        return self._building / file.path

    def finish(
        self,
        manifest: Manifest,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        plan_text: str | None = None,
    ) -> Bundle:
        """Writes the sample, the manifest and the plan and moves the bundle to its place.

        Args:
            plan_text: what `bundle.plan_file.render_plan` made, its cuts as indices. No part of any deployment's id.
        Raises: BundleError: the disk is full, or something has come to the place meanwhile.
        """
        sample_path = self._building / _SAMPLE_NAME
        arrays = {f"{_INPUT_PREFIX}{n}": a for n, a in inputs.items()}
        arrays.update({f"{_OUTPUT_PREFIX}{n}": a for n, a in outputs.items()})
        with self._naming_errors():
            np.savez(sample_path, **arrays)  # type: ignore[arg-type]  # the stub confuses arrays with its own options
            manifest.sample.path = _SAMPLE_NAME
            manifest.sample.sha256 = _hash_file(sample_path)
            (self._building / MANIFEST_NAME).write_text(render_manifest(manifest), encoding="utf-8")
            if plan_text is not None:
                (self._building / PLAN_NAME).write_text(plan_text, encoding="utf-8")
            self._require_place()  # again: making the bundle may have taken an hour
            self._place.move()
        return open_bundle(self._out)

    def _require_place(self) -> None:
        out = self._out
        with self._naming_errors():
            if not out.exists():
                return
            if out.samefile(Path.cwd()):
                raise BundleError(
                    "the present directory cannot be made a bundle: it would be moved away. Choose a new --out."
                )
            if not any(out.iterdir() if out.is_dir() else [out]):
                return
            if not (out / MANIFEST_NAME).is_file():
                raise BundleError(f"{out} exists and is not a bundle; it is left alone. Choose another --out.")
            if not self._replace:
                raise BundleError(f"{out} holds a bundle already. Say --force to replace it, or choose another --out.")

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BundleError(
                f"the bundle {self._out} cannot be written: {error}. Make room, or choose another --out."
            ) from error


def _with_prefix(arrays: Any, prefix: str) -> dict[str, Array]:
    return {key[len(prefix) :]: arrays[key] for key in arrays.files if key.startswith(prefix)}


def _check_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise BundleError(f"{path} is missing from the bundle. Split the model again.")
    found = _hash_file(path)
    if found != expected:
        raise BundleError(
            f"{path} is damaged or was changed: its SHA-256 is {found}, the manifest says {expected}. Split the model again."
        )


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
