"""Compares each chain's answer to the bundle's sample with the whole model's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from dispatcher_client.answer_changes import largest_difference
from dispatcher_client.codec_comparison import CodecEffect
from dispatcher_client.deployment import DeployedStage
from dispatcher_client.errors import BitIdentityError
from dispatcher_client.identity import BitPromise
from dispatcher_client.placement import ChainPlacement
from dispatcher_client.values import public_name
from protos.v1.manifest_pb2 import Manifest
from transport.tensor_spec import Array

_log = logging.getLogger(__name__)


def compare_samples(
    manifest: Manifest,
    expected: Mapping[str, Array],
    answers: Sequence[Mapping[str, Array]],
    stages: Sequence[DeployedStage],
    promise: BitPromise,
) -> None:
    """Logs a warning for each chain whose answer differs where no equal bits are promised.

    Args:
        expected: output tensors by name, the bundle's.
        answers: each chain's, without lossy codecs.
        stages: of all chains.
    Raises: BitIdentityError: an answer differs where equal bits are promised.
    """
    for index, answer in enumerate(answers):
        own = [s for s in stages if s.placement.chain_index == index]
        name = _chain_name(index, len(answers), " -> ".join(s.placement.board.name for s in own))
        _compare_sample(name, manifest, expected, answer, promise, [s.runtime.processor for s in own])


def log_effects(placements: Sequence[ChainPlacement], effects: Iterable[CodecEffect]) -> None:
    """Logs, as information, what lossy codecs change of the answers to the sample."""
    for effect in effects:
        name = _chain_name(effect.chain, len(placements), placements[effect.chain].route)
        _log.info("the answer of %s to the bundle's sample, %s", name, effect)


def _chain_name(index: int, n_chains: int, route: str) -> str:
    return "the chain" if n_chains == 1 else f"chain {index} ({route})"


def _compare_sample(
    chain_name: str,
    manifest: Manifest,
    expected: Mapping[str, Array],
    answer: Mapping[str, Array],
    promise: BitPromise,
    processors: Iterable[str],
) -> None:
    differing = {
        public_name(spec): largest_difference(answer[spec.name], expected[spec.name])
        for spec in [*manifest.outputs, *manifest.taps]
        if answer[spec.name].tobytes() != expected[spec.name].tobytes()
    }
    if not differing:
        return
    text = ", ".join(f"{name} by up to {difference:g}" for name, difference in differing.items())
    if promise.fleet_matches_bundle:
        involved = sorted({*processors, manifest.measured_on.processor})
        raise BitIdentityError(
            f"the answer of {chain_name} to the bundle's sample differs from the whole model's ({text}), although runtime and "
            f"architecture are the same; processors: {'; '.join(involved)}. Split the model again on one of these "
            "boards' kind, or open with check_sample=False."
        )
    _log.warning("the sample's answer from %s differs from the bundle's (%s); %s", chain_name, text, promise.text)
