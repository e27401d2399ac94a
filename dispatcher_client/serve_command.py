"""`python -m dispatcher_client serve`: models on boards as any inference server offers them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from bundle import Bundle
from dispatcher_client.async_dispatcher import AsyncDispatcher
from dispatcher_client.command_options import BOARDS, CODEC, PLAN
from dispatcher_client.errors import OptionError
from dispatcher_client.extras import extra
from dispatcher_client.model_directory import open_bundle_or_newest
from fleet.inventory import load_inventory, parse_boards
from fleet.options import CREDENTIALS, INSECURE
from monitoring.log_lines import LogForm, log_to_stderr
from transport.address import Address
from transport.credentials import choose_credentials

if TYPE_CHECKING:
    from dispatcher_client.gateway.models import ServedModel

_BYTES_PER_MIB = 2**20
_NUMBERED = re.compile(r"(\d{1,18})=(.+)")


def serve(
    bundles: list[str] = typer.Option(
        ...,
        "--bundle",
        metavar="[VERSION=]DIR",
        help="Bundle, or directory of versions, of which the newest counts; may be given several times. "
        "(default version: the directory's name if that is a number, else 1)",
    ),
    boards: str = BOARDS,
    listen: str = typer.Option("127.0.0.1:8001", metavar="HOST:PORT", help="Where to take gRPC; port 0: any."),
    http: Optional[str] = typer.Option(
        None, metavar="HOST:PORT", help="Where to take HTTP; port 0: any. (default: nowhere)"
    ),
    tls_cert: Optional[Path] = typer.Option(None, metavar="FILE", help="Certificate to show clients, as PEM."),
    tls_key: Optional[Path] = typer.Option(None, metavar="FILE", help="Its key, as PEM."),
    tls_client_ca: Optional[Path] = typer.Option(
        None, metavar="FILE", help="Take clients only with a certificate of this authority. (default: any client)"
    ),
    listen_insecure: bool = typer.Option(
        False,
        "--listen-insecure",
        help="Take plaintext from other machines: whoever reaches the ports can use the models.",
    ),
    max_in_flight: int = typer.Option(
        128, min=1, help="Most requests being read or computed outside of streams; further ones are told to come again."
    ),
    max_message_mib: int = typer.Option(16, "--max-message-mib", min=1, max=1024, help="Largest request."),
    timeout_s: float = typer.Option(
        30.0, "--timeout-s", min=0.1, help="Limit for each answer, where the client sets none that is shorter."
    ),
    plan: Optional[Path] = PLAN,
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    codec: str = CODEC,
    log_format: LogForm = typer.Option(
        LogForm.TEXT, help="Lines for people, or a JSON object in each line, on stderr."
    ),
) -> None:
    """Serve models to clients of the Open Inference Protocol (KServe, Triton), over gRPC and HTTP.

    Opens a chain for each bundle, beside one another on the same boards, and mends it when boards fail. Clients name a model
    as its manifest does, and its version; without one they get the highest. Ends with SIGINT or SIGTERM.

    Example: python -m dispatcher_client serve --bundle parts/ --boards boards.yaml --http 127.0.0.1:8000
    """
    with extra("gateway", "serving needs"):
        from dispatcher_client.gateway.models import ServedModel
        from dispatcher_client.gateway.server import GatewayConfig, Tls, serve_models
    log_to_stderr("INFO", log_format)
    if plan is not None and len(bundles) > 1:
        raise OptionError(
            "--plan is for one --bundle. Split the models with theirs: python -m converter split --plan FILE"
        )
    if (tls_cert is None) != (tls_key is None) or (tls_client_ca is not None and tls_cert is None):
        raise OptionError("--tls-cert and --tls-key belong together, and --tls-client-ca needs both.")
    config = GatewayConfig(
        Address.parse(listen),
        None if http is None else Address.parse(http),
        Tls(tls_cert, tls_key, tls_client_ca) if tls_cert and tls_key else None,
        listen_insecure,
        max_in_flight,
        max_message_mib * _BYTES_PER_MIB,
        timeout_s,
    )
    credentials = choose_credentials(credentials_dir, insecure)
    inventory = load_inventory(parse_boards(boards))
    served: dict[tuple[str, str], ServedModel] = {}
    for text in bundles:
        bundle, version = _numbered(text)
        key = bundle.manifest.model_name, str(version)
        if key in served:
            raise OptionError(
                f"two bundles are version {version} of {key[0]!r}; {text} is the second. Number them: --bundle {version}=DIR "
                f"--bundle {version + 1}=DIR"
            )
        chain = AsyncDispatcher(
            bundle,
            inventory,
            plan=plan,
            credentials=credentials,
            insecure=insecure,
            codec=codec,
            max_waiting=max_in_flight,
            open_timeout_s=timeout_s,
            reply_timeout_s=timeout_s,
        )
        served[key] = ServedModel(str(version), chain)
    asyncio.run(serve_models(list(served.values()), config))


def _numbered(text: str) -> tuple[Bundle, int]:
    """The bundle and the version of `[VERSION=]DIR`. Raises: BundleError."""
    given = _NUMBERED.fullmatch(text)
    bundle = open_bundle_or_newest(given[2] if given else text)
    directory = bundle.path.resolve().name
    return bundle, int(given[1] if given else directory if directory.isdecimal() else 1)
