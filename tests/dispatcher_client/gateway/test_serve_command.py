"""The command refuses what would not be safe or not be clear, shows certificates, and ends when it is told."""

from __future__ import annotations

import http.client
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from bundle import Bundle
from examples.local_boards import LocalBoards, local_fleet
from examples.local_gateway import LocalGateway
from tests.dispatcher_client.gateway.asking import answers, inputs_of, output_names
from tests.dispatcher_client.gateway.conftest import Serving
from tests.dispatcher_client.whole_model import random_inputs, run_whole

_TIMEOUT_S = 30


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "0.0.0.0:0"], "0.0.0.0:0 can be reached from other machines"),
        (["--http", "[::]:0"], "ask for plaintext by name with --listen-insecure"),
        (["--tls-key", "key.pem"], "--tls-cert and --tls-key belong together"),
        (["--tls-client-ca", "ca.pem"], "--tls-client-ca needs both"),
        (["--tls-cert", "none.pem", "--tls-key", "none.pem"], "none.pem cannot be read"),
        (["--bundle", "{bundle}"], "Number them: --bundle 1=DIR --bundle 2=DIR"),
        (["--bundle", "2={bundle}", "--plan", "plan.yaml"], "--plan is for one --bundle"),
        (["--listen", "{taken}"], "cannot listen on {taken}"),
        (["--http", "{taken_http}"], "cannot listen on {taken_http}"),
    ],
)
def test_options_that_clash_are_refused(serving: Serving, boards: LocalBoards, options: list[str], words: str) -> None:
    names = {"bundle": str(serving.residual.path), "taken": serving.grpc, "taken_http": serving.http}
    command = [sys.executable, "-m", "dispatcher_client", "serve", "--bundle", names["bundle"]]
    command += ["--boards", ",".join(boards.addresses), "--credentials", str(boards.credentials)]
    command += [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
    told = subprocess.run(
        [*command, *(option.format(**names) for option in options)], capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert told.returncode == 1, told.stderr
    assert words.format(**names) in told.stderr
    assert "Traceback" not in told.stderr


def test_clients_see_the_certificate_and_show_theirs_and_the_first_signal_ends_it(
    boards: LocalBoards, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = random_inputs(bundle, 0)
    own, clients = local_fleet().board("gateway"), local_fleet().operator
    certificate, key, authority = (own / f"{name}.pem" for name in ("certificate", "key", "authority"))
    options = ["--tls-cert", str(certificate), "--tls-key", str(key), "--tls-client-ca", str(authority)]
    with LocalGateway([f"7={bundle.path}"], ",".join(boards.addresses), boards.credentials, options) as gateway:
        with triton.InferenceServerClient(
            gateway.grpc,
            ssl=True,
            root_certificates=str(authority),
            private_key=str(clients / "key.pem"),
            certificate_chain=str(clients / "certificate.pem"),
        ) as client:
            result = client.infer(bundle.manifest.model_name, inputs_of(triton, bundle, x), "7")
            assert answers(result, output_names(bundle)) == run_whole(bundle, x)
        with (
            triton.InferenceServerClient(gateway.grpc, ssl=True, root_certificates=str(authority)) as stranger,
            pytest.raises(InferenceServerException, match="UNAVAILABLE"),
        ):
            stranger.is_server_live()
        assert _status(gateway, authority, clients) == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _status(gateway, authority, None)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(_TIMEOUT_S) == 0, "".join(gateway.log)


def _status(gateway: LocalGateway, authority: Path, own: Path | None) -> int:
    context = ssl.create_default_context(cafile=str(authority))
    if own is not None:
        context.load_cert_chain(own / "certificate.pem", own / "key.pem")
    connection = http.client.HTTPSConnection(gateway.http, timeout=_TIMEOUT_S, context=context)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status
    finally:
        connection.close()
