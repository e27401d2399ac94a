"""Choosing a runtime: what is tried, what is said when there is none, and how a runtime's age is judged."""

from __future__ import annotations

import importlib
import importlib.metadata
from types import SimpleNamespace
from typing import Any

import pytest

from runtime import RuntimeMissingError, TfliteRuntime, load_runtime
from runtime.loading import RUNTIME_CHOICES


class _Installed:
    """Stands for the installed distributions: module -> content, distribution -> version."""

    def __init__(self, modules: dict[str, Any], versions: dict[str, str]) -> None:
        self._modules, self._versions = modules, versions

    def import_module(self, name: str) -> Any:
        if name not in self._modules:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return self._modules[name]

    def version(self, name: str) -> str:
        if name not in self._versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return self._versions[name]


LITERT = {"ai_edge_litert.interpreter": SimpleNamespace(Interpreter="LiteRT's", load_delegate=len)}
TFLITE = {"tflite_runtime.interpreter": SimpleNamespace(Interpreter="tflite-runtime's", load_delegate=len)}


def _installed(monkeypatch: pytest.MonkeyPatch, modules: dict[str, Any], versions: dict[str, str]) -> None:
    installed = _Installed(modules, versions)
    monkeypatch.setattr(importlib, "import_module", installed.import_module)
    monkeypatch.setattr(importlib.metadata, "version", installed.version)


def test_real_runtime_loads_and_identifies_itself() -> None:
    runtime = load_runtime()
    assert runtime.identity.runtime == runtime.name
    assert runtime.identity.version == runtime.version == importlib.metadata.version(runtime.name)
    assert hasattr(runtime.interpreter_class, "allocate_tensors")


def test_auto_prefers_litert(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"ai-edge-litert": "2.3.0", "tflite-runtime": "2.14.0", "numpy": "1.26.4"}
    _installed(monkeypatch, LITERT | TFLITE, versions)
    assert load_runtime("auto") == load_runtime("litert") == TfliteRuntime("ai-edge-litert", "2.3.0", "LiteRT's", len)
    assert load_runtime("tflite") == TfliteRuntime("tflite-runtime", "2.14.0", "tflite-runtime's", len)


def test_auto_takes_tflite_runtime_when_litert_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, TFLITE, {"tflite-runtime": "2.14.0", "numpy": "1.26.4"})
    assert load_runtime().name == "tflite-runtime"


def test_load_says_what_to_install_when_a_runtime_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, {}, {})
    with pytest.raises(RuntimeMissingError, match=r"pip install ai-edge-litert.*pip install tflite-runtime"):
        load_runtime("auto")
    with pytest.raises(
        RuntimeMissingError, match=r"^tflite-runtime cannot be imported .*pip install tflite-runtime\.$"
    ):
        load_runtime("tflite")


def test_load_refuses_a_module_without_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, LITERT, {})
    with pytest.raises(RuntimeMissingError, match="ai-edge-litert cannot be imported"):
        load_runtime("litert")


@pytest.mark.parametrize("numpy_version", ["2.0.0", "2.4.6", "3.0.0"])
def test_tflite_runtime_is_refused_when_numpy_is_too_new(monkeypatch: pytest.MonkeyPatch, numpy_version: str) -> None:
    _installed(monkeypatch, TFLITE, {"tflite-runtime": "2.14.0", "numpy": numpy_version})
    with pytest.raises(RuntimeMissingError, match=rf"does not work with NumPy {numpy_version}\. .*'numpy<2'"):
        load_runtime("tflite")


@pytest.mark.parametrize("choice", ["", "LiteRT", "tensorflow"])
def test_load_refuses_an_unknown_choice(choice: str) -> None:
    with pytest.raises(RuntimeMissingError, match=f"unknown runtime {choice!r}: expected one of auto, litert, tflite."):
        load_runtime(choice)
    assert choice not in RUNTIME_CHOICES


@pytest.mark.parametrize(
    ("version", "floor", "is_older"),
    [
        ("2.14.0", "2.17.0", True),
        ("2.9.1", "2.14.0", True),
        ("2.14.0", "2.14.0", False),
        ("2.14.0", "2.9.0", False),
        ("2.14.0.post1", "2.14.0", False),
        ("2.14", "2.14.0", False),
        ("2.14.0", "1.5.0", False),
        ("2.14.0", "", False),
        ("2.14.0", "undefined", False),
    ],
)
def test_tflite_runtime_is_older_than_a_floor_above_its_version(version: str, floor: str, is_older: bool) -> None:
    assert TfliteRuntime("tflite-runtime", version, None).is_older_than(floor) is is_older


def test_litert_is_never_older_because_it_counts_by_itself() -> None:
    assert not TfliteRuntime("ai-edge-litert", "1.1.2", None).is_older_than("2.17.0")
