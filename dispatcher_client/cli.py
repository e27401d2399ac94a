"""The client's command line: deploy, infer, bench, compare, profile, status, top, undeploy, drain, watch, serve, certs, boards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import typer

from bundle import BundleError, open_bundle
from dispatcher_client.bench_command import bench
from dispatcher_client.boards_command import boards_app
from dispatcher_client.certs_command import certs
from dispatcher_client.command_options import (
    BOARDS,
    BUNDLE,
    JSON,
    PLAN,
    TIMEOUT,
    shown_uploads,
)
from dispatcher_client.compare_command import compare
from dispatcher_client.deployment import deploy as deploy_bundle
from dispatcher_client.drain_command import drain
from dispatcher_client.errors import DispatcherError, OptionError
from dispatcher_client.identity import judge_fleet
from dispatcher_client.infer_command import infer
from dispatcher_client.model_directory import ModelDirectory
from dispatcher_client.placement import place_chains
from dispatcher_client.profile_command import profile
from dispatcher_client.serve_command import serve
from dispatcher_client.status import read_status, undeploy_everywhere
from dispatcher_client.top_command import top
from dispatcher_client.watch_command import try_out, watch
from fleet.event_loop import run_in_loop
from fleet.inventory import load_boards, load_inventory, parse_boards
from fleet.options import CREDENTIALS, INSECURE
from terminal import command_app, print_json, print_table, run
from transport.credentials import choose_credentials
from transport.errors import TransportError

app = command_app("Runs a bundle's model across boards.")


@app.command()
def deploy(
    bundle: Path = BUNDLE,
    boards: str = BOARDS,
    plan: Optional[Path] = PLAN,
    model_dir: Optional[Path] = typer.Option(
        None,
        "--to",
        metavar="MODEL_DIR",
        help="Then check its sample, and put BUNDLE there as the next version: what follows MODEL_DIR goes over to it.",
    ),
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    timeout_s: float = TIMEOUT,
    as_json: bool = JSON,
) -> None:
    """Load the partitions of BUNDLE on the boards beside what they hold; upload only what a board lacks.

    With --to, running services go over to it: applications and `watch` commands that follow MODEL_DIR. If its sample is
    answered wrongly, it is unloaded and nobody hears of it.

    Example: python -m dispatcher_client deploy parts/ --boards boards.yaml --to models/
    """
    if plan is not None and model_dir is not None:
        raise OptionError(
            "--plan and --to cannot be given together: those who follow the directory place by the bundle's own plan. "
            "Split with it: python -m converter split MODEL --plan FILE"
        )
    credentials = choose_credentials(credentials_dir, insecure)
    opened = open_bundle(bundle)
    inventory = load_inventory(parse_boards(boards))
    chains = place_chains(opened, inventory.serving, plan)
    with shown_uploads() as on_upload:
        if model_dir is None:
            stages = run_in_loop(
                deploy_bundle(opened, chains, credentials=credentials, timeout_s=timeout_s, on_upload=on_upload)
            )
        else:
            stages = list(try_out(opened, inventory, credentials=credentials, timeout_s=timeout_s, on_upload=on_upload))
    version = None if model_dir is None else ModelDirectory(model_dir).add(opened)
    promise = judge_fleet(opened.manifest.measured_on, [(s.placement.board.name, s.runtime) for s in stages])
    rows = [
        {
            "chain": s.placement.chain_index,
            "stage": s.placement.stage_index,
            "board": s.placement.board.name,
            "address": str(s.placement.board.address),
            "runtime": f"{s.runtime.runtime} {s.runtime.version}",
            "delegate": s.runtime.delegate,
            "uploaded_bytes": s.uploaded_bytes,
        }
        for s in stages
    ]
    if as_json:
        print_json(
            {
                "deployment_ids": [c.splitting.deployment_id for c in chains],
                "bits": promise.text,
                "stages": rows,
                "version": version,
            }
        )
        return
    several = len(chains) > 1
    print_table(
        f"{_join(c.splitting.deployment_id for c in chains)} loaded",
        ("board", "address", "runtime", *(["chain"] if several else []), "stage", "uploaded kB"),
        (
            (
                r["board"],
                r["address"],
                r["runtime"],
                *([r["chain"]] if several else []),
                r["stage"],
                f"{s.uploaded_bytes / 1e3:.1f}",
            )
            for r, s in zip(rows, stages)
        ),
        text_columns=3,
    )
    print(f"bits: {promise.text}")
    if version is not None:
        print(f"version: {version} in {model_dir}")


app.command()(infer)
app.command()(bench)
app.command()(compare)
app.command()(profile)


@app.command()
def status(
    boards: str = BOARDS,
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    timeout_s: float = typer.Option(3.0, "--timeout-s", min=0.1, help="Limit for each board."),
    as_json: bool = JSON,
) -> None:
    """Show what each board is, holds and serves; exit status 1 if one does not answer.

    Example: python -m dispatcher_client status --boards boards.yaml
    """
    credentials = choose_credentials(credentials_dir, insecure)
    rows = run_in_loop(read_status(load_boards(parse_boards(boards)), credentials=credentials, timeout_s=timeout_s))
    if as_json:
        print_json(rows)
    else:
        print_table(
            "boards",
            ("board", "address", "state", "runtime", "certificate", "serves", "free MiB"),
            (
                (
                    r["board"],
                    r["address"],
                    r["error"] or r["state"],
                    r["runtime"],
                    "" if r["error"] else (f"until {r['certificate_ends']}" if r["certificate_ends"] else "plaintext"),
                    ", ".join(f"{s['deployment_id']} stage {s['stage']}: {s['frames']} frames" for s in r["stages"]),
                    r["memory_available_bytes"] // 2**20,
                )
                for r in rows
            ),
            text_columns=6,
        )
    if any(r["error"] for r in rows):
        raise typer.Exit(1)


@app.command()
def undeploy(
    bundle: Path = BUNDLE,
    boards: str = BOARDS,
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    timeout_s: float = TIMEOUT,
    as_json: bool = JSON,
) -> None:
    """Unload every splitting of BUNDLE; stored partitions stay.

    Example: python -m dispatcher_client undeploy parts/ --boards boards.yaml
    """
    credentials = choose_credentials(credentials_dir, insecure)
    deployment_ids = [splitting.deployment_id for splitting in open_bundle(bundle).splittings]
    listed = load_boards(parse_boards(boards))
    rows = run_in_loop(undeploy_everywhere(listed, deployment_ids, credentials=credentials, timeout_s=timeout_s))
    if as_json:
        print_json(rows)
    else:
        print_table(
            f"{_join(deployment_ids)} unloaded",
            ("board", "state", "stages"),
            ((r["board"], r["error"] or "unloaded", r["unloaded_stages"]) for r in rows),
            text_columns=2,
        )
    if any(r["error"] for r in rows):
        raise typer.Exit(1)


app.command()(top)
app.command()(drain)
app.command()(watch)
app.command()(serve)
app.add_typer(certs, name="certs")
app.add_typer(boards_app, name="boards")


def main() -> None:
    """Entry point of `python -m dispatcher_client` and of the installed command."""
    run(app, (DispatcherError, BundleError, TransportError))


def _join(deployment_ids: Iterable[str]) -> str:
    """`a is`, or `a, b are`; two chains may serve one deployment."""
    distinct = dict.fromkeys(deployment_ids)
    return f"{', '.join(distinct)} {'are' if len(distinct) > 1 else 'is'}"
