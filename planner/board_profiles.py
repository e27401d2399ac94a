"""Has every board measure what a plan wants to know of it; what a board knows already costs one question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.inventory import Board
from fleet.together import together
from planner.model import PlannerModel, Range
from protos.v1.control_plane_pb2 import CodecSpeed, Description, Profile, ProfileHeader, ProfileKey
from transport.credentials import Credentials

OnProfile = Callable[[str, int, int], None]

_ROUGHER = 3
# A mean that is known to no more than half of itself says nothing; boards refuse to be asked for 1 and more.
_ROUGHEST = 0.5


@dataclass(frozen=True)
class ProfileSettings:
    """How exact a measurement must be: 95 % confidence within a share of the mean, or a time limit per partition.

    `credentials` are what is shown to the boards; None: plaintext.
    `rough` has the limits for the many pieces that are only looked through for good cuts.
    """

    confidence: float = 0.02
    budget_s: float = 3.0
    credentials: Credentials | None = None
    timeout_s: float = 30.0
    fresh: bool = False

    @property
    def rough(self) -> ProfileSettings:
        """For pieces: their sum is known better than each of them, and the chosen stages are measured whole."""
        return replace(self, confidence=min(_ROUGHER * self.confidence, _ROUGHEST), budget_s=self.budget_s / _ROUGHER)


@dataclass(frozen=True)
class ServiceCost:
    """Processor seconds per frame of a board's service with a stage in service, and of these the runtime's `invoke`."""

    cpu_s: float
    invoke_cpu_s: float


@dataclass
class BoardRecord:
    """What is known of one board: what it says of itself, and its measurements by range of operators.

    `in_service` has what stages cost that were tried in service, once for each trial.
    """

    board: Board
    description: Description
    profiles: dict[Range, Profile] = field(default_factory=dict)
    in_service: dict[Range, list[ServiceCost]] = field(default_factory=dict)
    codec_speeds: list[CodecSpeed] = field(default_factory=list)


async def describe_boards(boards: Sequence[Board], settings: ProfileSettings) -> dict[str, BoardRecord]:
    """A record of each board, without profiles. Raises: BoardError: boards cannot be reached or refuse; all are named."""

    async def describe(board: Board) -> BoardRecord | BoardError:
        try:
            async with BoardControl(board, credentials=settings.credentials, timeout_s=settings.timeout_s) as control:
                return BoardRecord(board, await control.describe())
        except BoardError as error:
            return error

    found = await together(map(describe, boards))
    errors = [one for one in found if isinstance(one, BoardError)]
    if errors:
        raise _joined(errors)
    return {one.board.name: one for one in found if isinstance(one, BoardRecord)}


async def profile_boards(
    model: PlannerModel,
    wanted: Mapping[str, Iterable[Range]],
    records: Mapping[str, BoardRecord],
    settings: ProfileSettings,
    on_profile: OnProfile = lambda board, done, total: None,
    *,
    replace_known: bool = False,
) -> None:
    """Adds the wanted profiles to the records: all boards at once, on each board one partition after the other.

    Args:
        wanted: board name -> ranges of operators; those that the record has are left as they are,
        replace_known: or asked for again, to be as exact as the settings say.
        on_profile: hears (board, done, total).
    Raises: BoardError.
    """

    async def work(name: str, ranges: Sequence[Range]) -> None:
        record = records[name]
        async with BoardControl(
            record.board, credentials=settings.credentials, timeout_s=settings.timeout_s
        ) as control:
            await _profile_board(model, ranges, record, control, settings, on_profile)

    missing = {
        name: [r for r in ranges if replace_known or r not in records[name].profiles] for name, ranges in wanted.items()
    }
    await together(work(name, ranges) for name, ranges in missing.items() if ranges)


async def measure_codecs(records: Mapping[str, BoardRecord], settings: ProfileSettings, budget_s: float) -> None:
    """Adds to each record how fast the board's codecs are, all boards at once. Raises: BoardError."""

    async def work(record: BoardRecord) -> None:
        async with BoardControl(
            record.board, credentials=settings.credentials, timeout_s=settings.timeout_s
        ) as control:
            record.codec_speeds = list(await control.measure_codecs(budget_s))

    await together(map(work, records.values()))


def flag_notes(records: Mapping[str, BoardRecord]) -> list[str]:
    """What should be said of measurements that the boards have flagged: one sentence per board and kind of flag."""
    notes = []
    for name, record in records.items():
        flagged: dict[str, list[str]] = {}
        for profile in record.profiles.values():
            for flag in profile.flags:
                flagged.setdefault(flag.split(":")[0], []).append(flag)
        for kind, flags in flagged.items():
            notes.append(
                f"board {name}: {len(flags)} of {len(record.profiles)} measurements are {kind} (for instance: {flags[0]}). "
                "They were used and not kept: measure again when the board is quiet and cool."
            )
    return notes


async def _profile_board(
    model: PlannerModel,
    ranges: Sequence[Range],
    record: BoardRecord,
    control: BoardControl,
    settings: ProfileSettings,
    on_profile: OnProfile,
) -> None:
    name = record.board.name
    keys = {ops: control.profile_key(model.segment(ops).sha256) for ops in ranges}
    kept = [] if settings.fresh else await control.find_profiles(list(keys.values()))
    known = {p.key.sha256: p for p in kept if p.run_half_width_s <= settings.confidence * p.run_s}
    for done, (ops, key) in enumerate(keys.items()):
        on_profile(name, done, len(keys))
        profile = known.get(key.sha256)
        if profile is None:
            profile = await _measure(control, key, model.segment(ops).data, model.runtime_floor, settings)
        record.profiles[ops] = profile
    on_profile(name, len(keys), len(keys))


async def profile_file(
    control: BoardControl, sha256: str, data: bytes, runtime_floor: str, settings: ProfileSettings
) -> Profile:
    """One file on one board, from what the board keeps if that is as exact as the settings ask. Raises: BoardError."""
    key = control.profile_key(sha256)
    for kept in [] if settings.fresh else await control.find_profiles([key]):
        if kept.run_half_width_s <= settings.confidence * kept.run_s:
            return kept
    return await _measure(control, key, data, runtime_floor, settings)


async def _measure(
    control: BoardControl, key: ProfileKey, data: bytes, runtime_floor: str, settings: ProfileSettings
) -> Profile:
    header = ProfileHeader(
        key=key,
        size_bytes=len(data),
        runtime_floor=runtime_floor,
        confidence=settings.confidence,
        budget_s=settings.budget_s,
    )
    return await control.profile(header, data, _timeout_s(settings))


def _joined(errors: Sequence[BoardError]) -> BoardError:
    """One error that names every board that is at fault; of the first one's kind."""
    first = errors[0]
    text = "\n".join(map(str, errors))
    return type(first)(first.board, text[len(f"board {first.board}: ") :])


def _timeout_s(settings: ProfileSettings) -> float:
    """Upload, start of the measuring process on a slow board, load, warm-up and runs."""
    return settings.timeout_s + 60.0 + 4 * settings.budget_s
