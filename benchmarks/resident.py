"""The memory of running processes: what is resident, at its most, and whether it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


def resident_bytes(pid: int) -> int:
    """Resident size of a process. Exact, from smaps_rollup, where the kernel has that; else as `ps` shows it."""
    exact = Path(f"/proc/{pid}/smaps_rollup")
    if exact.exists():
        return _kib_after(exact.read_text(), "Rss:") * 1024
    return _kib_after(Path(f"/proc/{pid}/status").read_text(), "VmRSS:") * 1024


def _kib_after(text: str, word: str) -> int:
    return int(text[text.index(word) + len(word) :].split()[0])


@dataclass
class Residence:
    """One process's resident size over a run. `loaded_bytes` is that before the first frame."""

    loaded_bytes: int
    frames: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, frame: int, size_bytes: int) -> None:
        """Keeps the size after so many frames."""
        self.frames.append(frame)
        self.sizes.append(size_bytes)

    @property
    def peak_bytes(self) -> int:
        """The largest of the sizes."""
        return max([self.loaded_bytes, *self.sizes])

    @property
    def beyond_bytes(self) -> int:
        """The peak beyond what runtime and partition took before the first frame."""
        return self.peak_bytes - self.loaded_bytes

    @property
    def slope_bytes_per_frame(self) -> float:
        """Least squares over the second half: pools and arenas are filled in the first."""
        half = len(self.frames) // 2
        return slope(self.frames[half:], self.sizes[half:])


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the line through the points with the least squares; 0 through fewer than two."""
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else 0.0
