"""Unmodified clients of Triton, and curl, drive chains of boards over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from bundle import Bundle
from examples.local_boards import LocalBoards
from examples.local_gateway import LocalGateway
from tests.dispatcher_client.gateway.asking import answers, inputs_of, output_names
from tests.dispatcher_client.gateway.conftest import Serving
from tests.dispatcher_client.test_cancelling import frozen
from tests.dispatcher_client.whole_model import random_inputs, run_whole
from tests.freezing import PATIENT
from tests.transport.message_stream.by_hand import comes_true

_TIMEOUT_S = 30


@pytest.fixture
def client(serving: Serving) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(serving.http, concurrency=8) as client:
        yield client


def test_server_and_models_say_what_they_are(serving: Serving, client: triton.InferenceServerClient) -> None:
    name = serving.residual.manifest.model_name
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(name, "1")
    assert not client.is_model_ready("nothing")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata(name, "1")
    (spec,) = serving.residual.manifest.inputs
    assert metadata["versions"] == ["1", "3"]
    assert metadata["inputs"] == [{"name": spec.alias, "datatype": "FP32", "shape": list(spec.shape)}]


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("which", ["residual", "quantised", "neck"])
def test_answers_are_the_whole_models_bytes(
    serving: Serving, client: triton.InferenceServerClient, which: str, is_binary: bool
) -> None:
    bundle: Bundle = getattr(serving, which)
    version = {"residual": "1", "quantised": "3", "neck": ""}[which]
    names = list(reversed(output_names(bundle)))
    x = random_inputs(bundle, 1)
    result = client.infer(
        bundle.manifest.model_name,
        inputs_of(triton, bundle, x, binary_data=is_binary),
        version,
        outputs=[triton.InferRequestedOutput(name, binary_data=is_binary) for name in names],
        request_id="frame 7",
    )
    assert answers(result, names) == run_whole(bundle, x)
    response = result.get_response()
    assert [output["name"] for output in response["outputs"]] == names
    assert response["id"] == "frame 7"
    assert ("data" in response["outputs"][0]) is not is_binary


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_all_outputs_come_as_bytes_where_none_is_named_and_bodies_may_be_compressed(
    serving: Serving, client: triton.InferenceServerClient, algorithm: str
) -> None:
    bundle = serving.two_inputs
    x = random_inputs(bundle, 1)
    result = client.infer(
        bundle.manifest.model_name, inputs_of(triton, bundle, x), request_compression_algorithm=algorithm
    )
    assert answers(result, output_names(bundle)) == run_whole(bundle, x)


def test_many_calls_at_once_each_get_their_own_answer(serving: Serving) -> None:
    bundle = serving.quantised
    inputs = [random_inputs(bundle, seed) for seed in range(4)]
    expected = [run_whole(bundle, x) for x in inputs]

    async def run() -> None:
        async with triton_aio.InferenceServerClient(serving.http, conn_limit=16) as client:

            async def call(index: int) -> Any:
                return await client.infer(
                    bundle.manifest.model_name, inputs_of(triton_aio, bundle, inputs[index % 4]), "3"
                )

            results = await asyncio.wait_for(asyncio.gather(*map(call, range(100))), _TIMEOUT_S)
            assert [answers(r, output_names(bundle)) for r in results] == [expected[i % 4] for i in range(100)]

    asyncio.run(run())


def test_calls_of_the_clients_own_threads_are_answered(serving: Serving, client: triton.InferenceServerClient) -> None:
    bundle = serving.residual
    x = random_inputs(bundle, 5)
    name, given = bundle.manifest.model_name, inputs_of(triton, bundle, x)
    for asked in [client.async_infer(name, given, "1") for _ in range(16)]:
        assert answers(asked.get_result(timeout=_TIMEOUT_S), output_names(bundle)) == run_whole(bundle, x)


def test_wrong_names_are_said(serving: Serving, client: triton.InferenceServerClient) -> None:
    x = inputs_of(triton, serving.residual, random_inputs(serving.residual, 0))
    with pytest.raises(InferenceServerException, match="no model 'x'") as caught:
        client.infer("x", x)
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match="has datatype FP32, expected INT8") as caught:
        client.infer(serving.residual.manifest.model_name, x, "3")
    assert caught.value.status() == "400"


def test_curl_sends_json_and_reads_json(serving: Serving) -> None:
    bundle = serving.quantised
    (spec,) = bundle.manifest.inputs
    x = random_inputs(bundle, 4)
    (array,) = x.values()
    request = {"inputs": [{"name": spec.alias, "datatype": "INT8", "shape": list(spec.shape), "data": array.tolist()}]}
    url = f"http://{serving.http}/v2/models/{bundle.manifest.model_name}/versions/3/infer"
    told = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", str(_TIMEOUT_S), "--data", "@-", url],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    (output,) = json.loads(told.stdout)["outputs"]
    (name,) = output_names(bundle)
    assert (output["name"], output["datatype"]) == (name, "INT8")
    assert np.array(output["data"], np.int8).tobytes() == run_whole(bundle, x)[name]


def _post(serving: Serving | LocalGateway, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(serving.http, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"{", {}, 400, "no JSON"),
        (b"[" * 100_000, {}, 400, "no JSON"),
        (b"[]", {}, 400, "at $: [] is not of type 'object'"),
        (b'{"inputs": [{"name": "x"}]}', {}, 400, "is a required property"),
        (b"{}", {"Inference_Header_Content_Length": "12"}, 400, "is 12, and the body has 2 bytes"),
        (b"{}", {"Inference_Header_Content_Length": "-1"}, 400, "expected a number of bytes"),
        (bytes(2**21), {}, 413, "Maximum request body size"),
    ],
)
def test_bodies_that_are_wrong_are_refused_in_json(
    serving: Serving, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    path = f"/v2/models/{serving.residual.manifest.model_name}/infer"
    told, answer = _post(serving, path, body, **headers)
    assert told == status
    assert words in answer["error"]


def test_paths_that_are_not_the_protocols_are_not_found_in_json(serving: Serving) -> None:
    assert _post(serving, "/v2/nothing", b"") == (404, {"error": "404: Not Found"})
    assert _post(serving, "/v2/health/live", b"") == (405, {"error": "405: Method Not Allowed"})


def test_request_whose_client_hangs_up_is_no_longer_computed(
    store_root: Path, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "int8")
    (spec,), (array,) = bundle.manifest.inputs, random_inputs(bundle, 0).values()
    tensor = {"name": spec.alias, "datatype": "INT8", "shape": list(spec.shape), "data": array.ravel().tolist()}
    path = f"/v2/models/{bundle.manifest.model_name}/infer"
    hurried = json.dumps({"inputs": [tensor], "parameters": {"timeout": 100_000}}).encode()
    with (
        LocalBoards(3, store_root, PATIENT) as running,
        LocalGateway(
            [str(bundle.path)], ",".join(running.addresses), running.credentials, ("--max-in-flight", "1")
        ) as gateway,
    ):
        with frozen(running.boards[1]):
            waiting = http.client.HTTPConnection(gateway.http, timeout=_TIMEOUT_S)
            waiting.request("POST", path, json.dumps({"inputs": [tensor]}))
            assert comes_true(lambda: _post(gateway, path, hurried)[0] == 503)
            waiting.close()
            assert comes_true(lambda: _post(gateway, path, hurried)[0] == 504)
        status, answer = _post(gateway, path, json.dumps({"inputs": [tensor]}).encode())
        assert status == 200, answer
