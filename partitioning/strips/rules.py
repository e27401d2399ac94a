"""The tables of rules, one for each axis that boards can share; a kind that is not in a table ends a segment."""

from __future__ import annotations

from partitioning.strips.channel_rules import ByOutputChannel
from partitioning.strips.local_rules import AlongOtherAxes, Dense, Local, Tile, Transpose
from partitioning.strips.resampling_rules import DepthToSpace, Reshape, Resize, SpaceToDepth, TransposedConvolution
from partitioning.strips.rule import SharingRule
from partitioning.strips.site import Site
from partitioning.strips.spans import ROW_AXIS, SharedAxis
from partitioning.strips.window_rules import Convolution, Pad, Pooling

# Element by element, or along the last axis only.
_LOCAL = (
    "ABS ADD CAST CEIL COS DEQUANTIZE DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD GELU GREATER GREATER_EQUAL HARD_SWISH "
    "L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC "
    "LOG_SOFTMAX MAXIMUM MINIMUM MUL NEG NOT_EQUAL POW PRELU QUANTIZE RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT SELECT_V2 "
    "SIGN SIN SOFTMAX SQRT SQUARE SQUARED_DIFFERENCE SUB TANH ZEROS_LIKE"
).split()
# Along axes that an operand names, by its position.
_ALONG = {"ARG_MAX": 1, "ARG_MIN": 1, "MEAN": 1, "REDUCE_MAX": 1, "REDUCE_MIN": 1, "SPLIT": 0, "SPLIT_V": 2, "SUM": 1}

_BY_ROWS: dict[str, SharingRule] = {
    **dict.fromkeys(_LOCAL, Local()),
    **{kind: AlongOtherAxes(position) for kind, position in _ALONG.items()},
    "CONCATENATION": AlongOtherAxes(),
    "FULLY_CONNECTED": Dense(),
    "TILE": Tile(),
    "TRANSPOSE": Transpose(),
    "CONV_2D": Convolution(),
    "DEPTHWISE_CONV_2D": Convolution(),
    "TRANSPOSE_CONV": TransposedConvolution(),
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D"), Pooling()),
    **dict.fromkeys(("PAD", "PADV2"), Pad()),
    "RESIZE_NEAREST_NEIGHBOR": Resize(margin=0),
    "RESIZE_BILINEAR": Resize(margin=1),
    "DEPTH_TO_SPACE": DepthToSpace(),
    "SPACE_TO_DEPTH": SpaceToDepth(),
    "RESHAPE": Reshape(),
}
# Of what works along the last axis nothing is here.
_ACROSS_CHANNELS = ("L2_NORMALIZATION", "LOCAL_RESPONSE_NORMALIZATION", "LOG_SOFTMAX", "SOFTMAX")
_BY_CHANNELS: dict[str, SharingRule] = {
    **dict.fromkeys([kind for kind in _LOCAL if kind not in _ACROSS_CHANNELS], Local()),
    **dict.fromkeys(("CONV_2D", "FULLY_CONNECTED"), ByOutputChannel()),
}
_RULES = {SharedAxis.ROWS: _BY_ROWS, SharedAxis.CHANNELS: _BY_CHANNELS}


def rule_of(site: Site) -> SharingRule:
    """How an operator without an obstacle is shared."""
    return _RULES[site.axis][site.op.kind]


def obstacle_of(site: Site) -> str | None:
    """Why an operator ends a segment; None if boards can share its result along the axis, to the same bits."""
    rule = _RULES[site.axis].get(site.op.kind)
    if rule is None:
        return f"no rule says how boards could share its {site.axis.value}"
    given = [site.tensor(t) for t in (*site.op.inputs, *site.op.outputs)]
    if any(-1 in tensor.shape[ROW_AXIS:] for tensor in given):
        return "sizes are known only at run time"
    if any(tensor.is_variable or tensor.dtype is None for tensor in given):
        return "it keeps state or passes what cannot travel"
    if site.axis.of(len(site.result.usual_shape)) is None:
        return f"its result {site.result.usual_shape} has no {site.axis.value}"
    obstacle = rule.obstacle(site)
    if obstacle is None and set(rule.reads(site, site.whole(site.op.outputs[0]))) != site.computed:
        return "an operand that every board needs whole is computed"
    return obstacle
