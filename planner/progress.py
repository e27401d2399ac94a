"""Progress of measuring and planning on stderr: one bar per board, one for the links."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from planner.boards_plan import Listeners
from terminal import progress


@contextmanager
def shown_progress() -> Iterator[Listeners]:
    """Listeners that draw while the block runs; on a pipe nothing is drawn."""
    with progress() as display:
        tasks: dict[str, Any] = {"": display.add_task("starting", total=None)}

        def on_step(what: str) -> None:
            display.update(tasks[""], description=what)

        def on_profile(board: str, done: int, total: int) -> None:
            show(f"profiling on {board}", done, total)

        def on_link(done: int, total: int) -> None:
            show("measuring links", done, total)

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = display.add_task(what, total=total)
            display.update(tasks[what], completed=done, total=total)

        yield Listeners(on_profile, on_link, on_step)
