"""Codecs on trained weights and real images: `python -m benchmarks.codecs`; bytes against float32, speed, and final answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import typer

from bundle import Bundle, open_bundle
from runtime import Runner, load_runtime
from terminal import command_app, print_json, print_table, progress, run
from transport.frame import EncodedTensor
from transport.tensor_codec import CODECS, CodecSetting, decode_tensor, encode_tensor, parse_setting
from transport.tensor_spec import Array, dequantize, quantize

_ROOT = Path(__file__).parents[1]
_KEPT = _ROOT / ".cache" / "benchmarks" / "codecs"
# After the first layer, between residual blocks, and inside one, where two tensors cross.
_CUTS = "stem,stage1a_out,stage1b_out,stage2b_relu1,stage2b_out,stage3a_out"
_FLOAT_BYTES = 4
_SETTINGS = {
    "float32": ("raw", "lz4", "shuffle-lz4", "half", "zfp", "zfp:1e-3", "zfp:1e-1", "q8", "q4"),
    "int8": ("raw", "lz4", "shuffle-lz4"),
}
_EVERY_CUT = "all"


@dataclass(frozen=True)
class Row:
    """One codec on one boundary (or all of them) of one model, with one kind of images; every boundary is coded so."""

    images: str
    n_images: int
    dtype: str
    codec: str
    is_lossless: bool
    # The tensors that cross, or "all".
    cut: str
    float32_bytes: int
    # Of all tensors that cross, for one image, on average; against float32 of as many elements.
    sent_bytes: float
    share_of_float32: float
    # Of the bytes before encoding; processor time of the thread.
    encode_mb_s: float
    decode_mb_s: float
    # With every boundary coded, against none: share of equal first choices, and the largest difference of a probability.
    top1_agreement: float
    max_difference: float


@dataclass
class _Tally:
    """Sums over images of what crossed a cut."""

    elements: int = 0
    raw_bytes: int = 0
    sent_bytes: int = 0
    encode_s: float = 0.0
    decode_s: float = 0.0


@dataclass
class _Coder:
    """Codes what crosses cuts, and keeps count."""

    setting: CodecSetting
    tallies: dict[str, _Tally] = field(default_factory=dict)

    def __call__(self, cut: str, array: Array) -> Array:
        begun_s = time.thread_time()
        sent = encode_tensor(array, self.setting)
        encoded_s = time.thread_time()
        wire = EncodedTensor(sent.header, bytes(sent.data))
        copied_s = time.thread_time()
        got = decode_tensor(wire)
        decoded_s = time.thread_time()
        for name in (cut, _EVERY_CUT):
            tally = self.tallies.setdefault(name, _Tally())
            tally.elements += array.size
            tally.raw_bytes += array.nbytes
            tally.sent_bytes += len(wire.data)
            tally.encode_s += encoded_s - begun_s
            tally.decode_s += decoded_s - copied_s
        return got


app = command_app("Measures codecs.")


@app.command()
def codecs(
    images: int = typer.Option(150, min=1, help="Digits, and photograph crops, at most."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON, one per codec and cut."),
) -> None:
    """Measure codecs on what crosses the cuts of a network trained on digits, shown digits and photographs.

    Accuracy means nothing on photographs, which the network was not trained for: they are there for the statistics of their
    tensors.
    Example: python -m benchmarks.codecs --json
    """
    with progress() as display:
        display.add_task("training and converting, once", total=None)
        trained = _once(_KEPT / "trained", _train)
        bundles = {
            dtype: open_bundle(_once(_KEPT / dtype, lambda out, dtype=dtype: _split(trained, dtype, out)))  # type: ignore[misc]
            for dtype in _SETTINGS
        }
        with np.load(trained / "images.npz") as arrays:
            shown = {kind: arrays[kind][:images] for kind in ("digits", "photographs")}
        display.add_task("coding", total=None)
        rows = [
            row
            for kind, pixels in shown.items()
            for dtype, names in _SETTINGS.items()
            for row in _measure(kind, pixels, dtype, bundles[dtype], names)
        ]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for kind in shown:
        print_table(
            f"{kind}, all cuts coded",
            ("model", "codec", "of float32", "encode MB/s", "decode MB/s", "same first choice", "largest difference"),
            (
                (
                    r.dtype,
                    r.codec,
                    f"{r.share_of_float32:.3f}",
                    f"{r.encode_mb_s:.0f}",
                    f"{r.decode_mb_s:.0f}",
                    f"{r.top1_agreement:.1%}",
                    f"{r.max_difference:.2g}",
                )
                for r in rows
                if r.images == kind and r.cut == _EVERY_CUT
            ),
            text_columns=2,
        )


def _measure(kind: str, pixels: Array, dtype: str, bundle: Bundle, names: Sequence[str]) -> Iterator[Row]:
    chain = _Chain(bundle)
    expected = chain.answers(pixels, lambda _cut, array: array)
    for name in names:
        coder = _Coder(parse_setting(name))
        answers = chain.answers(pixels, coder)
        is_lossless = CODECS[coder.setting.codec].is_lossless
        if is_lossless and answers.tobytes() != expected.tobytes():
            raise RuntimeError(f"{name} is lossless and changed the answers of the {dtype} model")
        for cut, tally in coder.tallies.items():
            yield Row(
                images=kind,
                n_images=len(pixels),
                dtype=dtype,
                codec=name,
                is_lossless=is_lossless,
                cut=cut,
                float32_bytes=_FLOAT_BYTES * tally.elements // len(pixels),
                sent_bytes=tally.sent_bytes / len(pixels),
                share_of_float32=tally.sent_bytes / (_FLOAT_BYTES * tally.elements),
                encode_mb_s=tally.raw_bytes / 1e6 / tally.encode_s,
                decode_mb_s=tally.raw_bytes / 1e6 / tally.decode_s,
                top1_agreement=float((answers.argmax(axis=1) == expected.argmax(axis=1)).mean()),
                max_difference=float(np.abs(answers - expected).max()),
            )


class _Chain:
    """A bundle's partitions one after the other in this process."""

    def __init__(self, bundle: Bundle) -> None:
        runtime = load_runtime()
        self._manifest = bundle.manifest
        self._partitions = bundle.splittings[0].partitions
        self._runners = [Runner(runtime, bundle.file_path(p.file)) for p in self._partitions]

    def answers(self, pixels: Array, code: Callable[[str, Array], Array]) -> Array:
        """(N, classes) float32 for (N, height, width, channels); `code` sees each tensor that leaves a partition for another."""
        return np.concatenate([self._answer(image[None], code) for image in pixels])

    def _answer(self, image: Array, code: Callable[[str, Array], Array]) -> Array:
        (given,), (wanted,) = self._manifest.inputs, self._manifest.outputs
        here = {given.name: quantize(given, image) if given.HasField("quantization") else image}
        for partition, runner in zip(self._partitions, self._runners):
            outputs = runner.run([here[spec.name] for spec in partition.inputs])
            here.update(zip((spec.name for spec in partition.outputs), outputs))
            names = [spec.name for spec in partition.leaving]
            cut = " + ".join(names)
            is_last = partition is self._partitions[-1]
            here = {name: here[name] if is_last else code(cut, here[name]) for name in names}
        return np.asarray(dequantize(wanted, here[wanted.name]))


def _train(out: Path) -> None:
    out.mkdir()
    _python("-m", "benchmarks.codecs_training", out)


def _split(trained: Path, dtype: str, out: Path) -> None:
    arguments = ["--cut-at", _CUTS]
    if dtype == "int8":
        arguments += ["--quantize", "int8", "--calibration", str(trained / "calibration.npy")]
    _python("-m", "converter", "split", trained / "digits32.keras", *arguments, "--out", out)


def _once(result: Path, make: Callable[[Path], None]) -> Path:
    """A directory that an earlier run has made, or that is made now."""
    if not result.exists():
        result.parent.mkdir(parents=True, exist_ok=True)
        building = result.with_name(result.name + ".building")
        shutil.rmtree(building, ignore_errors=True)
        make(building)
        building.rename(result)
    return result


def _python(*arguments: str | Path) -> None:
    """Runs Python in a child whose chatter is shown only if it fails. Raises: RuntimeError."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed:\n{done.stderr[-3000:]}")


def main() -> None:
    """Entry point of `python -m benchmarks.codecs`."""
    run(app, (RuntimeError,))


if __name__ == "__main__":
    main()
