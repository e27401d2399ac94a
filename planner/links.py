"""Links between all machines: what boards.yaml says, and the rest measured, disjoint pairs at the same time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fleet.inventory import DISPATCHER, Board, Inventory
from fleet.together import together
from planner.exchange import ExchangeBudget, SteadyState
from planner.link_probe import ProbeHop, probe
from transport.credentials import Credentials

OnLink = Callable[[int, int], None]

# A frame is a tensor between two layers, some 0.1 to 3 MB; two sizes give a slope, so that what a frame costs whatever its
# size does not count as bytes. The larger one is cut down on slow links: a probe must stay short.
_SMALL_BYTES = 64 * 2**10
_LARGE_BYTES = 2**20
_LARGE_SHARE_OF_BUDGET = 0.1
# On a link that takes longer than this for a small frame's bytes, both are smaller; a few frames tell beforehand.
_SMALL_SHARE_OF_BUDGET = 0.25
_SLOW_LINK_BYTES = (16 * 2**10, 48 * 2**10)
_FIRST_SHARE_OF_BUDGET = 0.05
# Enough in flight that the sender packs the next frame while one is on the wire.
_WINDOW = 4
_DOUBTFUL_SHARE = 0.1
_LINKS_NAMED = 3


@dataclass(frozen=True)
class TransportCost:
    """Processor seconds that a service spends on a frame: fixed, and per byte that comes in or goes out."""

    frame_cpu_s: float
    receive_cpu_s_per_byte: float
    send_cpu_s_per_byte: float


@dataclass(frozen=True)
class LinkSpeed:
    """One direction of a link under gRPC: a frame of n bytes takes frame_s + n / bytes_per_s when frames follow closely.

    Attributes:
        half_width_share: half the 95 % interval of a large frame's time, as a share of it; 0 where it is written down.
    """

    bytes_per_s: float
    frame_s: float
    round_trip_s: float
    is_measured: bool
    half_width_share: float = 0.0


@dataclass(frozen=True)
class MeasuredLinks:
    """Every ordered pair of names (boards and `dispatcher`), and what moving frames costs each of them."""

    speeds: dict[tuple[str, str], LinkSpeed]
    transport: dict[str, TransportCost]


@dataclass(frozen=True)
class _Direction:
    """Frames from `sender` to `receiver`; None is the dispatcher."""

    sender: Board | None
    receiver: Board | None

    @property
    def names(self) -> tuple[str, str]:
        return _name(self.sender), _name(self.receiver)


async def measure_links(
    inventory: Inventory,
    *,
    credentials: Credentials | None,
    budget: ExchangeBudget | None = None,
    on_link: OnLink = lambda done, total: None,
) -> MeasuredLinks:
    """Measures dispatcher to board and back for each board, and each pair of boards that boards.yaml says nothing of.

    Raises: BoardError, ProbeError.
    """
    settings = budget or ExchangeBudget()
    boards = list(inventory.boards)
    meter = _Meter(credentials, settings)
    wanted = _wanted(inventory, boards)
    for round_ in _rounds(wanted):
        await together(meter.measure(direction) for direction in round_)
        on_link(len(meter.speeds), len(wanted))
    speeds = dict(meter.speeds)
    for one in [*boards, None]:
        for other in [*boards, None]:
            if one is not other:
                names = (_name(one), _name(other))
                speeds[names] = _known(inventory, names, speeds.get(names), meter)
    return MeasuredLinks(speeds, meter.transport())


def link_notes(links: MeasuredLinks) -> list[str]:
    """What should be said of links that few or unsteady frames tell of: one sentence for all, or nothing."""
    shares = {names: speed.half_width_share for names, speed in links.speeds.items() if speed.is_measured}
    doubtful = sorted((n for n, share in shares.items() if share > _DOUBTFUL_SHARE), key=lambda n: -shares[n])
    if not doubtful:
        return []
    named = ", ".join(f"{sender} -> {receiver}" for sender, receiver in doubtful[:_LINKS_NAMED])
    more = len(doubtful) - _LINKS_NAMED
    which = f"{named} and {more} more" if more > 0 else named
    subject, whose = (f"link {which} is", "its") if len(doubtful) == 1 else (f"links {which} are", "their")
    worst = shares[doubtful[0]]
    how_well = f"to {worst * 100:.0f} % only" if math.isfinite(worst) else "from too few frames to say how well"
    return [f"{subject} known {how_well}; measure again, or write {whose} speed into boards.yaml."]


class _Meter:
    """Collects what the probes of all directions give."""

    def __init__(self, credentials: Credentials | None, budget: ExchangeBudget) -> None:
        self._credentials = credentials
        self._budget = budget
        self.speeds: dict[tuple[str, str], LinkSpeed] = {}
        self.round_trip_s: dict[str, float] = {}
        self._fixed_cpu_s: dict[str, list[float]] = {}
        self._receive: dict[str, list[float]] = {}
        self._send: dict[str, list[float]] = {}

    async def measure(self, direction: _Direction) -> None:
        """Empty frames one at a time, small frames, large frames; before them a few that tell how small and large."""
        empty = await self._probe(direction, 0, 1)
        small_bytes, largest_bytes = await self._sizes(direction, empty)
        small = await self._probe(direction, small_bytes, _WINDOW)
        affordable = int(self._budget.seconds * _LARGE_SHARE_OF_BUDGET * small_bytes / small.frame_s)
        large_bytes = min(largest_bytes, max(2 * _SMALL_BYTES, affordable))
        large = await self._probe(direction, large_bytes, _WINDOW)
        slope_s = (large.frame_s - small.frame_s) / (large_bytes - small_bytes)
        if slope_s <= 0:  # noise: the large frames were no slower; then all of it is bytes
            slope_s = large.frame_s / large_bytes
        frame_s = max(0.0, large.frame_s - slope_s * large_bytes)
        trip_s = self._trip_s(direction, empty)
        self.speeds[direction.names] = LinkSpeed(1 / slope_s, frame_s, trip_s, True, large.half_width_share)
        self._note_cpu(direction, empty, large, large_bytes)

    async def _sizes(self, direction: _Direction, empty: SteadyState) -> tuple[int, int]:
        """The small frame, and the largest that the large one may be."""
        size_bytes = _SLOW_LINK_BYTES[0]
        brief = replace(self._budget, seconds=self._budget.seconds * _FIRST_SHARE_OF_BUDGET)
        first = await self._probe(direction, size_bytes, 1, brief)
        bytes_s = (first.frame_s - empty.frame_s) * _SMALL_BYTES / size_bytes  # a long way alone makes no slow link
        is_slow = bytes_s > self._budget.seconds * _SMALL_SHARE_OF_BUDGET
        return _SLOW_LINK_BYTES if is_slow else (_SMALL_BYTES, _LARGE_BYTES)

    async def _probe(
        self, direction: _Direction, size_bytes: int, window: int, budget: ExchangeBudget | None = None
    ) -> SteadyState:
        hops, own_bytes = _route(direction, size_bytes)
        return await probe(hops, own_bytes, window, credentials=self._credentials, budget=budget or self._budget)

    def _trip_s(self, direction: _Direction, empty: SteadyState) -> float:
        """Between two boards: the whole way less the way to the first; the dispatcher's links are measured before."""
        if direction.sender is None and direction.receiver is not None:
            self.round_trip_s[direction.receiver.name] = empty.frame_s
        if direction.sender is None or direction.receiver is None:
            return empty.frame_s
        return max(0.0, empty.frame_s - self.round_trip_s[direction.sender.name])

    def _note_cpu(self, direction: _Direction, empty: SteadyState, large: SteadyState, large_bytes: int) -> None:
        """Between board and dispatcher only, one direction at a time: there neither does anything else."""
        board = direction.receiver or direction.sender
        assert board is not None, "a link joins two machines"
        if direction.sender is not None and direction.receiver is not None:
            return
        to_board = direction.sender is None
        for name, receives, empty_s, large_s in (
            (board.name, to_board, empty.cpu_s[0], large.cpu_s[0]),
            (DISPATCHER, not to_board, empty.own_cpu_s, large.own_cpu_s),
        ):
            self._fixed_cpu_s.setdefault(name, []).append(empty_s)
            per_byte = self._receive if receives else self._send
            per_byte.setdefault(name, []).append(max(0.0, (large_s - empty_s) / large_bytes))

    def dispatcher_frame_s(self) -> float:
        """What a frame costs whatever its size, for links that are not measured: the median of the dispatcher's links."""
        return statistics.median(speed.frame_s for names, speed in self.speeds.items() if DISPATCHER in names)

    def transport(self) -> dict[str, TransportCost]:
        """Of each machine that was measured; the dispatcher's is the median over the boards."""
        return {
            name: TransportCost(
                statistics.median(fixed_s),
                statistics.median(self._receive[name]),
                statistics.median(self._send[name]),
            )
            for name, fixed_s in self._fixed_cpu_s.items()
        }


def _route(direction: _Direction, size_bytes: int) -> tuple[list[ProbeHop], int]:
    """The hops of a probe whose only large frames go in this direction, and what the dispatcher sends."""
    if direction.sender is None:
        assert direction.receiver is not None, "a link joins two machines"
        return [ProbeHop(direction.receiver, 0)], size_bytes
    if direction.receiver is None:
        return [ProbeHop(direction.sender, size_bytes)], 0
    return [ProbeHop(direction.sender, size_bytes), ProbeHop(direction.receiver, 0)], 0


def _wanted(inventory: Inventory, boards: Sequence[Board]) -> list[_Direction]:
    """The dispatcher's links first: they also say what moving frames costs a board."""
    to_boards = [_Direction(None, board) for board in boards]
    from_boards = [_Direction(board, None) for board in boards]
    between = [
        _Direction(one, other)
        for one in boards
        for other in boards
        if one is not other and inventory.known_bytes_per_s(one.name, other.name) is None
    ]
    return [*to_boards, *from_boards, *between]


def _rounds(directions: Sequence[_Direction]) -> list[list[_Direction]]:
    """Greedy rounds in which no machine takes part twice; one direction to or from the dispatcher per round."""
    rounds: list[tuple[list[_Direction], set[str]]] = []
    first = 0
    for direction in directions:
        between_boards = DISPATCHER not in direction.names
        if not between_boards:
            rounds.append(([direction], set(direction.names)))
            first = len(rounds)
            continue
        for members, busy in rounds[first:]:
            if busy.isdisjoint(direction.names):
                members.append(direction)
                busy.update(direction.names)
                break
        else:
            rounds.append(([direction], set(direction.names)))
    return [members for members, _ in rounds]


def _known(inventory: Inventory, names: tuple[str, str], measured: LinkSpeed | None, meter: _Meter) -> LinkSpeed:
    """What boards.yaml says of a pair counts; what it leaves out is as measured.

    A board's own speed says nothing of the dispatcher's end: of the two figures of such a pair the slower one counts.
    """
    written = inventory.known_bytes_per_s(*names)
    if written is None:
        assert measured is not None, "every pair that boards.yaml leaves out was measured"
        return measured
    link = inventory.link_between(*names)
    if link is None and measured is not None and measured.bytes_per_s <= written:
        return measured
    trip_s = None if link is None else link.round_trip_s
    if trip_s is None:
        trip_s = max(meter.round_trip_s.get(name, 0.0) for name in names) if measured is None else measured.round_trip_s
    frame_s = meter.dispatcher_frame_s() if measured is None else measured.frame_s
    return LinkSpeed(written, frame_s, trip_s, False)


def _name(board: Board | None) -> str:
    return DISPATCHER if board is None else board.name
