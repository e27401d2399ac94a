"""`python -m dispatcher_client watch`: keeps boards loaded with the newest version of a model."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import typer

from bundle import Bundle
from dispatcher_client.command_options import BOARDS, TIMEOUT
from dispatcher_client.deployment import DeployedStage, OnUpload
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.model_watch import ModelWatch, WatchEvent
from dispatcher_client.placement import place_chains
from dispatcher_client.rollout import describe_all, require_room_beside, unload_new
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory, load_inventory, parse_boards
from fleet.options import CREDENTIALS, INSECURE
from monitoring.log_lines import LogForm, log_to_stderr
from transport.credentials import Credentials, choose_credentials


def try_out(
    bundle: Bundle, inventory: Inventory, *, credentials: Credentials | None, timeout_s: float, on_upload: OnUpload
) -> Sequence[DeployedStage]:
    """Loads a bundle, checks its sample and leaves it loaded; its stages. What fails is unloaded. Raises: as `Dispatcher.open`."""
    held = run_in_loop(describe_all(inventory.boards, credentials=credentials))
    require_room_beside(place_chains(bundle, inventory.serving), held)
    with _opened(bundle, inventory, credentials=credentials, timeout_s=timeout_s, on_upload=on_upload) as chain:
        return chain.stages


def _opened(
    bundle: Bundle,
    inventory: Inventory,
    *,
    credentials: Credentials | None,
    timeout_s: float,
    metrics: str | None = None,
    on_upload: OnUpload = lambda board, sent_bytes, total_bytes: None,
) -> Dispatcher:
    """An open dispatcher; one that cannot be opened leaves loaded what was before, and no more."""
    chain = Dispatcher(
        bundle,
        inventory,
        credentials=credentials,
        insecure=credentials is None,
        open_timeout_s=timeout_s,
        reply_timeout_s=timeout_s,
        metrics=metrics,
        on_upload=on_upload,
    )
    before = run_in_loop(describe_all(inventory.boards, credentials=credentials))
    try:
        chain.open()
    except BaseException:
        run_in_loop(unload_new(inventory.boards, chain.deployment_ids, before, credentials=credentials))
        raise
    return chain


def watch(
    model_dir: Path = typer.Argument(
        ..., metavar="MODEL_DIR", exists=True, file_okay=False, help="Directory of bundles named 1, 2, ..."
    ),
    boards: str = BOARDS,
    every_s: float = typer.Option(1.0, "--every-s", min=0.05, help="How often to look."),
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    timeout_s: float = TIMEOUT,
    metrics: Optional[str] = typer.Option(
        None, metavar="HOST:PORT", help="Let Prometheus scrape there; port 0 lets the system choose. (default: nowhere)"
    ),
    log_format: LogForm = typer.Option(
        LogForm.TEXT, help="Lines for people, or a JSON object in each line, on stderr."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print a line of JSON for each version."),
) -> None:
    """Keep boards loaded with the newest version in MODEL_DIR: load it, check its sample, unload the one before.

    A version counts once it is complete; one that fails is unloaded, and the one before stays. Removing a version goes back.
    It opens a chain of its own and mends it when boards fail. Applications go over by themselves: with
    Dispatcher("MODEL_DIR", ...) and its watch(). Ends with SIGINT or SIGTERM; what is loaded stays.

    Example: python -m dispatcher_client watch models/ --boards boards.yaml
    """
    log_to_stderr("INFO", log_format)
    credentials = choose_credentials(credentials_dir, insecure)
    inventory = load_inventory(parse_boards(boards))
    serving: list[Dispatcher] = []

    def deploy(bundle: Bundle) -> None:
        if serving:
            serving[0].deploy(bundle)
            return
        serving.append(_opened(bundle, inventory, credentials=credentials, timeout_s=timeout_s, metrics=metrics))

    def show(event: WatchEvent) -> None:
        names = list(serving[0].deployment_ids) if serving else []
        if as_json:
            row = {"version": event.number, "error": event.error, "seconds": event.seconds, "serving": names}
            print(json.dumps(row), flush=True)
        elif event.error:
            print(
                f"version {event.number}: not deployed, {', '.join(names) or 'nothing'} serves: {event.error}",
                flush=True,
            )
        else:
            print(f"version {event.number}: serves as {', '.join(names)}, after {event.seconds:.2f} s", flush=True)

    watching = ModelWatch(model_dir, deploy, every_s=every_s, on_event=show)

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # the second one ends it at once
        watching.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        watching.run()
    finally:
        for chain in serving:
            chain.close()
