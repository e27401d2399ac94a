"""Prepares recurrent layers for what the TFLite converter can do with loops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from converter.worker_request import CALIBRATED_MODES


def prepare_recurrent_layers(layers: Iterable[Any], quantize: str) -> None:
    """Unrolls recurrent layers where the converter cannot quantise their loop.

    Keras 3 recurrent layers and Keras 2 GRUs become a WHILE operator. Its calibration ends in a
    segmentation fault (TensorFlow 2.21), so int8 and int16x8 need the loop written out. A Keras 2
    LSTM becomes one fused operator, which exists in int8 but not in int16x8. A Keras 2 GRU's
    fused function also drops its layer's name, which its plain implementation keeps.
    """
    for layer in layers:
        fused = hasattr(layer, "_could_use_gpu_kernel")  # Keras 2 LSTM and GRU only
        is_lstm = type(layer).__name__ == "LSTM"
        if fused and not is_lstm:
            layer._could_use_gpu_kernel = False
        if not hasattr(layer, "unroll") or quantize not in CALIBRATED_MODES:
            continue
        if fused and is_lstm and quantize == "int8":
            continue
        layer.unroll = True
        if fused:
            layer._could_use_gpu_kernel = False
