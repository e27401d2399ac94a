"""Runs inputs through chains of boards and through a whole model here, and says what differs, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from dispatcher_client.answer_changes import largest_difference
from dispatcher_client.comparison.choices import Agreement, AgreementTally
from dispatcher_client.comparison.differences import DifferenceTally, TensorDifference
from dispatcher_client.comparison.pairs import TensorPair
from dispatcher_client.comparison.whole_model import WholeModel
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.errors import InputError
from dispatcher_client.values import named_answer
from transport.tensor_spec import Array, dequantize

Inputs = Callable[[], Iterable[Mapping[str, Array]]]


@dataclass(frozen=True)
class ComparedTensor:
    """One tensor of a chain against the whole model's.

    Attributes:
        largest_by_input: of an output: the largest difference of each input's values.
        agreement: of an output that tells classes apart.
    """

    pair: TensorPair
    difference: TensorDifference
    largest_by_input: tuple[float, ...] = ()
    agreement: Agreement | None = None

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        agreement = None if self.agreement is None else self.agreement.as_json()
        return {
            "name": self.pair.name,
            "is_output": self.pair.is_output,
            "shape": list(self.pair.spec.shape),
            **self.difference.as_json(),
            "agreement": agreement,
        }


@dataclass(frozen=True)
class ComparedChain:
    """What a chain with some codecs computes; tensors in the order in which they are computed, outputs last."""

    codec: str
    inputs: int
    tensors: tuple[ComparedTensor, ...]

    @property
    def outputs(self) -> list[ComparedTensor]:
        """Those that an application sees."""
        return [tensor for tensor in self.tensors if tensor.pair.is_output]

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {"codec": self.codec, "inputs": self.inputs, "tensors": [tensor.as_json() for tensor in self.tensors]}


class _Tally:
    """One tensor's differences; of outputs input by input, too."""

    def __init__(self, pair: TensorPair) -> None:
        self._pair = pair
        self._differences = DifferenceTally()
        self._choices = AgreementTally(pair.spec)
        self._largest: list[float] = []
        self._n_inputs = 0

    def note(self, exact: Array, found: Array) -> None:
        if exact.shape != found.shape:
            raise InputError(
                f"of input {self._n_inputs}, {self._pair.name} has shape {list(found.shape)} in the chain and {list(exact.shape)} "
                "in the whole model: their elements cannot be compared. Leave that input out."
            )
        self._n_inputs += 1
        self._differences.note(exact, found)
        if self._pair.is_output:
            self._largest.append(largest_difference(exact, found))
            self._choices.note(exact, found)

    def result(self) -> ComparedTensor:
        return ComparedTensor(self._pair, self._differences.result(), tuple(self._largest), self._choices.result())


def compare_chains(
    chains: Mapping[str, Dispatcher],
    whole: WholeModel,
    pairs: Sequence[TensorPair],
    inputs: Inputs,
    on_input: Callable[[], None] = lambda: None,
) -> list[ComparedChain]:
    """Streams the inputs through every chain at once, while the whole model computes them here.

    Args:
        chains: open ones, by what their codecs are called, that give all taps of the pairs.
        pairs: those with a counterpart.
        inputs: gives the same inputs anew whenever it is called, for one input at a time; at least one.
        on_input: hears of each that was compared.
    Raises: InputError: a tensor has different shapes in both. What `Dispatcher.stream` raises.
    """
    tallies = [[_Tally(pair) for pair in pairs] for _ in chains]
    count = 0
    with ExitStack() as ending:
        streams = [ending.enter_context(closing(chain.stream(inputs()))) for chain in chains.values()]
        for values, *answers in zip(inputs(), *streams):
            exact = whole.run(values)
            for chain, answer, tally in zip(chains.values(), answers, tallies):
                named = named_answer(chain.manifest, answer)
                for pair, one in zip(pairs, tally):
                    assert pair.tensor_index is not None, "only those with a counterpart are compared"
                    one.note(exact[pair.tensor_index], _real(pair, named[pair.name]))
            count += 1
            on_input()
    return [ComparedChain(codec, count, tuple(one.result() for one in tally)) for codec, tally in zip(chains, tallies)]


def _real(pair: TensorPair, array: Array) -> Array:
    """Of a chain that was given the integers of its quantised inputs, and so answers in integers."""
    return dequantize(pair.spec, array) if array.dtype.kind in "iu" else array
