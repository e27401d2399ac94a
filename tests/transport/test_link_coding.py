"""One link's sender: what it encodes by, what it tells the chooser, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from protos.v1.data_plane_pb2 import Codec
from transport.codec_setting import RAW, CodecSetting
from transport.frame import EncodedTensor
from transport.link_coding import LinkCoding
from transport.message_stream.tcp_info import LinkUsage
from transport.tensor_codec import available_codecs, decode_tensor, encode_tensor, parse_settings
from transport.tensor_spec import Array

LZ4 = CodecSetting(Codec.LZ4)
TICK_S = 0.004
ALL = frozenset(available_codecs())


@dataclass
class Link:
    """A link that carries `bytes_per_s`, under a sender whose stage takes `stage_s` for a frame; it keeps the time of both."""

    bytes_per_s: float
    stage_s: float = 0.02
    keeps_totals: bool = True
    now_s: float = 0.0
    busy_s: float = 0.0
    acked_bytes: int = 0
    sent: list[tuple[Codec, ...]] = field(default_factory=list)

    def usage(self) -> LinkUsage | None:
        """As Linux has it: busy time in ticks of 4 ms."""
        return LinkUsage(self.acked_bytes, self.busy_s // TICK_S * TICK_S) if self.keeps_totals else None

    def carry(self, tensors: Sequence[EncodedTensor]) -> None:
        n_bytes = sum(len(t.data) for t in tensors)
        link_s = n_bytes / self.bytes_per_s
        self.busy_s += link_s
        self.acked_bytes += n_bytes
        self.now_s += max(link_s, self.stage_s)
        self.sent.append(tuple(t.header.codec for t in tensors))


def coding_over(link: Link, allowed: Sequence[CodecSetting], tensors: int = 1, **options: object) -> LinkCoding:
    ticks: Iterator[int] = iter(range(0, 10**12, 10_000))  # each look at the processor's clock finds 10 us gone
    return LinkCoding(
        allowed,
        [np.dtype(np.float32)] * tensors,
        options.pop("decodable", ALL),  # type: ignore[arg-type]
        cores=1.0,
        has_spare_core=False,
        usage=link.usage,
        clock=lambda: link.now_s,
        cpu_clock_ns=lambda: next(ticks),
    )


def activations(n: int = 50_000) -> Array:
    """Mostly zeros: lossless codecs halve it and more."""
    values = np.random.default_rng(1).normal(size=n).astype(np.float32)
    values[values < 1] = 0
    return values


def run(coding: LinkCoding, link: Link, frames: int, tensors: Sequence[Array | EncodedTensor]) -> None:
    for _ in range(frames):
        link.carry(coding.encode(tensors))
        coding.note_sent(link.stage_s)


@pytest.mark.parametrize(("allowed", "codec"), [([], Codec.RAW), ([RAW], Codec.RAW), ([LZ4], Codec.LZ4)])
def test_single_setting_is_always_used(allowed: list[CodecSetting], codec: Codec) -> None:
    link = Link(1e6)
    coding = coding_over(link, allowed)
    run(coding, link, 5, [activations()])
    assert set(link.sent) == {(codec,)}
    assert coding.is_raw == (codec == Codec.RAW)


@pytest.mark.parametrize("stage_s", [0.002, 0.0033, 0.005, 0.02, 0.1])
def test_raw_goes_over_a_fast_link_and_coded_over_a_slow_one(stage_s: float) -> None:
    for bytes_per_s, is_coded in ((1e9, False), (50_000 * 4 / stage_s / 5, True)):
        link = Link(bytes_per_s, stage_s)
        coding = coding_over(link, parse_settings("auto"))
        run(coding, link, 200, [activations()])
        assert (link.sent[-1] != (Codec.RAW,)) == is_coded
        assert "the link takes" in coding.reason


def test_tenfold_drop_settles_within_ten_frames_and_is_taken_back() -> None:
    link = Link(1e8)
    coding = coding_over(link, parse_settings("auto"))
    run(coding, link, 40, [activations()])
    assert link.sent[-1] == (Codec.RAW,)
    link.bytes_per_s = 5e6
    link.sent.clear()
    run(coding, link, 40, [activations()])
    assert len(set(link.sent[9:])) == 1
    assert link.sent[-1] != (Codec.RAW,)
    link.bytes_per_s = 1e8
    link.sent.clear()
    run(coding, link, 400, [activations()])
    assert link.sent[-1] == (Codec.RAW,)


def test_values_are_the_same_whatever_is_chosen() -> None:
    link = Link(2e6)
    coding = coding_over(link, parse_settings("auto"), tensors=2)
    arrays = [activations(), activations(3000)[::-1].copy()]
    for _ in range(40):
        tensors = coding.encode(arrays)
        assert all(decode_tensor(t).tobytes() == a.tobytes() for t, a in zip(tensors, arrays))
        link.carry(tensors)
        coding.note_sent(link.stage_s)
    assert any(codec != Codec.RAW for frame in link.sent for codec in frame)


def test_tensor_that_came_coded_leaves_as_it_came_and_one_that_came_raw_is_coded() -> None:
    link = Link(2e6)
    coding = coding_over(link, [LZ4], tensors=2)
    came = [encode_tensor(activations(), CodecSetting(Codec.SHUFFLE_LZ4)), encode_tensor(activations())]
    first, second = coding.encode(came)
    assert first is came[0]
    assert second.header.codec == Codec.LZ4
    assert decode_tensor(second).tobytes() == activations().tobytes()


@pytest.mark.parametrize("allowed", [[], parse_settings("auto")])
def test_tensor_that_the_receiver_cannot_decode_is_passed_on_raw(allowed: list[CodecSetting]) -> None:
    link = Link(2e6)
    coding = coding_over(link, allowed, decodable=frozenset({Codec.RAW}))
    (tensor,) = coding.encode([encode_tensor(activations(), CodecSetting(Codec.SHUFFLE_LZ4))])
    assert tensor.header.codec == Codec.RAW
    assert decode_tensor(tensor).tobytes() == activations().tobytes()


def test_well_coded_frames_still_show_that_the_link_falls_further() -> None:
    link = Link(2e6, stage_s=0.01)
    coding = coding_over(link, parse_settings("auto"))
    few = activations(8000)
    run(coding, link, 200, [few])
    coded = coding.reason
    link.bytes_per_s /= 10
    run(coding, link, 100, [few])
    assert coding.reason != coded


def test_nothing_is_used_that_the_receiver_cannot_decode() -> None:
    link = Link(1e6)
    coding = coding_over(link, parse_settings("auto"), decodable=frozenset({Codec.RAW, Codec.LZ4}))
    run(coding, link, 40, [activations()])
    assert {codec for frame in link.sent for codec in frame} <= {Codec.RAW, Codec.LZ4}


def test_raw_goes_where_the_system_keeps_no_totals() -> None:
    link = Link(1e5, keeps_totals=False)
    coding = coding_over(link, parse_settings("auto"))
    run(coding, link, 40, [activations()])
    assert set(link.sent) == {(Codec.RAW,)}
