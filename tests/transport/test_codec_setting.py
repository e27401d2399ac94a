"""Settings: written, read, and carried by a stream's opening."""

from __future__ import annotations

import math

import pytest

from protos.v1 import data_plane_pb2 as messages
from protos.v1.data_plane_pb2 import Codec
from transport.codec_setting import RAW, CodecSetting, with_tolerance
from transport.errors import CodecUnavailableError


def test_tolerance_is_read_from_text() -> None:
    assert with_tolerance("zfp:1e-3") == CodecSetting(Codec.ZFP_ACCURACY, 1e-3)


@pytest.mark.parametrize(
    "text", ["zfp:", "zfp:0", "zfp:-1", "zfp:nan", "zfp:inf", "zfp:x", "lz4:1e-3", ":1", "zfp:1:2"]
)
def test_text_is_refused_when_it_is_no_tolerance_of_zfp(text: str) -> None:
    with pytest.raises(CodecUnavailableError, match="only zfp takes a number"):
        with_tolerance(text)


@pytest.mark.parametrize("setting", [RAW, CodecSetting(Codec.QUANTIZED_4), CodecSetting(Codec.ZFP_ACCURACY, 0.25)])
def test_setting_comes_back_from_its_message(setting: CodecSetting) -> None:
    assert CodecSetting.from_message(setting.message()) == setting


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.inf, math.nan])
def test_message_is_refused_when_its_tolerance_cannot_be(tolerance: float) -> None:
    with pytest.raises(CodecUnavailableError, match="give a number above 0"):
        CodecSetting.from_message(messages.CodecSetting(codec=Codec.ZFP_ACCURACY, tolerance=tolerance))


def test_tolerance_means_nothing_to_other_codecs() -> None:
    assert CodecSetting.from_message(messages.CodecSetting(codec=Codec.LZ4, tolerance=1.0)) == CodecSetting(Codec.LZ4)
