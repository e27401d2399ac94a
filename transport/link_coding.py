"""Codes the tensors that leave over one link, by one codec or by those that the link's measurements choose."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from transport.codec_choice import CodecChooser
from transport.codec_setting import RAW, CodecSetting
from transport.coding_costs import BoardLoad, CodingCost
from transport.coding_trials import Trial
from transport.frame import EncodedTensor
from transport.link_estimate import FrameReport
from transport.message_stream.tcp_info import LinkUsage
from transport.tensor_codec import decode_tensor, encode_tensor
from transport.tensor_spec import Array

# The system counts a connection's busy time in ticks of 1 to 10 ms: over this time a few of them are an error of some per cent.
_LOOK_EVERY_S, _LOOK_AT_LAST_S = 0.05, 1.0
# What they hold may be coded by LZ4 as well, which their header does not say.
_WITH_LZ4 = frozenset({Codec.QUANTIZED_8, Codec.QUANTIZED_4})
# Figures of a link are those of at least so many bytes: below it a round trip is most of the time.
_LEAST_BYTES = 2**14
_NS_PER_S = 1e9


@dataclass
class _Sent:
    raw_bytes: tuple[int, ...]
    encoded_bytes: tuple[int, ...]
    encode_s: tuple[float, ...]


class LinkCoding:
    """The sender's end of one link. One thread at a time.

    For each frame: `encode`, send, `note_sent`.
    """

    def __init__(
        self,
        allowed: Sequence[CodecSetting],
        dtypes: Sequence[np.dtype[Any]],
        decodable: Set[Codec],
        *,
        cores: float,
        has_spare_core: bool,
        usage: Callable[[], LinkUsage | None],
        receiver: BoardLoad | None = None,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        """Args:
        allowed: one: always that. Several: one of them, chosen by measurement. None: raw.
        dtypes: of the tensors of a frame, in order.
        decodable: what the receiver can decode.
        cores: processor seconds per second that this machine has.
        has_spare_core: whether encoding finds a core that computing leaves free.
        receiver: the next machine; None: like this one.
        usage: totals of the connection, None where the system does not keep them: then raw goes, or what is allowed first.
        """
        self._allowed = list(allowed) or [RAW]
        board = BoardLoad(0.0, cores, has_spare_core)
        self._chooser = CodecChooser(self._allowed, dtypes, decodable, board, receiver)
        self._decodable = frozenset(decodable)
        self._usage = usage
        self._has_own_thread = has_spare_core and self._allowed != [RAW]
        self._clock = clock
        self._cpu_clock_ns = cpu_clock_ns
        self._is_raw = self._allowed == [RAW]
        self._last_usage: LinkUsage | None = None
        self._last_s: float | None = None
        self._frames_since = 0
        self._sent: _Sent | None = None
        self._leaving: Sequence[Union[Array, EncodedTensor]] = ()

    @property
    def has_own_thread(self) -> bool:
        """Whether coding and sending should not hold up computing."""
        return self._has_own_thread

    @property
    def is_raw(self) -> bool:
        """Whether tensors never are anything but raw: coding them costs nothing."""
        return self._is_raw

    @property
    def reason(self) -> str:
        """What is chosen, and why, for people."""
        return self._chooser.reason

    def encode(self, leaving: Sequence[Union[Array, EncodedTensor]]) -> list[EncodedTensor]:
        """The tensors as they travel, in order. Those that came coded leave as they came, if the receiver can decode that.

        Raises: TensorError: a dtype that cannot travel. FrameError: a tensor came coded in a way that the receiver does not know,
            and is damaged.
        """
        if self._is_raw:
            return [encode_tensor(t) if isinstance(t, np.ndarray) else self._decodable_form(t) for t in leaving]
        tensors: list[EncodedTensor] = []
        raw_bytes, encode_s = [], []
        for tensor, setting in zip(leaving, self._chooser.choice):
            array = _array(tensor)
            begun_ns = self._cpu_clock_ns()
            if array is None:
                assert isinstance(tensor, EncodedTensor), "what is no array came coded"
                tensors.append(self._decodable_form(tensor))
            else:
                tensors.append(encode_tensor(array, setting, self._decodable))
            encode_s.append((self._cpu_clock_ns() - begun_ns) / _NS_PER_S)
            raw_bytes.append(len(tensors[-1].data) if array is None else array.nbytes)
        self._sent = _Sent(tuple(raw_bytes), tuple(len(t.data) for t in tensors), tuple(encode_s))
        self._leaving = leaving
        return tensors

    def note_sent(self, compute_s: float) -> None:
        """The frame that was encoded last is sent; now is the time to try other codings of it.

        Args:
            compute_s: seconds that a frame takes here without this link's coding.
        """
        if self._sent is None or self._is_raw:
            return
        self._try_one(self._leaving)
        self._leaving = ()
        self._frames_since += 1
        now_s = self._clock()
        if self._last_s is None:
            self._last_s, self._last_usage, self._frames_since = now_s, self._usage(), 0
            return
        elapsed_s = now_s - self._last_s
        if elapsed_s < _LOOK_EVERY_S:
            return
        usage, last = self._usage(), self._last_usage
        has_carried = usage is None or last is None or usage.acked_bytes - last.acked_bytes >= _LEAST_BYTES
        if not has_carried and elapsed_s < _LOOK_AT_LAST_S:
            return
        self._chooser.note_frame(self._report(self._sent, compute_s, elapsed_s, usage))
        self._last_s, self._last_usage, self._frames_since = now_s, usage, 0

    def _decodable_form(self, tensor: EncodedTensor) -> EncodedTensor:
        """A tensor that came coded, as it came or, if the receiver cannot decode that, raw."""
        codec = tensor.header.codec
        if codec == Codec.RAW or (
            codec in self._decodable and (codec not in _WITH_LZ4 or Codec.LZ4 in self._decodable)
        ):
            return tensor
        return encode_tensor(decode_tensor(tensor))

    def _report(self, sent: _Sent, compute_s: float, elapsed_s: float, usage: LinkUsage | None) -> FrameReport:
        busy_s, bytes_per_s = 0.0, None
        if usage is not None and self._last_usage is not None:
            busy_s = usage.busy_s - self._last_usage.busy_s
            n_bytes = usage.acked_bytes - self._last_usage.acked_bytes
            if busy_s > 0 and n_bytes >= _LEAST_BYTES:
                bytes_per_s = n_bytes / busy_s
        return FrameReport(
            sent.raw_bytes,
            sent.encoded_bytes,
            sent.encode_s,
            compute_s=compute_s,
            interval_s=elapsed_s / self._frames_since,
            busy_s=busy_s / self._frames_since,
            link_bytes_per_s=bytes_per_s,
        )

    def _try_one(self, leaving: Sequence[Union[Array, EncodedTensor]]) -> None:
        """Encodes one tensor in another way and decodes it again, for the figures only."""
        trial: Trial | None = self._chooser.next_trial()
        if trial is None:
            return
        array = _array(leaving[trial.tensor_index])
        if array is None:
            coded = leaving[trial.tensor_index]
            self._chooser.note_trial(trial, CodingCost(len(coded.data)))
            return
        begun_ns = self._cpu_clock_ns()
        encoded = encode_tensor(array, trial.setting, self._decodable)
        encoded_ns = self._cpu_clock_ns()
        decode_tensor(encoded)
        decoded_ns = self._cpu_clock_ns()
        self._chooser.note_trial(
            trial,
            CodingCost(len(encoded.data), (encoded_ns - begun_ns) / _NS_PER_S, (decoded_ns - encoded_ns) / _NS_PER_S),
        )


def _array(tensor: Union[Array, EncodedTensor]) -> Array | None:
    """The values, if they can be had for nothing."""
    if isinstance(tensor, EncodedTensor):
        return decode_tensor(tensor) if tensor.header.codec == Codec.RAW else None
    return tensor
