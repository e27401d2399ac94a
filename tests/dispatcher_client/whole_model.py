"""Inputs for a bundle, and what the whole model answers to them in one process."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np

from bundle import Bundle, open_bundle
from bundle.manifest import render_manifest
from dispatcher_client import AsyncDispatcher, Dispatcher
from dispatcher_client.values import Answer
from runtime import Runner, load_runtime


def random_inputs(bundle: Bundle, seed: int) -> dict[str, np.ndarray]:
    """Inputs like the bundle's sample, by tensor name, that differ from it."""
    generator = np.random.default_rng(seed)
    sample = bundle.load_sample()[0]
    return {name: generator.permutation(x.reshape(-1)).reshape(x.shape) for name, x in sample.items()}


def run_whole(bundle: Bundle, inputs: dict[str, np.ndarray]) -> dict[str, bytes]:
    """The whole model's answer in one process, by public name."""
    manifest = bundle.manifest
    runner = Runner(load_runtime(), bundle.file_path(manifest.whole))
    outputs = runner.run([inputs[spec.name] for spec in manifest.inputs])
    by_name = {t.name: o for t, o in zip(bundle.splittings[0].leaving, outputs)}
    return {t.alias or t.name: by_name[t.name].tobytes() for t in manifest.outputs}


def single(answer: Answer) -> np.ndarray:
    """The answer of a model that has one output."""
    assert isinstance(answer, np.ndarray)
    return answer


def named(chain: Dispatcher | AsyncDispatcher, answer: Answer) -> dict[str, bytes]:
    """An answer's bytes by public name, whether the model has one output or several."""
    answers = answer if isinstance(answer, dict) else {chain.manifest.outputs[0].alias: answer}
    return {name: array.tobytes() for name, array in answers.items()}


def with_a_wrong_answer(bundle: Bundle, place: Path) -> Bundle:
    """The bundle with another answer to its sample: to a dispatcher, boards that compute wrong."""
    shutil.copytree(bundle.path, place)
    inputs, outputs = bundle.load_sample()
    next(iter(outputs.values())).reshape(-1)[0] += 1
    arrays = {f"input:{n}": a for n, a in inputs.items()} | {f"output:{n}": a for n, a in outputs.items()}
    np.savez(place / "sample.npz", **arrays)  # type: ignore[arg-type]
    manifest = type(bundle.manifest)()
    manifest.CopyFrom(bundle.manifest)
    manifest.sample.sha256 = hashlib.sha256((place / "sample.npz").read_bytes()).hexdigest()
    (place / "manifest.json").write_text(render_manifest(manifest))
    return open_bundle(place)
