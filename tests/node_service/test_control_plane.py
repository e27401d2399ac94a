"""The control plane of a real node service, spoken to with grpc's ordinary client."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from bundle import Bundle
from examples.local_boards import LocalBoard, LocalBoards
from protos.v1 import control_plane_pb2 as control
from protos.v1.manifest_pb2 import ModelFile, Partition
from tests.node_service.stubs import TIMEOUT_S, channel_to, control_stub, load_request, put, serve_stage
from transport.channel import MAX_REQUEST_BYTES

MakeBundle = Callable[..., Bundle]


def test_description_names_runtime_and_machine(boards: LocalBoards) -> None:
    with channel_to(boards.addresses[0]) as channel:
        described = control_stub(channel).Describe(control.DescribeRequest(), timeout=TIMEOUT_S)
    assert described.name == "board1"
    assert described.protocol_version == 1
    assert described.runtime.runtime == "ai-edge-litert"
    assert described.runtime.architecture == platform.machine()
    assert described.threads == 1
    assert 0 < described.memory_available_bytes < described.memory_total_bytes


def test_upload_is_refused_when_the_hash_is_another(boards: LocalBoards) -> None:
    sha256 = hashlib.sha256(b"something else").hexdigest()
    with channel_to(boards.addresses[0]) as channel:
        stub = control_stub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            put(stub, sha256, b"data")
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "SHA-256" in caught.value.details()
        missing = stub.FindMissing(control.FindMissingRequest(sha256=[sha256]), timeout=TIMEOUT_S)
    assert list(missing.sha256) == [sha256]


def test_request_beyond_the_bound_is_refused(boards: LocalBoards) -> None:
    asked = control.FindMissingRequest(sha256=["0" * 64] * (MAX_REQUEST_BYTES // 64))
    with channel_to(boards.addresses[0]) as channel, pytest.raises(grpc.RpcError) as caught:
        control_stub(channel).FindMissing(asked, timeout=TIMEOUT_S)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "must be its header"),
        ([control.PutPartitionRequest(chunk=b"x")], "must be its header"),
        ([control.PutPartitionRequest(header=control.PartitionHeader(sha256="0" * 64))], "bytes, not 0"),
        ([control.PutPartitionRequest(header=control.PartitionHeader(sha256="../x", size_bytes=1))], "hexadecimal"),
    ],
)
def test_upload_is_refused_when_it_does_not_follow_the_protocol(
    boards: LocalBoards, parts: list[control.PutPartitionRequest], message: str
) -> None:
    with channel_to(boards.addresses[0]) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            control_stub(channel).PutPartition(iter(parts), timeout=TIMEOUT_S)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert message in caught.value.details()


def test_load_is_refused_when_the_partition_is_not_stored(boards: LocalBoards) -> None:
    partition = Partition(file=ModelFile(sha256="0" * 64))
    with channel_to(boards.addresses[0]) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            control_stub(channel).LoadStage(
                control.LoadStageRequest(deployment_id="x", partition=partition), timeout=TIMEOUT_S
            )
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert "upload it first" in caught.value.details()


def test_load_is_refused_when_the_file_is_no_model(boards: LocalBoards) -> None:
    data = b"\x1c\x00\x00\x00TFL3" + bytes(100)
    sha256 = hashlib.sha256(data).hexdigest()
    with channel_to(boards.addresses[0]) as channel:
        stub = control_stub(channel)
        put(stub, sha256, data)
        with pytest.raises(grpc.RpcError) as caught:
            stub.LoadStage(
                control.LoadStageRequest(deployment_id="x", partition=Partition(file=ModelFile(sha256=sha256))),
                timeout=TIMEOUT_S,
            )
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details().startswith("the model file is malformed: Model at byte 28")
        assert caught.value.details().count("malformed") == 1
        stub.Describe(control.DescribeRequest(), timeout=TIMEOUT_S)


def test_load_is_refused_when_file_and_manifest_are_of_different_bundles(
    boards: LocalBoards, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("residual", "int8")
    request = load_request(bundle, 0)
    file = bundle.splittings[0].partitions[0].file
    request.partition.inputs[0].shape[1] += 1
    with channel_to(boards.addresses[0]) as channel:
        stub = control_stub(channel)
        put(stub, file.sha256, bundle.file_path(file).read_bytes())
        with pytest.raises(grpc.RpcError) as caught:
            stub.LoadStage(request, timeout=TIMEOUT_S)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "different bundles" in caught.value.details()


def test_load_is_refused_when_a_tensor_leaves_that_nobody_made(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    request = load_request(zoo_bundle("residual", "int8"), 0)
    request.partition.leaving[0].name = "nowhere"
    with channel_to(boards.addresses[0]) as channel:
        put(control_stub(channel), *_file(zoo_bundle("residual", "int8"), 0))
        with pytest.raises(grpc.RpcError) as caught:
            control_stub(channel).LoadStage(request, timeout=TIMEOUT_S)
    assert "neither receives nor computes nowhere" in caught.value.details()


def test_several_deployments_are_loaded_at_once_and_unloaded_one_by_one(
    store_root: Path, zoo_bundle: MakeBundle
) -> None:
    one, other = zoo_bundle("residual", "int8"), zoo_bundle("mlp", "float32")
    with LocalBoards(1, store_root) as running, channel_to(running.addresses[0]) as channel:
        stub = control_stub(channel)
        for bundle in (one, other):
            for stage_index in range(2):
                serve_stage(running.addresses[0], bundle, stage_index)
        stub.LoadStage(load_request(one, 0), timeout=TIMEOUT_S)  # again: changes nothing
        described = stub.Describe(control.DescribeRequest(), timeout=TIMEOUT_S)
        assert {(s.deployment_id, s.stage_index) for s in described.stages} == {
            (b.deployment_id, i) for b in (one, other) for i in range(2)
        }
        request = control.UnloadDeploymentRequest(deployment_id=one.deployment_id)
        assert stub.UnloadDeployment(request, timeout=TIMEOUT_S).unloaded_stages == 2
        assert stub.UnloadDeployment(request, timeout=TIMEOUT_S).unloaded_stages == 0
        described = stub.Describe(control.DescribeRequest(), timeout=TIMEOUT_S)
    assert {s.deployment_id for s in described.stages} == {other.deployment_id}


def test_board_serves_again_what_it_served_when_it_was_killed(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8")
    store = store_root / "board"
    board = LocalBoard("board", store)
    serve_stage(board.address, bundle, 1)
    board.process.kill()
    board.stop()
    (store / "stages" / "damaged.0.json").write_text("half a fi")
    board = LocalBoard("board", store)
    try:
        with channel_to(board.address) as channel:
            described = control_stub(channel).Describe(control.DescribeRequest(), timeout=TIMEOUT_S)
    finally:
        assert board.stop() == 0
    assert [(s.deployment_id, s.stage_index) for s in described.stages] == [(bundle.deployment_id, 1)]
    assert any("damaged.0.json" in line for line in board.log)


def test_health_and_reflection_answer_standard_clients(boards: LocalBoards) -> None:
    with channel_to(boards.addresses[0]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "boardline.v1.ControlPlane", "boardline.v1.DataPlane"):
            reply = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (answer,) = reflection.ServerReflectionInfo(asked, timeout=TIMEOUT_S)
        names = {service.name for service in answer.list_services_response.service}
        assert {"boardline.v1.ControlPlane", "grpc.health.v1.Health"} <= names
        asked = iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol="boardline.v1.DataPlane")])
        (answer,) = reflection.ServerReflectionInfo(asked, timeout=TIMEOUT_S)
        assert answer.file_descriptor_response.file_descriptor_proto


def _file(bundle: Bundle, stage_index: int) -> tuple[str, bytes]:
    file = bundle.splittings[0].partitions[stage_index].file
    return file.sha256, bundle.file_path(file).read_bytes()
