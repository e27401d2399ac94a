"""Delegates: real libraries that compute, and ones that cannot be loaded or refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from runtime import Delegate, DelegateError, ModelLoadError, Runner, load_runtime
from tests import zoo
from tests.external_delegate import build, first_relu
from tests.partitioning import sample_models

MODEL = sample_models.relu_chain(["x", "y", "z"]).build()
X = np.array([[-1, 1]], np.float32)


def with_delegate(library: Path, *options: str) -> Delegate:
    return Delegate.parse(",".join([f"acc={library}", *options]))


def run(runner: Runner) -> list[float]:
    return np.ravel(runner.run([X])[0]).tolist()


def test_delegate_computes_unless_none_is_asked_for() -> None:
    runtime = load_runtime("auto", [with_delegate(first_relu(), "offset=0.5"), Delegate("plain", str(first_relu()))])
    assert run(Runner(runtime, MODEL)) == [0.5, 1.5]
    assert run(Runner(runtime.with_delegate("plain"), MODEL)) == [0, 1]
    assert run(Runner(runtime.with_delegate("none"), MODEL)) == [0, 1]
    assert run(Runner(runtime.with_delegate("none").with_delegate("acc"), MODEL)) == [0.5, 1.5]
    with pytest.raises(DelegateError, match="this board has no delegate 'gpu': expected one of acc, plain, none"):
        runtime.with_delegate("gpu")


def test_delegate_computes_again_after_a_model_was_loaded_anew() -> None:
    runner = Runner(load_runtime("auto", [with_delegate(first_relu(), "offset=0.5")]), MODEL)
    for _ in range(3):
        runner._is_fresh = False
        assert run(runner) == [0.5, 1.5]


def test_graph_without_work_for_the_delegate_is_computed_by_the_runtime() -> None:
    model = zoo.load("mlp", "float32")  # its RELUs are part of the layers before them
    delegated = Runner(load_runtime("auto", [with_delegate(first_relu(), "offset=0.5")]), model)
    alone = Runner(load_runtime(), model)
    values = [np.ones([abs(n) for n in port.shape], port.dtype) for port in alone.inputs]
    assert [o.tobytes() for o in delegated.run(values)] == [o.tobytes() for o in alone.run(values)]


def test_identity_tells_library_build_and_options(tmp_path: Path) -> None:
    (one := tmp_path / "libone.so").write_bytes(b"one build")
    identity = with_delegate(one, "device=usb", "cache=").identity
    assert re.fullmatch(r"libone\.so [0-9a-f]{12} device=usb cache=", identity)
    one.write_bytes(b"another build")
    assert with_delegate(one, "device=usb", "cache=").identity != identity
    runtime = load_runtime("auto", [with_delegate(one)])
    assert (runtime.identity.delegate, runtime.delegate_name) == (with_delegate(one).identity, "acc")
    assert (runtime.with_delegate("none").identity.delegate, runtime.with_delegate("none").delegate_name) == (
        "",
        "none",
    )


def test_text_of_a_delegate_is_parsed_to_the_same() -> None:
    delegate = with_delegate(first_relu(), "offset=0.5", "path=/a=b")
    assert delegate.options == (("offset", "0.5"), ("path", "/a=b"))
    assert Delegate.parse(str(delegate)) == delegate
    assert load_runtime("auto", [delegate]).delegate_texts == [str(delegate)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/usr/lib/libedgetpu.so", "expected NAME=PATH"),
        ("=/etc/hostname", "expected NAME=PATH"),
        ("none=/etc/hostname", "and not none"),
        ("a b=/etc/hostname", "expected NAME=PATH"),
        ("acc=/etc/hostname,device", "expected NAME=PATH"),
        ("acc=/etc/hostname,=usb", "expected NAME=PATH"),
        ("acc=/etc/hostname,", "expected NAME=PATH"),
        ("acc=/etc/hostname,a=1,b=2,a=3", "options twice: a"),
        ("acc=", "its path is no file"),
        ("acc=libedgetpu.so.1", "libedgetpu.so.1 is no file. Give the library's absolute path"),
        ("acc=/no/such.so", "/no/such.so is no file"),
        ("acc=/etc", "/etc is no file"),
    ],
)
def test_text_that_describes_no_delegate_is_refused(text: str, words: str) -> None:
    with pytest.raises(DelegateError, match=re.escape(words)):
        Delegate.parse(text)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (None, [], "invalid ELF header. It must be built for this machine"),
        ("int a;", [], "it has no tflite_plugin_create_delegate and no tflite_plugin_destroy_delegate"),
        ("void tflite_plugin_create_delegate(void) {}", [], "it has no tflite_plugin_destroy_delegate."),
        ("extern int missing(void); int (*call)(void) = missing;", [], "undefined symbol: missing"),
        ("", ["speed=high"], "it gives none: it has no such option. Is the accelerator there"),
        ("", ["give=nothing"], "it gives none and does not say why. Is the accelerator there"),
    ],
    ids=["no library", "no delegate", "half a delegate", "lacks a library", "refused option", "silent"],
)
def test_library_that_gives_no_delegate_is_refused_with_the_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], source: str | None, options: list[str], words: str
) -> None:
    library = tmp_path / "lib.so"
    if source is None:
        library.write_bytes(bytes(4096))
    elif source:
        build(library, source)
    else:
        library = first_relu()
    runtime = load_runtime("auto", [with_delegate(library, *options)])
    with pytest.raises(DelegateError, match=re.escape(words)) as caught:
        runtime.open_delegates()
    assert str(caught.value).startswith(f"the delegate acc cannot be loaded from {library}: ")
    with pytest.raises(DelegateError):
        Runner(runtime, MODEL)
    assert capfd.readouterr().err == ""


def test_library_of_another_machine_is_refused(tmp_path: Path) -> None:
    image = bytearray(first_relu().read_bytes())
    image[18:20] = (0xF3).to_bytes(2, "little")  # e_machine: RISC-V
    (other := tmp_path / "libother.so").write_bytes(image)
    with pytest.raises(DelegateError, match=r"libother\.so: cannot open shared object file.*It must be built for this"):
        load_runtime("auto", [with_delegate(other)]).open_delegates()


def test_library_that_has_gone_is_named(tmp_path: Path) -> None:
    (library := tmp_path / "libgone.so").write_bytes(b"")
    delegate = with_delegate(library)
    library.unlink()
    with pytest.raises(DelegateError, match=r"acc cannot be loaded from .*libgone\.so: No such file"):
        load_runtime("auto", [delegate]).identity  # noqa: B018
    with pytest.raises(DelegateError, match="No such file"):
        load_runtime("auto", [delegate]).open_delegates()


def test_graph_that_the_delegate_refuses_is_refused_and_taken_without_it() -> None:
    runtime = load_runtime("auto", [with_delegate(first_relu(), "prepare=refuse")])
    with pytest.raises(
        ModelLoadError, match=r"with the delegate acc refuses the model: .*delegate: none in boards\.yaml"
    ):
        Runner(runtime, MODEL)
    assert run(Runner(runtime.with_delegate("none"), MODEL)) == [0, 1]
