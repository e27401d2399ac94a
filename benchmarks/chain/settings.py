"""What the benchmark measures, as its options say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.boards import BoardSpec
from benchmarks.chain.errors import SettingsError
from benchmarks.keras_models import DTYPES


@dataclass(frozen=True)
class Settings:
    """All combinations of models, dtypes, numbers of boards, links and batches are measured.

    Attributes:
        cores: of a core, for each board's computing. spare_core: it has as much again for all else.
        batches: images in a frame.
        frames: of each run; None: so many as come in `seconds`.
        turns: how often everything is measured, in turn; what counts is the median.
    Raises: SettingsError.
    """

    models: Sequence[str] = ("ResNet50", "MobileNetV2")
    dtypes: Sequence[str] = DTYPES
    boards: Sequence[int] = (1, 2, 4, 8)
    links_mbit_s: Sequence[float] = (1000.0, 100.0)
    cores: float = 0.2
    spare_core: bool = False
    codec: str = "raw"
    batches: Sequence[int] = (1,)
    frames: int | None = None
    seconds: float = 8.0
    turns: int = 3
    with_replicas: bool = True
    with_defer: bool = True
    with_tls: bool = False
    replan: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.dtypes) - set(DTYPES))
        if unknown:
            raise SettingsError(f"no dtype {', '.join(unknown)}: expected some of {', '.join(DTYPES)}.")
        if not self.boards or min(self.boards) < 1:
            raise SettingsError("numbers of boards are 1 or more, at least one of them, as --boards 1,2,4,8.")
        if not self.batches or min(self.batches) < 1:
            raise SettingsError("batches are 1 image or more, at least one of them, as --batch 1,4.")
        if not (self.models and self.dtypes and self.links_mbit_s):
            raise SettingsError("at least one model, one dtype and one link are needed.")

    def specs(self, link_mbit_s: float) -> list[BoardSpec]:
        """The boards to emulate; the fewer of a smaller case are the first of them."""
        cores = self.cores * (2 if self.spare_core else 1)
        return [BoardSpec(f"pi{i + 1}", cores, link_mbit_s * 1e6) for i in range(max(self.boards))]


def split_words(text: str) -> list[str]:
    """The words between the commas, each once, in their order."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def split_numbers(option: str, text: str) -> list[float]:
    """The numbers between the commas, each once, in their order. Raises: SettingsError."""
    try:
        return list(dict.fromkeys(float(word) for word in split_words(text)))
    except ValueError:
        raise SettingsError(f"{option} {text}: expected numbers with commas between them, as 1,2,4,8.") from None


def split_counts(option: str, text: str) -> list[int]:
    """The same of whole numbers. Raises: SettingsError."""
    numbers = split_numbers(option, text)
    if any(number != int(number) for number in numbers):
        raise SettingsError(f"{option} {text}: expected whole numbers.")
    return [int(number) for number in numbers]
