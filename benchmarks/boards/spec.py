"""What one emulated board is: its share of a core, its link, its memory; and how a command line says so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.boards.errors import SpecError

MAX_BOARDS = 200
# The pattern of boards.schema.json: what `up` writes, the dispatcher reads.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# Names of the two namespaces that are not boards.
DISPATCHER = "dispatcher"
HUB = "hub"
_MIB = 2**20
# Below this a Python process with a TFLite runtime cannot even be loaded; a smaller figure is a slip of units.
_MIN_MEMORY_BYTES = 16 * _MIB
_MIN_CORES = 0.01
_MIN_LINK_BITS_PER_S = 1e5


@dataclass(frozen=True)
class BoardSpec:
    """One board. None means: as the machine is, without a limit.

    `cores` is the CPU time that the node service and all its children may use per second, in seconds;
    `link_bits_per_s` holds for each direction; `delay_s` is added to each direction.
    """

    name: str
    cores: float | None = None
    link_bits_per_s: float | None = None
    memory_bytes: int | None = None
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        """Raises SpecError."""
        if not _NAME.fullmatch(self.name) or self.name in (DISPATCHER, HUB):
            raise SpecError(
                f"{self.name!r} cannot name a board: write 1 to 63 letters, digits, dots, dashes or underscores, "
                f"other than {DISPATCHER} and {HUB}, which the emulation itself uses."
            )
        self._require_at_least("cores", self.cores, _MIN_CORES, "of a core")
        self._require_at_least("link_bits_per_s", self.link_bits_per_s, _MIN_LINK_BITS_PER_S, "bit/s")
        self._require_at_least("memory_bytes", self.memory_bytes, _MIN_MEMORY_BYTES, "bytes")
        self._require_at_least("delay_s", self.delay_s, 0.0, "s")

    def _require_at_least(self, field: str, value: float | None, least: float, unit: str) -> None:
        if value is not None and not value >= least:  # written so that NaN fails
            raise SpecError(f"board {self.name}: {field} is {value}; it must be at least {least:g} {unit}.")


def parse_board(text: str, common: BoardSpec) -> BoardSpec:
    """Reads "pi1:cores=0.4,link=100,memory=512,delay=2" (Mbit/s, MiB, ms); keys left out are as in `common`.

    Raises: SpecError: an unknown or repeated key, or no number.
    """
    name, _, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",")] if rest else []
    repeated = sorted(key for key, count in Counter(key for key, _, _ in pairs).items() if count > 1)
    unknown = sorted({key for key, _, _ in pairs} - {"cores", "link", "memory", "delay"})
    if repeated or unknown:
        raise SpecError(
            f"--board {text}: {', '.join(unknown + repeated)} is unknown or repeated. "
            "Write NAME:cores=0.4,link=100,memory=512,delay=2, each key at most once."
        )
    try:
        values = {key: float(value) for key, _, value in pairs}
    except ValueError:
        raise SpecError(f"--board {text}: every key needs a number, as in NAME:cores=0.4,link=100.") from None
    spec = replace(common, name=name)
    if "cores" in values:
        spec = replace(spec, cores=values["cores"])
    if "link" in values:
        spec = replace(spec, link_bits_per_s=values["link"] * 1e6)
    if "memory" in values:
        spec = replace(spec, memory_bytes=mib(values["memory"]))
    if "delay" in values:
        spec = replace(spec, delay_s=values["delay"] / 1e3)
    return spec


def mib(count: float) -> int:
    """Bytes of so many MiB. Raises: SpecError: not a finite number."""
    try:
        return round(count * _MIB)
    except (ValueError, OverflowError):
        raise SpecError(f"a memory of {count} MiB is no amount of memory.") from None


def require_cluster(specs: Sequence[BoardSpec]) -> None:
    """Raises SpecError unless these can be the boards of one cluster."""
    if not 1 <= len(specs) <= MAX_BOARDS:
        raise SpecError(f"{len(specs)} boards were asked for; 1 to {MAX_BOARDS} can be emulated.")
    repeated = sorted(name for name, count in Counter(s.name for s in specs).items() if count > 1)
    if repeated:
        raise SpecError(f"boards need names of their own; given more than once: {', '.join(repeated)}.")


def overload_warning(specs: Sequence[BoardSpec], usable_cores: int) -> str | None:
    """What to tell someone whose boards together may use more cores than the machine has; None where they may not."""
    unlimited = [s.name for s in specs if s.cores is None]
    if unlimited:
        return f"no CPU quota for {', '.join(unlimited)}: boards share the machine's {usable_cores} cores as they come."
    wanted_cores = sum(s.cores for s in specs if s.cores is not None)
    if wanted_cores <= usable_cores:
        return None
    return (
        f"the boards' quotas add up to {wanted_cores:g} cores and the machine has {usable_cores}: when all are busy each "
        "gets less than its quota, and measured figures do not hold."
    )
