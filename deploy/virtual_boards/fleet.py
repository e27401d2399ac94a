"""A fleet of virtual boards, as tests use it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.boards.inside import command_inside
from benchmarks.boards.leftovers import remove_cluster, work_directory
from benchmarks.boards.lifetime import ClusterLifetime
from benchmarks.boards.preflight import require_able
from deploy.virtual_boards.architecture import ARCHITECTURES, architectures
from deploy.virtual_boards.errors import FleetSpecError
from deploy.virtual_boards.image import DEFAULT_CACHE, BaseImage, ready_image
from deploy.virtual_boards.inventory import inventory
from deploy.virtual_boards.machine import BoardSpec, VirtualBoard
from deploy.virtual_boards.network import MOST_BOARDS, make_network, namespace_of
from deploy.virtual_boards.preflight import require_tools

DEFAULT_BOOT_TIMEOUT_S = 300.0  # many times what boards take one by one; all of a fleet boot at once


class VirtualFleet(ClusterLifetime):
    """Boards that are up inside `with`.

    with VirtualFleet(amd64=2, arm64=1) as fleet:
        fleet.run(["ansible-playbook", "-i", str(fleet.inventory), "deploy.yml"], timeout=1800)
        fleet.boards[0].power_cut()
    """

    def __init__(
        self,
        *,
        amd64: int = 0,
        arm64: int = 0,
        memory_mib: int | None = None,
        cache: Path = DEFAULT_CACHE,
        boot_timeout_s: float = DEFAULT_BOOT_TIMEOUT_S,
    ) -> None:
        """Args: amd64, arm64: how many boards of each. memory_mib: of each board, if not their architecture's own.

        Raises: FleetSpecError: no boards, or too many.
        """
        if min(amd64, arm64) < 0 or not 1 <= amd64 + arm64 <= MOST_BOARDS:
            raise FleetSpecError(f"{amd64} + {arm64} boards: expected 1 to {MOST_BOARDS}, none negative.")
        super().__init__()
        self.boards: list[VirtualBoard] = []
        self._kinds = [ARCHITECTURES["amd64"]] * amd64 + [ARCHITECTURES["arm64"]] * arm64
        self._memory_mib = memory_mib
        self._cache = cache
        self._boot_timeout_s = boot_timeout_s
        self._images: dict[str, BaseImage] = {}

    @property
    def namespace(self) -> Path:
        """The network namespace with the boards and whoever talks to them."""
        return namespace_of(self.cluster_id)

    @property
    def directory(self) -> Path:
        """Where the fleet keeps disks, consoles' logs and its inventory; gone at the end."""
        return work_directory(self.cluster_id)

    @property
    def inventory(self) -> Path:
        """Ansible's inventory, a file: boards board1, board2, ... in the group `boards`, amd64 first."""
        return self.directory / "inventory.yml"

    def inventory_text(self) -> str:
        """What is in it, to put elsewhere: Ansible looks for what belongs to an inventory beside it."""
        return inventory(self.boards, self.directory / "ssh")

    def board(self, name: str) -> VirtualBoard:
        """The board of that name. Raises: FleetSpecError: there is none."""
        for board in self.boards:
            if board.spec.name == name:
                return board
        raise FleetSpecError(f"there is no board {name!r}; there are {', '.join(b.spec.name for b in self.boards)}.")

    def command(self, argv: Sequence[str]) -> list[str]:
        """A command line that runs `argv` where the boards' addresses lead to the boards."""
        return command_inside(self.namespace, argv)

    def run(self, argv: Sequence[str], *, timeout: float, **options: Any) -> subprocess.CompletedProcess[Any]:
        """Runs `argv` as `command` has it, `timeout` seconds at most; options are those of subprocess.run."""
        options.setdefault("check", True)
        return subprocess.run(self.command(argv), timeout=timeout, **options)  # noqa: S603

    def __enter__(self) -> VirtualFleet:
        """Raises: MissingToolsError, ToolError, BoardBootError; CannotEmulateError: not root, or no namespaces."""
        # Before anything is made: the first image takes minutes.
        names = dict.fromkeys(kind.name for kind in self._kinds)
        require_tools(architectures(names))
        require_able()
        self._images = {name: ready_image(ARCHITECTURES[name], self._cache) for name in names}
        return super().__enter__()

    def _make(self) -> None:
        make_network(self.cluster_id, len(self._kinds))
        for index, kind in enumerate(self._kinds):
            spec = BoardSpec(f"board{index + 1}", index, self._memory_mib or kind.memory_mib)
            self.boards.append(VirtualBoard(spec, self._images[kind.name], self.command, self.directory))
        self.inventory.write_text(self.inventory_text())
        self._boot()

    def _remove(self) -> None:
        for board in self.boards:
            board.power_cut()
        remove_cluster(self.cluster_id)

    def _boot(self) -> None:
        deadline_s = time.monotonic() + self._boot_timeout_s
        for board in self.boards:
            board.turn_on()
        for board in self.boards:
            board.wait_until_ready(timeout_s=max(0.0, deadline_s - time.monotonic()))
