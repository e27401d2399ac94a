"""A running cluster of emulated boards, as tests and benchmarks use it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.boards.cgroups import BoardGroup, ClusterGroups, mounted_hierarchies
from benchmarks.boards.errors import CannotEmulateError, SpecError
from benchmarks.boards.inside import call_inside, command_inside
from benchmarks.boards.leftovers import remove_cluster, work_directory
from benchmarks.boards.lifetime import ClusterLifetime
from benchmarks.boards.network import NAMESPACES, Port, board_host, change_rate, dispatcher_port, make_network
from benchmarks.boards.node import EmulatedBoard
from benchmarks.boards.ownership import namespace_name
from benchmarks.boards.spec import DISPATCHER, BoardSpec, overload_warning, require_cluster

if TYPE_CHECKING:
    from dispatcher_client import Board

_T = TypeVar("_T")


class EmulatedBoards(ClusterLifetime):
    """Boards on this machine, with a namespace for the dispatcher; all of it is gone at the end, however that comes.

    with EmulatedBoards([BoardSpec("pi1", cores=0.4, link_bits_per_s=1e9), BoardSpec("pi2", cores=0.2)]) as boards:
        boards.run(["ip", "address"])  # a command where the dispatcher is
        boards.call(measure, bundle, boards.named)  # a function there, in a process of its own

    Boards start without their CPU quota and have it when `with` begins, because loading Python takes a second
    of CPU time, ten at a tenth of a core, and says nothing about a chain.
    """

    def __init__(
        self,
        specs: Sequence[BoardSpec],
        *,
        dispatcher_link_bits_per_s: float | None = None,
        node_arguments: Sequence[str] = ("--threads", "1"),
        start_timeout_s: float = 60.0,
        credentials: Mapping[str, Path] | None = None,
    ) -> None:
        """Args: credentials: of each board by name; without them boards speak plaintext, inside their namespaces.

        Raises: SpecError: no boards, too many, or two of one name.
        """
        super().__init__()
        require_cluster(specs)
        self.specs = list(specs)
        self.boards: list[EmulatedBoard] = []
        # What of "rate", "delay", "cpu" and "memory" this machine cannot emulate, with the reason.
        self.not_emulated: dict[str, str] = {}
        self._dispatcher = dispatcher_port(dispatcher_link_bits_per_s)
        self._node_arguments = node_arguments
        self._start_timeout_s = start_timeout_s
        self._credentials: Mapping[str, Path] = credentials or {}

    @property
    def named(self) -> list[Board]:
        """Each as the dispatcher takes it, in order; reachable from inside only."""
        from dispatcher_client import Board  # takes longer than all else that `run` and `down` do

        return [Board(board.spec.name, board.address) for board in self.boards]

    @property
    def warning(self) -> str | None:
        """Why figures measured on these boards would not hold on this machine, if they would not."""
        return overload_warning(self.specs, len(os.sched_getaffinity(0)))

    @property
    def dispatcher_namespace(self) -> Path:
        """The namespace to run the dispatcher in."""
        return NAMESPACES / namespace_name(self.cluster_id, DISPATCHER)

    @property
    def dispatcher_host(self) -> str:
        """The dispatcher's address, as boards reach it."""
        return self._dispatcher.host

    def change_link(self, name: str, link_bits_per_s: float) -> None:
        """Gives a board's link another rate, both ways, while it runs; its delay, if it had one, is gone.

        Raises: SpecError: no such board. CannotEmulateError: this kernel has no rates.
        """
        board = self._board(name)
        if "rate" in self.not_emulated:
            raise CannotEmulateError(self.not_emulated["rate"])
        port_index = 1 + self.boards.index(board)  # the dispatcher's comes first
        change_rate(self.cluster_id, port_index, name, link_bits_per_s)

    def restart(self, name: str) -> None:
        """Starts a board's node service again, after whatever has become of it; what it stores is kept.

        Raises: SpecError: no such board. BoardStartError.
        """
        board = self._board(name)
        board.end()
        with self.with_cores(None):
            board.start(self._node_arguments, self._credentials.get(board.spec.name))
            board.wait_until_it_serves(time.monotonic() + self._start_timeout_s)

    def command(self, argv: Sequence[str], *, on: str | None = None) -> list[str]:
        """A command line, for subprocess and the like, that runs `argv` where the dispatcher is.

        Args: on: the name of a board to run it there instead, under the board's quota and memory limit.
        """
        if on is None:
            return command_inside(self.dispatcher_namespace, argv)
        board = self._board(on)
        return command_inside(board.namespace, argv, board.group.join_files)

    def run(self, argv: Sequence[str], *, on: str | None = None, **options: Any) -> subprocess.CompletedProcess[Any]:
        """Runs `argv` as `command` has it; options are those of subprocess.run."""
        options.setdefault("check", True)
        return subprocess.run(self.command(argv, on=on), **options)

    def call(self, function: Callable[..., _T], *args: Any, timeout_s: float = 300.0) -> _T:
        """What function(*args) gives where the dispatcher is. It runs in a new process; all of it is pickled.

        Raises: CallError: no answer in time, or the process ended without one; and whatever the function raises.
        """
        return call_inside(self.dispatcher_namespace, function, args, timeout_s)

    @contextmanager
    def with_cores(self, cores: float | None) -> Iterator[None]:
        """Gives every board another CPU quota for a while, None for no limit: to deploy a model, which says nothing about it."""
        self._limit_cpu([cores] * len(self.boards))
        try:
            yield
        finally:
            self._limit_cpu([board.spec.cores for board in self.boards])

    def _remove(self) -> None:
        remove_cluster(self.cluster_id)
        for board in self.boards:
            board.end()

    def _make(self) -> None:
        directory = work_directory(self.cluster_id)
        self.not_emulated = make_network(self.cluster_id, [self._dispatcher, *map(self._port, range(len(self.specs)))])
        groups = ClusterGroups(self.cluster_id, mounted_hierarchies())
        self.not_emulated.update(groups.missing)
        for index, spec in enumerate(self.specs):
            namespace = NAMESPACES / namespace_name(self.cluster_id, spec.name)
            board = EmulatedBoard(spec, board_host(index), namespace, groups.make(spec.name), directory)
            self._limit_memory(board.group, spec)
            self.boards.append(board)
            board.start(self._node_arguments, self._credentials.get(board.spec.name))
        deadline_s = time.monotonic() + self._start_timeout_s
        for board in self.boards:
            board.wait_until_it_serves(deadline_s)
        self._limit_cpu([board.spec.cores for board in self.boards])

    def _limit_cpu(self, cores: Sequence[float | None]) -> None:
        if "cpu" not in self.not_emulated:
            for board, share in zip(self.boards, cores):
                board.group.limit_cpu(share)

    def _limit_memory(self, group: BoardGroup, spec: BoardSpec) -> None:
        if spec.memory_bytes is not None and "memory" not in self.not_emulated:
            group.limit_memory(spec.memory_bytes)

    def _port(self, board_index: int) -> Port:
        spec = self.specs[board_index]
        return Port(spec.name, board_host(board_index), spec.link_bits_per_s, spec.delay_s)

    def _board(self, name: str) -> EmulatedBoard:
        for board in self.boards:
            if board.spec.name == name:
                return board
        raise SpecError(f"there is no board {name!r}; there are {', '.join(s.name for s in self.specs)}.")
