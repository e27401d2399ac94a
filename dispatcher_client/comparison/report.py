"""A comparison for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dispatcher_client.comparison.compare import ComparedChain, ComparedTensor
from dispatcher_client.comparison.pairs import TensorPair
from dispatcher_client.placement import ChainPlacement
from terminal import print_table

_MOST_NAMED = 8
_NO_TAPS = (
    "the bundle has no taps, so only its outputs are compared. To see where a difference begins, split with --tap-boundaries "
    "or --taps: see docs/taps.md."
)


@dataclass(frozen=True)
class Comparison:
    """What was compared with what.

    Attributes:
        against: the whole model, as the user called it.
        inputs: what each input is called.
        skipped: taps and outputs without a counterpart.
    """

    model: str
    against: str
    inputs: Sequence[str]
    chains: Sequence[ComparedChain]
    skipped: Sequence[TensorPair]
    placements: Sequence[ChainPlacement]

    def boards_of(self, pair: TensorPair) -> str:
        """The boards whose stage computes it, `pi1`, or `pi1 + pi2` where they share it; several chains with a bar between them."""
        return " | ".join(_boards_of(placement, pair.spec.name) for placement in self.placements)

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "model": self.model,
            "against": self.against,
            "chains": [chain.as_json() for chain in self.chains],
            "boards": {tensor.pair.name: self.boards_of(tensor.pair) for tensor in self.chains[0].tensors},
            "inputs": list(self.inputs),
            "not_compared": {pair.name: pair.reason for pair in self.skipped},
        }


def short_name(pair: TensorPair) -> str:
    """Without the names of what was fused into it."""
    return pair.name.split(";")[0]


def show_comparison(found: Comparison) -> None:
    """Prints a table for each chain, and what it means for the answers."""
    for chain in found.chains:
        print_table(
            f"{found.model}, codec {chain.codec}, against {found.against}: {chain.inputs} inputs",
            ("tensor", "boards", "shape", "max |d|", "mean |d|", "RMSE", "SQNR dB", "cosine"),
            (_row(found, tensor) for tensor in chain.tensors),
            text_columns=3,
        )
        for tensor in chain.outputs:
            if tensor.agreement is not None:
                print(f"{tensor.pair.name}: {tensor.agreement}")
                _show_changed(tensor.agreement.changed, found.inputs)
    for pair in found.skipped:
        print(f"not compared: {pair.name}: {pair.reason}")
    if all(pair.is_output for pair in (*(t.pair for t in found.chains[0].tensors), *found.skipped)):
        print(_NO_TAPS)


def _row(found: Comparison, tensor: ComparedTensor) -> tuple[object, ...]:
    d, pair = tensor.difference, tensor.pair
    name = f"{short_name(pair)} (output)" if pair.is_output else short_name(pair)
    figures = ("0", "0", "0", "exact") if d.is_exact else (_g(d.largest), _g(d.mean), _g(d.rmse), f"{d.sqnr_db:.1f}")
    return (name, found.boards_of(pair), "x".join(map(str, pair.spec.shape)), *figures, f"{d.cosine:.6f}")


def _g(value: float) -> str:
    return f"{value:.3g}"


def _show_changed(changed: Sequence[int], names: Sequence[str]) -> None:
    if changed:
        more = f" and {len(changed) - _MOST_NAMED} more (--json has all)" if len(changed) > _MOST_NAMED else ""
        print(f"  another first choice for {', '.join(names[index] for index in changed[:_MOST_NAMED])}{more}")


def _boards_of(placement: ChainPlacement, tensor_name: str) -> str:
    """Of the first stage after which a frame holds it."""
    for leader, group in zip(placement.splitting.leaders, placement.groups):
        if any(spec.name == tensor_name for spec in leader.leaving):
            return " + ".join(stage.board.name for stage in group)
    return ""
