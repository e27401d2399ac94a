"""The gateway's benchmark asks one chain in three ways, with clients as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.gateway import measure
from bundle import Bundle
from examples.local_boards import LocalBoards


def test_every_way_is_asked_in_every_turn(store_root: Path, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    with LocalBoards(2, store_root, ("--insecure", "--threads", "1")) as boards:
        rates = measure(bundle.path, boards.named, frames=20, turns=2)
    assert set(rates) == {"Dispatcher.stream", "gateway, gRPC stream", "gateway, HTTP"}
    assert all(len(of_way) == 2 and min(of_way) > 1 for of_way in rates.values())
