"""`python -m dispatcher_client boards`: which boards there are on the local network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from dispatcher_client.command_options import JSON, require_directory
from dispatcher_client.errors import DiscoveryError, InputError
from dispatcher_client.extras import extra
from fleet.event_loop import run_in_loop
from fleet.options import CREDENTIALS
from terminal import command_app, print_json, print_table, stderr
from transport.credentials import Credentials, choose_credentials
from transport.errors import PlaintextRefusedError

if TYPE_CHECKING:  # the commands themselves import it when they run: applications can do without zeroconf
    from dispatcher_client.discovery import Interface, Scan, Sighting

boards_app = command_app("Finds boards on the local network.")


@boards_app.callback()
def require_zeroconf() -> None:
    """Raises: MissingExtraError."""
    with extra("discovery", "finding boards needs"):
        from dispatcher_client import discovery  # noqa: F401


@boards_app.command()
def scan(
    seconds: float = typer.Option(3.0, "--seconds", min=0.1, max=60.0, help="How long to listen."),
    interfaces: Optional[list[str]] = typer.Option(
        None,
        "--interface",
        metavar="NAME",
        help="Look on this interface only, by name or address. May be repeated. (default: all but loopback)",
    ),
    output: Optional[Path] = typer.Option(
        None, "--output", metavar="FILE", help="Write a draft of boards.yaml there, to be looked over."
    ),
    force: bool = typer.Option(False, "--force", help="Write it in the place of a file that is there."),
    credentials_dir: Optional[Path] = CREDENTIALS,
    timeout_s: float = typer.Option(3.0, "--timeout-s", min=0.1, help="Limit for each board's answer."),
    as_json: bool = JSON,
) -> None:
    """Find the boards that announce themselves (`node_service --announce`), and draft boards.yaml.

    Anybody on the network can announce anything. With credentials, each board is asked for its certificate: it is verified if that
    is valid for its name, and else refused, and left out of the draft. Without, nobody is asked. Exit status 1 if a board is
    refused, or none is found.

    Example: python -m dispatcher_client boards scan --output boards.yaml
    """
    from dispatcher_client.boards_draft import draft
    from dispatcher_client.discovery import own_interfaces

    _require_free(output, force)
    found = run_in_loop(_find(seconds, own_interfaces(interfaces or []), _credentials(credentials_dir), timeout_s))
    if found.left_out:
        stderr.print(
            f"{found.left_out} more names were announced than any network has boards; they were not looked at."
        )
    sightings = found.sightings
    if as_json:
        print_json([_row(sighting) for sighting in sightings])
    elif sightings:
        _print_sightings(sightings)
    text = draft(sightings)
    if not text:
        raise DiscoveryError(
            f"no board was found that could be listed, in {seconds:g} s. Does its node service run with --announce, and is it on "
            "a network of this machine that carries multicast? Name it with --interface, or write boards.yaml by hand."
        )
    if output is not None:
        _write(output, text, force)
        stderr.print(f"{output} is a draft: look over names, addresses and order.", soft_wrap=True)
    if any(sighting.state.value == "refused" for sighting in sightings):
        raise typer.Exit(1)


async def _find(seconds: float, interfaces: list[Interface], credentials: Credentials | None, timeout_s: float) -> Scan:
    from dataclasses import replace

    from dispatcher_client import discovery

    found = await discovery.scan(seconds, interfaces)
    if credentials is None:
        return found
    return replace(found, sightings=tuple(await discovery.verify(found.sightings, credentials, timeout_s)))


def _credentials(directory: Path | None) -> Credentials | None:
    """None: there are none, and so nobody is asked for theirs."""
    try:
        return choose_credentials(directory, insecure=False)
    except PlaintextRefusedError:
        return None


def _require_free(output: Path | None, force: bool) -> None:
    """Before listening. Raises: InputError."""
    require_directory(output, "the draft")
    if output is not None and output.exists() and not force:
        raise InputError(f"{output} is there already, and is not overwritten. Choose another --output, or add --force.")


def _write(output: Path, text: str, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error


def _print_sightings(sightings: tuple[Sighting, ...]) -> None:
    print_table(
        "boards on the network",
        ("board", "address", "state", "runtime", "speaks", "cores", "version"),
        (
            (
                row["board"],
                row["address"],
                f"{row['state']}: {row['why']}" if row["why"] else row["state"],
                f"{row['runtime']} {row['architecture']}".strip(),
                {True: "TLS", False: "plaintext", None: ""}[row["tls"]],
                row["cores"] or "",
                row["software_version"],
            )
            for row in map(_row, sightings)
        ),
        text_columns=5,
    )


def _row(sighting: Sighting) -> dict[str, Any]:
    said = sighting.announcement
    return {
        "board": sighting.name,
        "address": str(sighting.address or ""),
        "state": sighting.state.value,
        "why": sighting.why,
        "runtime": said.runtime if said else "",
        "architecture": said.architecture if said else "",
        "cores": said.cores if said else 0,
        "tls": said.tls if said else None,
        "software_version": said.software_version if said else "",
    }
