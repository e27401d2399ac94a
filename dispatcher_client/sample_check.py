"""Compares a chain's answer to the bundle's sample with the whole model's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import numpy as np

from dispatcher_client.errors import BitIdentityError
from dispatcher_client.identity import BitPromise
from dispatcher_client.values import public_name
from protos.v1.manifest_pb2 import Manifest
from transport.tensor_spec import Array

_log = logging.getLogger(__name__)


def compare_sample(
    chain_name: str,
    manifest: Manifest,
    expected: Mapping[str, Array],
    answer: Mapping[str, Array],
    promise: BitPromise,
    processors: Iterable[str],
    *,
    is_lossless: bool = True,
) -> None:
    """Logs a warning if the answers differ where no equal bits are promised.

    Args:
        expected, answer: output tensors by name, the bundle's and the chain's.
        processors: those of the chain's boards, for the error.
        is_lossless: whether codecs that change answers are ruled out.
    Raises: BitIdentityError: the answers differ where equal bits are promised.
    """
    differing = {
        public_name(spec): _largest_difference(answer[spec.name], expected[spec.name])
        for spec in manifest.outputs
        if answer[spec.name].tobytes() != expected[spec.name].tobytes()
    }
    if not differing:
        return
    text = ", ".join(f"{name} by up to {difference:g}" for name, difference in differing.items())
    if not is_lossless:
        _log.warning("the codecs change the answer of %s to the bundle's sample: %s", chain_name, text)
        return
    if promise.fleet_matches_bundle:
        involved = sorted({*processors, manifest.measured_on.processor})
        raise BitIdentityError(
            f"the answer of {chain_name} to the bundle's sample differs from the whole model's ({text}), although runtime and "
            f"architecture are the same; processors: {'; '.join(involved)}. Split the model again on one of these "
            "boards' kind, or open with check_sample=False."
        )
    _log.warning("the sample's answer from %s differs from the bundle's (%s); %s", chain_name, text, promise.text)


def _largest_difference(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.max(np.abs(one.astype(np.float64) - other.astype(np.float64)), initial=0.0))
