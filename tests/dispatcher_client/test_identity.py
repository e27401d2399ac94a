"""What is promised of a fleet's bits, by what its boards run."""

from __future__ import annotations

import pytest

from dispatcher_client.identity import RuntimeComparison, judge_fleet
from protos.v1.manifest_pb2 import RuntimeIdentity

PI = RuntimeIdentity(runtime="ai-edge-litert", version="2.3.0", architecture="aarch64", processor="Raspberry Pi 5")
JETSON = RuntimeIdentity(runtime="ai-edge-litert", version="2.3.0", architecture="aarch64", processor="Orin Nano")
PC = RuntimeIdentity(runtime="ai-edge-litert", version="2.3.0", architecture="x86_64")
NPU = RuntimeIdentity(
    runtime="ai-edge-litert", version="2.3.0", architecture="aarch64", delegate="libvx_delegate.so 12ab"
)
OLD = RuntimeIdentity(runtime="tflite-runtime", version="2.14.0", architecture="aarch64")


@pytest.mark.parametrize(
    ("made_on", "boards", "uniform", "matches", "words"),
    [
        (PI, [PI, JETSON], True, True, "bit-identical to the whole model: ai-edge-litert 2.3.0 on aarch64 everywhere"),
        (PC, [PI, JETSON], True, False, "not promised against the bundle's machine (ai-edge-litert 2.3.0 on x86_64)"),
        (PI, [PI, OLD], False, False, "b1: tflite-runtime 2.14.0 on aarch64"),
        (PC, [PC, PI], False, False, "the boards differ"),
        (
            PI,
            [NPU, NPU],
            False,
            False,
            "delegates compute in their own way (b0: ai-edge-litert 2.3.0 on aarch64 with the delegate",
        ),
        (PI, [PI, NPU], False, False, "b1: ai-edge-litert 2.3.0 on aarch64 with the delegate libvx_delegate.so 12ab"),
    ],
)
def test_promise_holds_for_one_version_of_one_runtime_on_one_architecture(
    made_on: RuntimeIdentity, boards: list[RuntimeIdentity], uniform: bool, matches: bool, words: str
) -> None:
    promise = judge_fleet(made_on, [(f"b{i}", identity) for i, identity in enumerate(boards)])
    assert (promise.fleet_is_uniform, promise.fleet_matches_bundle) == (uniform, matches)
    assert words in promise.text


def test_board_with_another_runtime_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    comparison = RuntimeComparison()
    comparison.compare("early", OLD)  # nothing to compare with yet
    comparison.serving = PI
    for _ in range(2):
        comparison.compare("like", JETSON)
        comparison.compare("unlike", OLD)
    assert [record.message for record in caplog.records] == [
        "board unlike runs tflite-runtime 2.14.0 on aarch64, those that serve ai-edge-litert 2.3.0 on aarch64: "
        "where it takes part, identical bits are not promised"
    ]
