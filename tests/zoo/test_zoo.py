"""The zoo is complete, its models are alive, and the check of that notices a dead one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests import zoo
from tests.zoo import cache, make
from tests.zoo.liveness import assert_alive

CASES = [(name, mode) for name in zoo.NAMES for mode in zoo.supported(name)]


def _parsed(content: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))


def _packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_activations_are_alive(name: str, mode: str) -> None:
    assert_alive(zoo.load(name, mode), zoo.inputs(name))


@pytest.mark.parametrize("name", [name for name, mode in CASES if mode == "int8"])
def test_int8_models_take_and_give_int8(name: str) -> None:
    graph = _parsed(zoo.load(name, "int8")).subgraphs[0]
    kinds = {graph.tensors[index].type for index in (*graph.inputs, *graph.outputs)}
    assert kinds == {schema.TensorType.INT8}


@pytest.mark.parametrize("name", [name for name, mode in CASES if mode == "dynamic"])
def test_dynamic_models_hold_int8_weights(name: str) -> None:
    model = _parsed(zoo.load(name, "dynamic"))
    weights = [
        tensor
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.INT8 and model.buffers[tensor.buffer].data is not None
    ]
    assert weights


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_liveness_notices_one_zeroed_convolution(mode: str) -> None:
    model = _parsed(zoo.load("chain", mode))
    graph = model.subgraphs[0]
    for index in graph.operators[4].inputs[1:]:
        buffer = model.buffers[graph.tensors[index].buffer]
        buffer.data = np.zeros_like(buffer.data)
    with pytest.raises(AssertionError, match="activations are dead"):
        assert_alive(_packed(model), zoo.inputs("chain"))


def test_load_names_what_exists_when_asked_for_something_else() -> None:
    with pytest.raises(LookupError, match=r"no model 'chian' .*chain"):
        zoo.load("chian", "int8")
    with pytest.raises(LookupError, match=r"no mode 'int4' .*int8"):
        zoo.load("chain", "int4")


def test_models_of_other_sources_are_discarded_and_fresh_ones_kept(tmp_path: Path) -> None:
    model = cache.model_path(tmp_path, "chain", "int8")
    model.write_bytes(b"of another version")
    cache.discard_stale(tmp_path)
    assert not model.exists()
    model.write_bytes(b"of this version")
    cache.discard_stale(tmp_path)
    assert model.exists() and cache.is_fresh(tmp_path)


def test_make_refuses_an_unknown_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        make.main([str(tmp_path), "--modes", "float32,int4"])
    assert "unknown: int4 (have: float32" in capsys.readouterr().err


def test_the_zoo_loads_without_tensorflow() -> None:
    zoo.load("chain", "float32")
    script = (
        "import sys; from tests import zoo; from tests.zoo.liveness import assert_alive;"
        "zoo.load('chain', 'int8'); zoo.inputs('chain');"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=cache.PROJECT_ROOT, timeout=60, check=False)
    assert run.returncode == 0
