"""What two machines must share for equal bits."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from protos.v1.manifest_pb2 import RuntimeIdentity
from runtime import identify, same_bits_promised

ONE = RuntimeIdentity(runtime="ai-edge-litert", version="2.3.0", architecture="aarch64", processor="Cortex-A72")


@pytest.mark.parametrize(
    ("changed", "promised"),
    [
        ({}, True),
        ({"processor": "Cortex-A76"}, True),
        ({"runtime": "tflite-runtime"}, False),
        ({"version": "2.2.0"}, False),
        ({"architecture": "x86_64"}, False),
        ({"delegate": "libvx_delegate.so 12ab34cd56ef"}, False),
    ],
)
def test_bits_are_promised_for_one_version_of_one_runtime_on_one_architecture(
    changed: dict[str, str], promised: bool
) -> None:
    other = RuntimeIdentity()
    other.CopyFrom(ONE)
    for field, value in changed.items():
        setattr(other, field, value)
    assert same_bits_promised(ONE, other) is same_bits_promised(other, ONE) is promised


def test_no_bits_are_promised_with_a_delegate_be_it_the_same_on_both() -> None:
    one = RuntimeIdentity(
        runtime="ai-edge-litert", version="2.3.0", architecture="aarch64", delegate="libvx_delegate.so 12ab"
    )
    assert not same_bits_promised(one, one)


def _files(monkeypatch: pytest.MonkeyPatch, contents: dict[str, str]) -> None:
    def read_text(path: Path) -> str:
        if str(path) not in contents:
            raise FileNotFoundError(str(path))
        return contents[str(path)]

    monkeypatch.setattr(Path, "read_text", read_text)


@pytest.mark.parametrize(
    ("contents", "processor"),
    [
        ({"/proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU: 3 GHz\n"}, "Some CPU: 3 GHz"),
        (
            {"/proc/cpuinfo": "processor\t: 0\n", "/proc/device-tree/model": "Raspberry Pi 4 Model B\0\n"},
            "Raspberry Pi 4 Model B",
        ),
        ({"/proc/cpuinfo": "processor\t: 0\n"}, "of the platform module"),
        ({}, "of the platform module"),
    ],
)
def test_identity_names_the_processor_where_the_system_does(
    monkeypatch: pytest.MonkeyPatch, contents: dict[str, str], processor: str
) -> None:
    _files(monkeypatch, contents)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(platform, "processor", lambda: "of the platform module")
    expected = RuntimeIdentity(runtime="r", version="1", architecture="aarch64", processor=processor)
    assert identify("r", "1") == expected
