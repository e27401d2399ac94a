"""Explains in the user's words why TensorFlow's converter refused a model."""

from __future__ import annotations

import re

from converter.errors import ConversionFailedError, ConverterError, ModelError

# What TensorFlow's converter says about operators without a TFLite equivalent.
_REFUSED_OPS = re.compile(r"(?:Flex|Select|Custom) ops: ([^\n]+)")
_UNQUANTISABLE_OP = re.compile(r"Quantization (?:to 16x8-bit )?not yet supported for op: '(\w+)'")
_UNQUANTISABLE_TENSOR = re.compile(r"Empty min/max for tensor (\S+)")
_UNSIZED_LOOP = "Lowering tensor list ops is failed"
_ERROR = re.compile(r"(?<!\w)error: ([^\n]+)")
_TENSOR_TYPE = re.compile(r"<[^>]*>")


def explain_refusal(message: str, quantize: str) -> ConverterError:
    """Returns the error for what the converter said: its operators if it names any."""
    refused = sorted(
        {
            op.strip()
            for ops in _REFUSED_OPS.findall(message)
            for op in _TENSOR_TYPE.sub("", ops).split(",")
            if op.strip()
        }
    )
    if refused:
        return ModelError(
            f"the model uses operators that TFLite does not have: {', '.join(refused)}. Replace "
            "them by layers that convert, or move them out of the model."
        )
    unquantisable = sorted(set(_UNQUANTISABLE_OP.findall(message)))
    if unquantisable:
        return ModelError(
            f"TFLite has no {quantize} form of these operators: {', '.join(unquantisable)}. "
            "Quantise otherwise: dynamic, float16 or none."
        )
    integers = sorted(set(_UNQUANTISABLE_TENSOR.findall(message)))
    if integers:
        return ModelError(
            f"TFLite cannot quantise arithmetic on integers to {quantize}: {', '.join(integers)}. "
            "Quantise otherwise: int8, dynamic, float16 or none."
        )
    if _UNSIZED_LOOP in message:
        return ModelError(
            "the model has a loop (a recurrent layer) over tensors whose sizes are open in the "
            "SavedModel. Export it with a fixed batch size, or give the Keras file instead."
        )
    return ConversionFailedError(f"TensorFlow could not convert the model: {_essence(message)}")


def _essence(message: str) -> str:
    """Returns what follows "error:" where the converter says so, else the last line."""
    errors = dict.fromkeys(text.strip() for text in _ERROR.findall(message))
    return "; ".join(errors) or next(iter(message.strip().splitlines()[-1:]), "no reason given")
