"""The daemon's command line."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Optional

import typer

from monitoring.log_lines import LogForm, log_to_stderr
from node_service.config import MAX_WAITING_FRAMES, NodeConfig
from node_service.errors import NodeServiceError
from node_service.machine import default_threads
from node_service.partition_checks import TRIAL_LOADS
from node_service.server import serve
from runtime import Delegate, DelegateError, TfliteRuntimeError
from runtime.loading import RUNTIME_CHOICES
from terminal import command_app, one_of, run
from transport.address import Address
from transport.channel import DEFAULT_MAX_FRAME_BYTES
from transport.credentials import ENVIRONMENT_VARIABLE, choose_credentials
from transport.errors import CredentialsError, TransportError
from transport.message_stream import SILENCE_S

app = command_app("Serves partitions of a model on this board.")
_MIB = 2**20


@app.command()
def node_service(
    listen: str = typer.Option(
        "127.0.0.1:50051",
        metavar="HOST:PORT",
        help="Address to serve on, and the port after it for frames; port 0 lets the system choose both.",
    ),
    store: Path = typer.Option(
        ..., metavar="DIR", help="Directory for partitions and for what to load after a restart."
    ),
    name: Optional[str] = typer.Option(
        None, help="The board's name in logs and descriptions. (default: its certificate's, or the host name)"
    ),
    threads: Optional[int] = typer.Option(None, min=1, help="Threads for the runtime. (default: all usable cores)"),
    runtime: str = typer.Option(
        "auto", help="TFLite runtime: auto, litert or tflite.", callback=one_of(RUNTIME_CHOICES)
    ),
    delegates: list[str] = typer.Option(
        [],
        "--delegate",
        metavar="NAME=PATH[,OPTION=VALUE...]",
        help="A shared library that computes what it can of a model, its name in boards.yaml, and its options; may be given "
        "several times. Stages use the first, or the one, or none, that boards.yaml names.",
    ),
    credentials_dir: Optional[Path] = typer.Option(
        None,
        "--credentials",
        metavar="DIR",
        help=f"The board's certificate, as `python -m dispatcher_client certs issue` makes it. (default: ${ENVIRONMENT_VARIABLE})",
    ),
    insecure: bool = typer.Option(
        False,
        "--insecure",
        help="Speak plaintext: whoever reaches the ports can read and change tensors and load models.",
    ),
    max_frame_mib: int = typer.Option(
        DEFAULT_MAX_FRAME_BYTES // _MIB, min=1, max=2047, help="Largest frame taken, in MiB."
    ),
    drain_timeout_s: float = typer.Option(30.0, min=0, help="Time that the first SIGTERM leaves for work in hand."),
    peer_silence_s: float = typer.Option(
        SILENCE_S, min=0.03, help="A neighbour in a chain without a sign of life for so long is taken to be gone."
    ),
    max_waiting_frames: int = typer.Option(
        MAX_WAITING_FRAMES,
        min=1,
        help="Frames of a stream that may wait for their turn; those beyond are refused one by one.",
    ),
    max_streams: int = typer.Option(64, min=1, help="Streams that may be open at a time; one more is refused."),
    max_streams_per_address: int = typer.Option(32, min=1, help="Of these, the streams from one address."),
    max_stages: int = typer.Option(64, min=1, help="Stages that may be loaded at a time; one more is refused."),
    store_reserve_mib: int = typer.Option(
        64, min=0, help="Room on the disk that uploads leave free, in MiB; at most a twentieth of the disk."
    ),
    allow_operators: str = typer.Option(
        "",
        metavar="NAME,...",
        help="Operators that partitions may have beside the runtime's own, by name, as TFLite_Detection_PostProcess.",
    ),
    trial_load: str = typer.Option(
        "new",
        help="Load and run a partition in a process of its own first: always, new (each once per version of the runtime) or never.",
        callback=one_of(TRIAL_LOADS),
    ),
    require_signature: Optional[Path] = typer.Option(
        None,
        metavar="PUBLIC_KEY.pem",
        help="Load only partitions of bundles that were signed with the private key to this Ed25519 key; measure none.",
    ),
    metrics: Optional[str] = typer.Option(
        None,
        metavar="HOST:PORT",
        help="Where Prometheus scrapes; port 0 lets the system choose, 'off' for nowhere. (default: two ports after --listen)",
    ),
    metrics_tls: bool = typer.Option(
        False, "--metrics-tls", help="Serve metrics over HTTPS, to holders of a certificate of the fleet only."
    ),
    announce: bool = typer.Option(
        False,
        "--announce",
        help="Tell the local network where this board is, by DNS-SD, for `python -m dispatcher_client boards scan`.",
    ),
    sensors_root: Path = typer.Option(
        Path("/"),
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Where the board's own sys and dev are, for sensors of power and heat; for a service in a container.",
    ),
    log_level: str = typer.Option(
        "info", help="debug, info, warning or error.", callback=one_of(("debug", "info", "warning", "error"))
    ),
    log_format: LogForm = typer.Option(
        LogForm.TEXT, help="Lines for people (for a journal, where it listens), or a JSON object in each line."
    ),
) -> None:
    """Serve partitions on this board until SIGTERM.

    Example: python -m node_service --listen 127.0.0.1:50051 --store ./store
    """
    log_to_stderr(log_level.upper(), log_format, {} if name is None else {"board": name})
    if metrics_tls and insecure:
        raise CredentialsError("--metrics-tls and --insecure exclude each other: there is no certificate. Choose one.")
    credentials = choose_credentials(credentials_dir, insecure)
    certified_name = None if credentials is None else credentials.identity.name
    config = NodeConfig(
        listen=Address.parse(listen),
        store=store,
        name=name or certified_name or socket.gethostname(),
        threads=threads or default_threads(),
        runtime=runtime,
        delegates=_distinct([Delegate.parse(text) for text in delegates]),
        credentials=credentials,
        max_frame_bytes=max_frame_mib * _MIB,
        drain_timeout_s=drain_timeout_s,
        peer_silence_s=peer_silence_s,
        max_waiting_frames=max_waiting_frames,
        max_streams=max_streams,
        max_streams_per_address=max_streams_per_address,
        max_stages=max_stages,
        store_reserve_bytes=store_reserve_mib * _MIB,
        allow_operators=frozenset(filter(None, allow_operators.split(","))),
        trial_load=trial_load,
        require_signature=require_signature,
        metrics=_metrics_address(Address.parse(listen), metrics),
        metrics_tls=metrics_tls,
        announce=announce,
        sensors_root=sensors_root,
    )
    asyncio.run(serve(config))


def _distinct(delegates: list[Delegate]) -> tuple[Delegate, ...]:
    names = [delegate.name for delegate in delegates]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DelegateError(f"several delegates are called {', '.join(repeated)}. Give each --delegate its own name.")
    return tuple(delegates)


def _metrics_address(listen: Address, metrics: str | None) -> Address | None:
    if metrics == "off":
        return None
    if metrics is not None:
        return Address.parse(metrics)
    return Address(listen.host, listen.port + 2 if listen.port else 0)


def main() -> None:
    """Entry point of `python -m node_service` and of the installed command."""
    run(app, (NodeServiceError, TransportError, TfliteRuntimeError))
