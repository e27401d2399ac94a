"""Unmodified clients of Triton drive chains of boards over gRPC."""

from __future__ import annotations

import asyncio
import queue
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2 as messages
from tritonclient.utils import InferenceServerException

from bundle import Bundle
from examples.local_boards import LocalBoards
from examples.local_gateway import LocalGateway
from tests.dispatcher_client.gateway.asking import answers, inputs_of, output_names
from tests.dispatcher_client.gateway.conftest import Serving
from tests.dispatcher_client.test_cancelling import frames, frozen
from tests.dispatcher_client.whole_model import random_inputs, run_whole
from tests.freezing import PATIENT
from tests.transport.message_stream.by_hand import comes_true

_TIMEOUT_S = 30


@pytest.fixture
def client(serving: Serving) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(serving.grpc) as client:
        yield client


def test_server_and_models_say_what_they_are(serving: Serving, client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata().name == "boardline"
    neck = client.get_model_metadata(serving.neck.manifest.model_name)
    assert [(o.name, o.datatype, list(o.shape)) for o in neck.outputs] == [
        (o.alias, "INT8", list(o.shape)) for o in serving.neck.manifest.outputs
    ]
    residual = client.get_model_metadata(serving.residual.manifest.model_name, "1")
    assert list(residual.versions) == ["1", "3"]
    assert [i.datatype for i in residual.inputs] == ["FP32"]
    (newest,) = client.get_model_metadata(serving.residual.manifest.model_name).inputs
    assert newest.datatype == "INT8"
    assert client.is_model_ready(serving.residual.manifest.model_name, "3")


@pytest.mark.parametrize("which", ["residual", "quantised", "neck", "two_inputs"])
def test_answers_are_the_whole_models_bytes(serving: Serving, client: triton.InferenceServerClient, which: str) -> None:
    bundle: Bundle = getattr(serving, which)
    version = {"residual": "1", "quantised": "3"}.get(which, "")
    x = random_inputs(bundle, 1)
    result = client.infer(
        bundle.manifest.model_name,
        inputs_of(triton, bundle, x),
        version,
        request_id="frame 7",
        client_timeout=_TIMEOUT_S,
    )
    assert answers(result, output_names(bundle)) == run_whole(bundle, x)
    response = result.get_response()
    assert (response.id, response.model_name) == ("frame 7", bundle.manifest.model_name)
    assert response.model_version == (version or "1")


def test_requested_outputs_come_alone_and_in_the_order_of_the_request(
    serving: Serving, client: triton.InferenceServerClient
) -> None:
    bundle = serving.neck
    first, second, third = output_names(bundle)
    x = random_inputs(bundle, 2)
    result = client.infer(
        bundle.manifest.model_name,
        inputs_of(triton, bundle, x),
        outputs=[triton.InferRequestedOutput(name) for name in (third, first)],
    )
    assert [o.name for o in result.get_response().outputs] == [third, first]
    whole = run_whole(bundle, x)
    assert answers(result, (third, first)) == {third: whole[third], first: whole[first]}
    assert result.as_numpy(second) is None


def test_many_calls_at_once_each_get_their_own_answer(serving: Serving) -> None:
    bundle = serving.quantised
    inputs = [random_inputs(bundle, seed) for seed in range(4)]
    expected = [run_whole(bundle, x) for x in inputs]
    (name,) = output_names(bundle)

    async def run() -> None:
        async with triton_aio.InferenceServerClient(serving.grpc) as client:

            async def call(index: int) -> Any:
                x = inputs_of(triton_aio, bundle, inputs[index % 4])
                return await client.infer(bundle.manifest.model_name, x, "3", client_timeout=_TIMEOUT_S)

            results = await asyncio.gather(*map(call, range(100)))
            assert [answers(r, [name]) for r in results] == [expected[i % 4] for i in range(100)]

    asyncio.run(run())


def test_stream_answers_in_order_and_goes_on_after_errors(
    serving: Serving, client: triton.InferenceServerClient
) -> None:
    bundle = serving.residual
    inputs = [random_inputs(bundle, seed) for seed in range(4)]
    expected = [run_whole(bundle, x) for x in inputs]
    heard: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: heard.put((result, error)))
    for index in range(60):
        name = "no such model" if index == 30 else bundle.manifest.model_name
        client.async_stream_infer(name, inputs_of(triton, bundle, inputs[index % 4]), "1", request_id=str(index))
    got = [heard.get(timeout=_TIMEOUT_S) for _ in range(60)]
    client.stop_stream()
    assert "no model 'no such model'" in str(got[30][1])
    del got[30]
    for result, error in got:
        assert error is None
        index = int(result.get_response().id)
        assert answers(result, output_names(bundle)) == expected[index % 4]
    assert [int(result.get_response().id) for result, _ in got] == [i for i in range(60) if i != 30]


def _message(serving: Serving, **changes: Any) -> messages.ModelInferRequest:
    spec = serving.residual.manifest.inputs[0]
    request = messages.ModelInferRequest(model_name=serving.residual.manifest.model_name, model_version="1")
    tensor = request.inputs.add(name=spec.alias, datatype="FP32", shape=spec.shape)
    for field, value in changes.items():
        if field == "raw":
            request.raw_input_contents.extend(value)
        elif field == "floats":
            tensor.contents.fp32_contents.extend(value)
        elif field == "name":
            tensor.name = value
        elif field == "timeout":
            request.parameters["timeout"].int64_param = value
        elif field == "output":
            request.outputs.add(name=value)
        elif field == "memory":
            tensor.parameters["shared_memory_region"].string_param = value
        elif field == "twice":
            request.inputs.add().CopyFrom(tensor)
        elif field == "datatype":
            tensor.datatype = value
        else:
            del tensor.shape[:]
            tensor.shape.extend(value)
    return request


def test_elements_in_typed_fields_count_as_those_in_bytes(
    serving: Serving, client: triton.InferenceServerClient
) -> None:
    x = random_inputs(serving.residual, 3)
    (array,) = x.values()
    stub = client._client_stub
    typed = stub.ModelInfer(_message(serving, floats=array.ravel().tolist()), timeout=_TIMEOUT_S)
    raw = stub.ModelInfer(_message(serving, raw=[array.tobytes()]), timeout=_TIMEOUT_S)
    assert typed == raw
    assert dict(zip(output_names(serving.residual), raw.raw_output_contents)) == run_whole(serving.residual, x)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"raw": [b"1234567"]}, "INVALID_ARGUMENT", "has 7 bytes, expected"),
        ({"raw": [b"", b""]}, "INVALID_ARGUMENT", "2 raw_input_contents for 1 inputs"),
        ({"floats": [1.0]}, "INVALID_ARGUMENT", "1 elements, expected"),
        ({"floats": [1.0], "raw": [b""]}, "INVALID_ARGUMENT", "both contents and raw"),
        ({"datatype": "FP16"}, "INVALID_ARGUMENT", "no raw_input_contents"),
        ({"datatype": "BYTES", "raw": [b""]}, "INVALID_ARGUMENT", "datatype 'BYTES', expected one of"),
        ({"datatype": "INT8", "shape": [1], "raw": [b"1"]}, "INVALID_ARGUMENT", "has datatype INT8, expected FP32"),
        ({"shape": [1, 2], "raw": [bytes(8)]}, "INVALID_ARGUMENT", r"has shape \[1, 2\], expected"),
        ({"shape": [1, -2], "raw": [bytes(8)]}, "INVALID_ARGUMENT", "expected dimensions from 0"),
        ({"shape": [2**30, 2**30], "raw": [bytes(8)]}, "INVALID_ARGUMENT", "has 8 bytes, expected"),
        ({"shape": [2**62] * 300, "raw": [bytes(8)]}, "INVALID_ARGUMENT", "300 dimensions, expected at most 32"),
        ({"name": "imgae", "shape": [1], "raw": [bytes(4)]}, "INVALID_ARGUMENT", "no input 'imgae'"),
        ({"shape": [0], "raw": [b""], "output": "boxes"}, "INVALID_ARGUMENT", "no output 'boxes'; it has"),
        ({"shape": [0], "raw": [b"", b""], "twice": True}, "INVALID_ARGUMENT", "is there twice"),
        ({"shape": [0], "raw": [b""], "timeout": -1}, "INVALID_ARGUMENT", "timeout is -1"),
        ({"memory": "region"}, "UNIMPLEMENTED", "shared memory"),
    ],
)
def test_requests_that_are_wrong_are_refused_with_what_was_expected(
    serving: Serving, client: triton.InferenceServerClient, changes: dict[str, Any], code: str, words: str
) -> None:

    with pytest.raises(grpc.RpcError, match=words) as caught:
        client._client_stub.ModelInfer(_message(serving, **changes), timeout=_TIMEOUT_S)
    assert caught.value.code().name == code


@pytest.mark.parametrize(
    ("name", "version", "words"), [("x", "", "no model 'x'"), ("", "2", "no version '2'; it has 1, 3")]
)
def test_unknown_models_and_versions_are_not_found(
    serving: Serving, client: triton.InferenceServerClient, name: str, version: str, words: str
) -> None:
    name = name or serving.residual.manifest.model_name
    x = inputs_of(triton, serving.residual, random_inputs(serving.residual, 0))
    for ask in (client.get_model_metadata, client.is_model_ready, lambda n, v: client.infer(n, x, v)):
        with pytest.raises(InferenceServerException, match=words) as caught:
            ask(name, version)
        assert "NOT_FOUND" in caught.value.status()


def test_missing_input_is_named(serving: Serving, client: triton.InferenceServerClient) -> None:
    bundle = serving.two_inputs
    given = inputs_of(triton, bundle, random_inputs(bundle, 0))
    with pytest.raises(InferenceServerException, match="inputs are missing"):
        client.infer(bundle.manifest.model_name, given[:1])


def test_message_that_is_too_large_is_refused(serving: Serving, client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("x", [2**21], "UINT8")
    tensor.set_data_from_numpy(np.zeros(2**21, np.uint8))
    with pytest.raises(InferenceServerException, match="larger than max") as caught:
        client.infer(serving.residual.manifest.model_name, [tensor])
    assert "RESOURCE_EXHAUSTED" in caught.value.status()


def test_time_limits_and_cancellations_reach_the_boards(store_root: Path, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = inputs_of(triton, bundle, random_inputs(bundle, 0))
    name = bundle.manifest.model_name
    with (
        LocalBoards(3, store_root, PATIENT) as running,
        LocalGateway(
            [str(bundle.path)], ",".join(running.addresses), running.credentials, ("--max-in-flight", "24")
        ) as gateway,
        triton.InferenceServerClient(gateway.grpc) as client,
    ):
        client.infer(name, x)
        before = frames(running.boards[2])
        heard: queue.Queue[Any] = queue.Queue()
        with frozen(running.boards[1]):
            with pytest.raises(InferenceServerException, match=r"no answer within 0\.3 s") as caught:
                client.infer(name, x, timeout=300_000)
            assert "DEADLINE_EXCEEDED" in caught.value.status()
            # Both sides know the call's deadline, and either may be the first to say so.
            with pytest.raises(InferenceServerException) as caught:
                client.infer(name, x, client_timeout=0.3)
            assert "DEADLINE_EXCEEDED" in caught.value.status()
            calls = [client.async_infer(name, x, lambda result, error: heard.put(error)) for _ in range(30)]
            refused = [heard.get(timeout=_TIMEOUT_S) for _ in range(6)]
            assert all("24 requests are in flight" in str(e) and "UNAVAILABLE" in e.status() for e in refused)
            assert client.is_server_live()
            for call in calls:
                call.cancel()
            assert {heard.get(timeout=_TIMEOUT_S).status() for _ in range(24)} == {"StatusCode.CANCELLED"}
        client.infer(name, x, client_timeout=_TIMEOUT_S)
        assert frames(running.boards[2]) - before < 20


def test_board_that_is_lost_makes_its_model_not_ready_until_it_is_back(
    store_root: Path, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "int8", 1)
    values = random_inputs(bundle, 0)
    x, name = inputs_of(triton, bundle, values), bundle.manifest.model_name
    with LocalBoards(1, store_root) as running:
        (board,) = running.boards
        with (
            LocalGateway([str(bundle.path)], board.address, running.credentials) as gateway,
            triton.InferenceServerClient(gateway.grpc) as client,
        ):
            client.infer(name, x)
            board.process.send_signal(signal.SIGKILL)
            assert comes_true(lambda: not client.is_model_ready(name))
            assert not client.is_server_ready() and client.is_server_live()
            with pytest.raises(InferenceServerException, match="while the chain was being mended"):
                client.infer(name, x, timeout=500_000)
            board.process.wait()
            again = type(board)(board.name, store_root / board.name, ("--threads", "1", "--listen", board.address))
            try:
                assert comes_true(lambda: client.is_server_ready())
                result = client.infer(name, x, client_timeout=_TIMEOUT_S)
                assert answers(result, output_names(bundle)) == run_whole(bundle, values)
            finally:
                again.stop()


def test_board_that_is_killed_costs_no_answer_where_others_take_its_part(
    store_root: Path, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "int8")
    values = random_inputs(bundle, 0)
    x, expected = inputs_of(triton, bundle, values), run_whole(bundle, values)
    heard: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with (
        LocalBoards(3, store_root) as running,
        LocalGateway([str(bundle.path)], ",".join(running.addresses), running.credentials) as gateway,
        triton.InferenceServerClient(gateway.grpc) as client,
    ):
        client.start_stream(lambda result, error: heard.put((result, error)))
        for index in range(200):
            client.async_stream_infer(bundle.manifest.model_name, x)
            if index == 100:
                running.boards[1].process.kill()
        for _ in range(200):
            result, error = heard.get(timeout=_TIMEOUT_S)
            assert error is None
            assert answers(result, output_names(bundle)) == expected
        client.stop_stream()
