"""`python -m dispatcher_client certs`: the fleet's own authority, and the certificates that it issues."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from dispatcher_client.errors import OptionError
from dispatcher_client.extras import extra
from fleet.inventory import load_inventory
from terminal import command_app, print_json, print_table

if TYPE_CHECKING:  # the commands themselves import it when they run: applications can do without cryptography
    from dispatcher_client.certificates import FleetDirectory, Holder
    from dispatcher_client.certificates.description import Description

certs = command_app("Makes, renews and shows the certificates with which boards and clients know each other.")

_LIFE_DAYS = 365
_RIGHTS = ("stream", "operate")
_DIR = typer.Argument(..., metavar="DIR", help="The fleet's directory on the machine of its authority.")


@certs.callback()
def require_cryptography() -> None:
    """Raises: MissingExtraError."""
    with extra("client", "certificates need"):
        import cryptography  # noqa: F401


@certs.command()
def init(
    directory: Path = _DIR,
    fleet: str = typer.Option(..., "--fleet", metavar="NAME", help="What the fleet is called."),
) -> None:
    """Make the fleet's authority, in DIR/authority. Its key stays on this machine: who has it can make certificates.

    Example: python -m dispatcher_client certs init fleet/ --fleet greenhouse
    """
    from dispatcher_client.certificates import FleetDirectory

    made = FleetDirectory.make(directory, fleet)
    ends = made.authorities.current.certificate.not_valid_after_utc
    print(f"authority of {fleet}: {directory / 'authority'}, until {ends:%Y-%m-%d}")
    print(f"next: python -m dispatcher_client certs issue {shlex.quote(str(directory))} --boards boards.yaml")


@certs.command()
def issue(
    directory: Path = _DIR,
    name: Optional[str] = typer.Argument(None, metavar="NAME", help="One board or client."),
    addresses: Optional[list[str]] = typer.Option(
        None,
        "--address",
        metavar="HOST",
        help="Where the board NAME is reached, without a port: an IP address or a host name. May be repeated.",
    ),
    right: Optional[str] = typer.Option(
        None,
        "--right",
        metavar="RIGHT",
        help="NAME is a client that may do this. stream: send frames, read what boards are; operate: also load, unload, "
        "measure, drain.",
    ),
    boards: Optional[Path] = typer.Option(
        None,
        "--boards",
        metavar="FILE",
        help="Every board of boards.yaml that has no certificate with its address yet.",
    ),
    days: int = typer.Option(_LIFE_DAYS, "--days", help="Life of the certificate."),
    replace: bool = typer.Option(False, "--replace", help="Make new ones in the place of what a name has."),
) -> None:
    """Make certificates with keys, one directory each, to be copied to its machine: for boards, or for one client.

    Example: python -m dispatcher_client certs issue fleet/ --boards boards.yaml

    Example: python -m dispatcher_client certs issue fleet/ pi1 --address 10.0.0.11 --address pi1.local

    Example: python -m dispatcher_client certs issue fleet/ camera --right stream
    """
    from dispatcher_client.certificates import FleetDirectory

    holders = _holders(name, addresses or [], right, boards)
    with FleetDirectory.opened(directory) as fleet:
        wanted = holders if boards is None else fleet.missing(holders)
        _print_made(fleet, fleet.issue(wanted, days=days, replace=replace))
    have = [holder.name for holder in holders if holder not in wanted]
    if have:
        print(f"have theirs already: {', '.join(have)}")


@certs.command()
def rotate(
    directory: Path = _DIR,
    names: Optional[list[str]] = typer.Argument(
        None, metavar="NAME", help="Whose to renew. (default: those that end within 30 days)"
    ),
    everyone: bool = typer.Option(False, "--all", help="Renew all."),
    authority: bool = typer.Option(
        False,
        "--authority",
        help="Begin a change of authority: make a new one that everyone trusts beside the old one.",
    ),
    finishing: bool = typer.Option(
        False,
        "--finish",
        help="With --authority, once its directories are copied: new certificates by the new authority.",
    ),
    forgetting: bool = typer.Option(
        False,
        "--forget-old",
        help="End a change of authority, once its directories are copied: trust the new one only.",
    ),
    days: Optional[int] = typer.Option(None, "--days", help="Life of new certificates. (default: as long as each had)"),
) -> None:
    """Renew certificates, with new keys, or the authority. Copy what it names to its machine; boards serve all the time.

    With --authority, --authority --finish and --forget-old, one after the other, the fleet gets a new authority; `certs show`
    says how far it is.

    Example: python -m dispatcher_client certs rotate fleet/

    Example: python -m dispatcher_client certs rotate fleet/ --authority
    """
    from dispatcher_client.certificates import FleetDirectory
    from dispatcher_client.certificates.authority_change import begin, finish, forget_old, what_next

    chosen = [("NAME", bool(names)), ("--all", everyone), ("--authority", authority), ("--forget-old", forgetting)]
    given = [option for option, is_given in chosen if is_given]
    if len(given) > 1:
        raise OptionError(f"{' and '.join(given)} cannot be given together. Choose one.")
    if finishing and not authority:
        raise OptionError("--finish goes with --authority: certs rotate DIR --authority --finish.")
    if days is not None and (forgetting or (authority and not finishing)):
        raise OptionError("--days goes with new certificates, and this step makes none. Leave it out.")
    with FleetDirectory.opened(directory) as fleet:
        if forgetting:
            _print_made(fleet, forget_old(fleet))
        elif authority:
            _print_made(fleet, finish(fleet, days=days) if finishing else begin(fleet))
        else:
            wanted = fleet.names if everyone else names or fleet.ending_soon()
            _print_made(fleet, fleet.renew(wanted, days=days))
        following = what_next(fleet)
    if following:
        print(f"next: {following}")


@certs.command()
def show(
    directory: Path = typer.Argument(
        ..., metavar="DIR", help="A fleet's directory, or what one machine has got of it."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Show certificates, when they end, and what to do next; exit status 1 if one has ended.

    Example: python -m dispatcher_client certs show fleet/
    """
    from dispatcher_client.certificates.description import describe

    shown = describe(directory)
    if as_json:
        print_json(shown.as_json())
    else:
        _print_description(shown)
    if shown.has_ended:
        raise typer.Exit(1)


def _holders(name: str | None, addresses: list[str], right: str | None, boards: Path | None) -> list[Holder]:
    from dispatcher_client.certificates import Holder

    chosen = [("NAME", name is not None), ("--boards", boards is not None)]
    if [is_given for _, is_given in chosen].count(True) != 1:
        raise OptionError("either NAME or --boards FILE is needed, and not both.")
    if boards is not None:
        if addresses or right is not None:
            raise OptionError("--boards takes names and addresses from the file. Leave out --address and --right.")
        return [Holder.board(board.name, [board.address.host]) for board in load_inventory(boards).boards]
    assert name is not None
    if right is not None:
        if addresses:
            raise OptionError("--address and --right cannot be given together: nobody connects to a client.")
        if right not in _RIGHTS:
            raise OptionError(f"{right!r} is no right. Say --right {' or --right '.join(_RIGHTS)}.")
        return [Holder.client(name, right)]
    if not addresses:
        raise OptionError(
            f"is {name} a board or a client? A board needs --address HOST, a client --right stream or operate."
        )
    return [Holder.board(name, addresses)]


def _print_made(fleet: FleetDirectory, made: Mapping[str, Path]) -> None:
    """One line for each directory that is to be copied."""
    for name, place in made.items():
        found = fleet.credentials(name)
        print(f"{name}: {found.holder.kind.value}, until {found.ends:%Y-%m-%d}, copy {place}/ to it")
    if not made:
        print("nothing to do")


def _print_description(shown: Description) -> None:
    print_table(
        f"certificates of {shown.fleet}",
        ("name", "kind", "rights", "addresses", "authority", "ends", "days left"),
        (
            (r.name, r.kind, ", ".join(r.rights), ", ".join(r.addresses), r.authority, r.marked_end, r.days_left)
            for r in shown.rows
        ),
        text_columns=6,
    )
    if shown.change:
        print(f"change of authority: {shown.change}")
    if shown.next:
        print(f"next: {shown.next}")
