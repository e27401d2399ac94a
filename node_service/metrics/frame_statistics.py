"""What frames took in each stage, and the bytes that left it by codec."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitoring.histograms import Histograms, Totals
from protos.v1.data_plane_pb2 import Codec, StageTiming


class StageKey(NamedTuple):
    """Whose frames."""

    deployment_id: str
    stage_index: int


class FrameFigures(NamedTuple):
    """One frame in a stage: times in nanoseconds, then what is only added up. `total_ns` is from its arrival until it left."""

    wait_ns: int
    decode_ns: int
    compute_ns: int
    pieces_wait_ns: int
    encode_ns: int
    send_ns: int
    total_ns: int
    invoke_cpu_ns: int
    received_bytes: int
    sent_bytes: int
    sent_raw_bytes: int
    pieces_sent_bytes: int
    pieces_received_bytes: int

    @classmethod
    def of(cls, timing: StageTiming, total_ns: int) -> FrameFigures:
        """Of a frame whose timing goes on to the dispatcher, too."""
        return cls(
            timing.wait_ns,
            timing.decode_ns,
            timing.compute_ns,
            timing.pieces_wait_ns,
            timing.encode_ns,
            timing.send_ns,
            total_ns,
            timing.invoke_cpu_ns,
            timing.received_bytes,
            timing.sent_bytes,
            timing.sent_raw_bytes,
            timing.pieces_sent_bytes,
            timing.pieces_received_bytes,
        )


class CodedBytes(NamedTuple):
    """Of a tensor that left: its codec, its bytes on the wire, and before they were coded."""

    codec: Codec
    sent_bytes: int
    raw_bytes: int


# Those of FrameFigures that have a histogram, by the name that they have there.
TIMES = ("wait", "decode", "compute", "pieces_wait", "encode", "send", "total")
_SUMS = FrameFigures._fields[len(TIMES) :]


class FrameStatistics:
    """Thread-safe."""

    def __init__(self) -> None:
        self._histograms: Histograms[StageKey] = Histograms(len(TIMES), len(_SUMS))
        self._lock = threading.Lock()
        self._coded: dict[tuple[StageKey, Codec], tuple[int, int]] = {}

    def note(self, key: StageKey, figures: FrameFigures, coded: Sequence[CodedBytes] = ()) -> None:
        """Takes a frame into account. Args: coded: its tensors, if not all of them left raw."""
        self._histograms.note(key, figures)
        if coded:
            with self._lock:
                for codec, sent_bytes, raw_bytes in coded:
                    sent, raw = self._coded.get((key, codec), (0, 0))
                    self._coded[key, codec] = sent + sent_bytes, raw + raw_bytes

    def stages(self) -> Mapping[StageKey, Totals]:
        """All frames so far, by stage."""
        return self._histograms.totals()

    def sent_bytes(self, key: StageKey, totals: Totals) -> Mapping[Codec, tuple[int, int]]:
        """(on the wire, before they were coded) by codec, of a stage whose frames add up to `totals`."""
        with self._lock:
            coded = {codec: both for (of, codec), both in self._coded.items() if of == key}
        # What no tensor of a coded frame has told left in frames that were raw altogether.
        rest = added_up(totals, "sent_bytes") - sum(sent for sent, _ in coded.values())
        sent, raw = coded.get(Codec.RAW, (0, 0))
        return {**coded, Codec.RAW: (sent + max(0, rest), raw + max(0, rest))}

    def forget(self, deployment_id: str) -> None:
        """Drops the stages of a deployment that is gone, or what is kept would grow with every version."""
        self._histograms.forget(lambda key: key.deployment_id == deployment_id)
        with self._lock:
            self._coded = {
                known: both for known, both in self._coded.items() if known[0].deployment_id != deployment_id
            }


def added_up(totals: Totals, field: str) -> int:
    """One of FrameFigures that have no histogram."""
    return int(totals.sums[_SUMS.index(field)])
