"""What one link carries and what a frame takes, estimated from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

# With a share of 0.4 three frames carry four fifths of the estimate: a fall of the rate shows at once, and a fifth of noise
# is halved.
_NEW_SHARE = 0.4
# A link that is busy for so much of the time is what limits the chain: frames wait for it.
_LIMITING_SHARE = 0.85
# The slowest step is elsewhere only where a frame takes longer than both ends of this link by more than their noise.
_ELSEWHERE = 1.15


@dataclass(frozen=True)
class FrameReport:
    """One frame as its sender measured it; per-tensor figures are in the tensors' order."""

    raw_bytes: tuple[int, ...]
    # As they were sent.
    encoded_bytes: tuple[int, ...]
    # Processor seconds.
    encode_s: tuple[float, ...]
    # Seconds that the stage takes for a frame, without this link's encoding.
    compute_s: float
    # From the frame before this one to this one, sent.
    interval_s: float
    # For how much of that the link had bytes on their way. What the receiver's own slowness keeps waiting does not count.
    busy_s: float
    # What the link was seen to carry; None if it was not the limit, or was not measured.
    link_bytes_per_s: float | None = None


class LinkEstimate:
    """Running estimates; every one is None or 0 until it is known."""

    def __init__(self) -> None:
        self.s_per_byte: float | None = None
        self.compute_s = 0.0
        self.interval_s = 0.0
        self.is_limiting = False
        self._elsewhere_s = 0.0

    def note(self, report: FrameReport, ends_s: float) -> None:
        """Adds a frame; `ends_s` is what the slower end of the link takes for it."""
        has_begun = self.interval_s > 0
        self.compute_s = _mixed(self.compute_s, report.compute_s) if has_begun else report.compute_s
        self.interval_s = _mixed(self.interval_s, report.interval_s) if has_begun else report.interval_s
        measured = report.link_bytes_per_s
        self.is_limiting = measured is not None and report.busy_s > _LIMITING_SHARE * report.interval_s
        if measured is not None:
            self.s_per_byte = 1 / measured if self.s_per_byte is None else _mixed(self.s_per_byte, 1 / measured)
        elif self.s_per_byte is not None:
            # It carried this frame and was not the limit: it is at least so fast.
            self.s_per_byte = min(self.s_per_byte, report.interval_s / max(1, sum(report.encoded_bytes)))
        if not self.is_limiting:
            self._elsewhere_s = self.interval_s if self.interval_s > _ELSEWHERE * ends_s else 0.0

    @property
    def elsewhere_s(self) -> float:
        """What a frame takes when this link is not the limit, where neither of its ends is the reason."""
        return min(self._elsewhere_s, self.interval_s)


def _mixed(known: float, new: float) -> float:
    return known + _NEW_SHARE * (new - known)
