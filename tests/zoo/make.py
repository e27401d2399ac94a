"""Builds and converts the zoo: `python -m tests.zoo.make OUT_DIR [--only NAME ...] [--modes float32,int8]`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.zoo import cache
from tests.zoo.catalogue import MODES, NAMES, UNSUPPORTED

_LOG = "make.log"
# Every worker imports TensorFlow (5 s, 0.6 GB), so more of them than cores only cost.
_DEFAULT_JOBS = 2
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    # The same kernels everywhere, so that batch statistics differ as little as possible between machines.
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes what is missing or stale, and returns the exit status."""
    options = _parser().parse_args(arguments)
    started_s = time.monotonic()
    with cache.locked(options.out_dir):
        cache.discard_stale(options.out_dir)
        missing = _missing(options.out_dir, options.only or NAMES, options.modes)
        failures = _make(missing, options.out_dir, options.jobs) if missing else {}
    for name, reason in sorted(failures.items()):
        print(f"zoo: {name} failed: {reason}", file=sys.stderr)
    if failures:
        print(f"zoo: TensorFlow's own output is in {options.out_dir / _LOG}", file=sys.stderr)
        return 1
    made = sum(len(modes) for modes in missing.values())
    elapsed_s = time.monotonic() - started_s
    print(f"zoo: {made} models made in {elapsed_s:.1f} s: {options.out_dir}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.make", description=__doc__)
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME")
    parser.add_argument("--modes", type=_modes, default=MODES, help=",".join(MODES))
    parser.add_argument("--jobs", type=int, default=_DEFAULT_JOBS, help="worker processes")
    return parser


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(text.split(","))
    unknown = sorted(set(modes) - set(MODES))
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)} (have: {', '.join(MODES)})")
    return modes


def _missing(out_dir: Path, names: Sequence[str], modes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns the modes to make by name, for every model of which anything is missing."""
    missing = {}
    for name in names:
        absent = tuple(
            mode
            for mode in modes
            if (name, mode) not in UNSUPPORTED and not cache.model_path(out_dir, name, mode).exists()
        )
        if absent or not cache.input_path(out_dir, name).exists():
            missing[name] = absent
    return missing


def _make(missing: Mapping[str, tuple[str, ...]], out_dir: Path, jobs: int) -> dict[str, str]:
    """Converts in worker processes, and returns why models failed, by name."""
    os.environ.update(_ENVIRONMENT)  # read when a worker imports TensorFlow
    failures = {}
    log = out_dir / _LOG
    log.unlink(missing_ok=True)
    with ProcessPoolExecutor(
        max_workers=min(jobs, len(missing)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_silence,
        initargs=(log,),
    ) as pool:
        futures = {name: pool.submit(_convert, name, modes, out_dir) for name, modes in missing.items()}
        for name, future in futures.items():
            try:
                future.result()
            except Exception as error:  # reported with the others; a crashed worker fails all that is left
                failures[name] = f"{type(error).__name__}: {error}"
    return failures


def _silence(log: Path) -> None:
    """Sends everything this process prints to a file: TensorFlow's C++ does not go through sys.stderr."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _convert(name: str, modes: tuple[str, ...], out_dir: Path) -> None:
    from tests.zoo.convert import convert  # imports TensorFlow, which only workers need

    convert(name, modes, out_dir)


if __name__ == "__main__":
    sys.exit(main())
