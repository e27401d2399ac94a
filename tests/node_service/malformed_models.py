"""Partitions that are malformed in ways that only the runtime finds out: a search with a fixed seed, in forked processes."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from partitioning.tflite_schema import AlignedBufferT, read_model, write_model

# Of one mutant; a good one takes some milliseconds.
_TIMEOUT_S = 5.0


def mutants(data: bytes, seed: int) -> Iterator[bytes]:
    """Without end: numbers of the model set to others, and bytes flipped."""
    rng = random.Random(seed)
    while True:
        if rng.random() < 0.3:
            flipped = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            yield bytes(flipped)
        else:
            model = read_model(data)
            model.buffers = [AlignedBufferT(b.data) for b in model.buffers]
            for _ in range(rng.randint(1, 3)):
                _change(model, rng)
            try:
                yield write_model(model)
            except TypeError:  # a number that its field does not hold
                continue


def _change(model: Any, rng: random.Random) -> None:
    graph = model.subgraphs[0]
    operator, tensor = rng.choice(graph.operators), rng.choice(graph.tensors)
    kind = rng.randrange(9)
    if kind == 0 and tensor.shape is not None and len(tensor.shape):
        tensor.shape = [int(n) for n in tensor.shape]
        tensor.shape[rng.randrange(len(tensor.shape))] = rng.choice([0, 1, 3, 255, 2**20, 2**31 - 1])
    elif kind == 1:
        tensor.buffer = rng.randrange(len(model.buffers))
    elif kind == 2 and operator.inputs is not None and len(operator.inputs):
        operator.inputs = [int(n) for n in operator.inputs]
        operator.inputs[rng.randrange(len(operator.inputs))] = rng.randrange(-1, len(graph.tensors))
    elif kind == 3:
        operator.opcodeIndex = rng.randrange(len(model.operatorCodes))
    elif kind == 4:
        code = rng.choice(model.operatorCodes)
        code.builtinCode = rng.randrange(200)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    elif kind == 5 and operator.inputs is not None:
        operator.inputs = [int(n) for n in operator.inputs][: rng.randrange(len(operator.inputs) + 1)]
    elif kind == 6 and tensor.quantization is not None:
        tensor.quantization.scale = [0.0] * rng.randrange(4)
        tensor.quantization.zeroPoint = [2**40] * rng.randrange(4)
        tensor.quantization.quantizedDimension = rng.choice([-1, 0, 3, 100])
    elif kind == 7:
        integers = [t for t in graph.tensors if t.type in (2, 4) and model.buffers[t.buffer].data is not None]
        for constant in integers:
            content = bytearray(bytes(model.buffers[constant.buffer].data))
            content[rng.randrange(len(content))] = rng.choice([0, 1, 127, 255])
            model.buffers[constant.buffer].data = np.frombuffer(bytes(content), np.uint8)
    elif operator.builtinOptions is not None:
        numbers = [name for name, value in vars(operator.builtinOptions).items() if isinstance(value, int)]
        if numbers:
            setattr(operator.builtinOptions, rng.choice(numbers), rng.choice([0, -1, 1, 7, 100, 2**31 - 1, -(2**31)]))


def outcome(data: bytes) -> str:
    """What becomes of a process that loads and runs it: "fine", a signal's name, or "hangs". For a process without threads."""
    child = os.fork()
    if child == 0:
        _die_or_return(data)
    end_s = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < end_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return signal.Signals(-os.waitstatus_to_exitcode(status)).name if os.WIFSIGNALED(status) else "fine"
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def _die_or_return(data: bytes) -> None:

    from runtime import Runner, load_runtime

    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        runner = Runner(load_runtime(), data)
        runner.run([np.zeros([max(1, n) for n in port.shape], port.dtype) for port in runner.inputs])
    except BaseException:
        pass
    os._exit(0)


def main(source: Path, target: Path, wanted: int, most: int, seed: int) -> None:
    """Writes up to `wanted` mutants that pass every check but the trial, and that the runtime does not survive."""
    from runtime import ModelLoadError
    from runtime.model_check import examine

    data = source.read_bytes()
    found = tried = refused = 0
    for tried, mutant in enumerate(mutants(data, seed), 1):
        try:
            findings = examine(memoryview(mutant))
        except ModelLoadError:
            refused += 1
        else:
            if findings.need_bytes < 2**28 and not findings.foreign_operators:
                became = outcome(mutant)
                if became != "fine":
                    (target / f"{found:02}-{became}.tflite").write_bytes(mutant)
                    found += 1
        if found == wanted or tried == most:
            break
    print(f"{tried} tried, {refused} refused by structure, {found} found")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
