"""The options that all commands share which talk to boards."""

from __future__ import annotations

import typer

from transport.credentials import ENVIRONMENT_VARIABLE

CREDENTIALS = typer.Option(
    None,
    "--credentials",
    metavar="DIR",
    help=f"This machine's certificate, as `python -m dispatcher_client certs issue` makes it. (default: ${ENVIRONMENT_VARIABLE})",
)
INSECURE = typer.Option(
    False, "--insecure", help="Speak plaintext, with boards that do: whoever is on the network can read and change it."
)
