"""What coding costs and saves on one link, and the best coding of several tensors at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transport.codec_setting import CodecSetting

# Combinations of tensors' codings kept on the way; below it the answer is exact. Three useful codings of four tensors are 81.
_MOST_KEPT = 128


@dataclass(frozen=True)
class CodingCost:
    """What a setting makes of a tensor (or settings of a frame's tensors): its bytes, and processor seconds at both ends."""

    encoded_bytes: float
    encode_s: float = 0.0
    decode_s: float = 0.0

    def __add__(self, other: CodingCost) -> CodingCost:
        return CodingCost(
            self.encoded_bytes + other.encoded_bytes, self.encode_s + other.encode_s, self.decode_s + other.decode_s
        )

    @property
    def cpu_s(self) -> float:
        """Processor seconds at both ends."""
        return self.encode_s + self.decode_s

    def is_dominated_by(self, other: CodingCost) -> bool:
        """Whether the other is no worse in anything, equal ones included."""
        return (
            other.encoded_bytes <= self.encoded_bytes
            and other.encode_s <= self.encode_s
            and other.decode_s <= self.decode_s
        )


@dataclass(frozen=True)
class BoardLoad:
    """One end of the link: the seconds its stage takes for a frame without this link's coding, and where coding runs."""

    compute_s: float
    # Of processor time per second; a quota of 20 % is 0.2.
    cores: float = 1.0
    # Whether coding finds a core that the stage's computing leaves free.
    has_spare_core: bool = True

    def step_s(self, coding_cpu_s: float) -> float:
        """Seconds a frame takes here: coding beside computing on a spare core of its own, else on the same cores."""
        if self.has_spare_core:
            return max(self.compute_s, coding_cpu_s / min(1.0, self.cores))
        return self.compute_s + coding_cpu_s / self.cores


@dataclass(frozen=True)
class LinkLoad:
    """A link and its two ends."""

    sender: BoardLoad
    receiver: BoardLoad
    link_s_per_byte: float
    # What the slowest step elsewhere takes anyway; 0 if that is not known.
    elsewhere_s: float = 0.0

    def slowest_s(self, cost: CodingCost, link_margin: float = 1.0) -> float:
        """Seconds of the slowest step with this coding, its time on the link taken `link_margin` times."""
        return max(
            self.elsewhere_s,
            self.sender.step_s(cost.encode_s),
            self.receiver.step_s(cost.decode_s),
            self.link_s_per_byte * cost.encoded_bytes * link_margin,
        )


@dataclass(frozen=True)
class JointCoding:
    """A setting per tensor, and what they cost together."""

    settings: tuple[CodecSetting, ...]
    cost: CodingCost


def joint_codings(options: Sequence[Mapping[CodecSetting, CodingCost]], load: LinkLoad) -> list[JointCoding]:
    """The combinations of one option per tensor that no other beats in bytes, encoding and decoding alike.

    Exact while at most 128 such combinations of the first tensors exist; beyond that the 128 with the fastest slowest step
    are kept.
    """
    joint = [JointCoding((), CodingCost(0.0))]
    for of_tensor in options:
        grown = [
            JointCoding((*coding.settings, setting), coding.cost + cost)
            for coding in joint
            for setting, cost in of_tensor.items()
        ]
        joint = sorted(_undominated(grown), key=lambda coding: load.slowest_s(coding.cost))[:_MOST_KEPT]
    return joint


def fastest(codings: Sequence[JointCoding], load: LinkLoad) -> JointCoding:
    """The coding with the fastest slowest step; among equals, that of the least processor time, then of the fewest bytes."""
    return min(codings, key=lambda c: (load.slowest_s(c.cost), c.cost.cpu_s, c.cost.encoded_bytes))


def lightest_within(
    codings: Sequence[JointCoding], load: LinkLoad, most_s: float, link_margin: float
) -> JointCoding | None:
    """The coding of the least processor time whose slowest step, with that margin on the link, takes at most `most_s`."""
    within = [c for c in codings if load.slowest_s(c.cost, link_margin) <= most_s]
    return min(within, key=lambda c: (c.cost.cpu_s, c.cost.encoded_bytes), default=None)


def _undominated(codings: list[JointCoding]) -> list[JointCoding]:
    kept: list[JointCoding] = []
    # In this order nothing is dominated by what comes later.
    for coding in sorted(codings, key=lambda c: (c.cost.encoded_bytes, c.cost.encode_s, c.cost.decode_s)):
        if not any(coding.cost.is_dominated_by(other.cost) for other in kept):
            kept.append(coding)
    return kept
