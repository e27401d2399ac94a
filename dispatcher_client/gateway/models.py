"""The models that a gateway serves, by name and version, and what it answers to a request, whatever protocol that came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dispatcher_client.async_dispatcher import AsyncDispatcher
from dispatcher_client.errors import OverloadedError
from dispatcher_client.gateway.errors import RequestError, UnknownModelError
from dispatcher_client.gateway.tensors import datatype_name, datatype_of
from dispatcher_client.values import arrays_in_order, named_answer, public_name
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array

SERVER_NAME = "boardline"
# Of every model: how an inference server says what runs it.
PLATFORM = "boardline_tflite"
_US_PER_S = 1e6


@dataclass(frozen=True)
class InferRequest:
    """What a client asks.

    Attributes:
        version: empty: the newest. outputs: names, in the order in which they are wanted; empty: all.
        timeout_s: None for the gateway's own limit; the `timeout` parameter and the call's deadline, whichever is shorter.
    """

    model: str
    version: str
    id: str
    inputs: Mapping[str, Array]
    outputs: Sequence[str] = ()
    timeout_s: float | None = None


@dataclass(frozen=True)
class InferAnswer:
    """What it gets: arrays by the names that it used, in the order that it wanted."""

    model: str
    version: str
    id: str
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class ServedModel:
    """One version of a model, and the chain that computes it."""

    version: str
    chain: AsyncDispatcher

    @property
    def name(self) -> str:
        """The model's name in its manifest."""
        return self.chain.manifest.model_name

    @property
    def is_ready(self) -> bool:
        """Whether its chain is open and the boards are there."""
        return self.chain.is_ready

    @property
    def inputs(self) -> list[TensorSpec]:
        """Of a single input, also of a bundle that was split for a batch."""
        return list(self.chain.single_inputs)

    @property
    def outputs(self) -> list[TensorSpec]:
        """Of a single input, too."""
        return list(self.chain.single_outputs)

    async def infer(self, request: InferRequest) -> InferAnswer:
        """Raises: RequestError: a datatype that the model does not take, or an output that it does not have. What
        `Dispatcher.infer` raises.
        """
        self._check_datatypes(request.inputs)
        wanted = self._wanted(request.outputs)
        answer = await self.chain.infer(request.inputs, request.timeout_s)
        named = named_answer(self.chain.manifest, answer)
        return InferAnswer(
            self.name, self.version, request.id, {name: named[public_name(spec)] for name, spec in wanted.items()}
        )

    def _check_datatypes(self, inputs: Mapping[str, Array]) -> None:
        """The dispatcher would quantise real numbers; a client of this protocol has read what the model takes."""
        for spec, array in zip(self.inputs, arrays_in_order(self.inputs, inputs)):
            if datatype_of(array) != datatype_name(spec.dtype):
                raise RequestError(
                    f"input {public_name(spec)!r} has datatype {datatype_of(array)}, expected {datatype_name(spec.dtype)}."
                )

    def _wanted(self, names: Sequence[str]) -> dict[str, TensorSpec]:
        if not names:
            return {public_name(spec): spec for spec in self.outputs}
        known = {name: spec for spec in self.outputs for name in (spec.name, public_name(spec))}
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise RequestError(
                f"the model has no output {', '.join(map(repr, unknown))}; it has {', '.join(map(public_name, self.outputs))}."
            )
        return {name: known[name] for name in names}


class Models:
    """All that a gateway serves."""

    def __init__(self, served: Iterable[ServedModel], max_in_flight: int) -> None:
        """Args: max_in_flight: most requests, of all models, that are being read or computed outside of streams."""
        self._by_name: dict[str, dict[str, ServedModel]] = {}
        for model in served:
            self._by_name.setdefault(model.name, {})[model.version] = model
        self._max_in_flight = max_in_flight
        self._n_in_flight = 0

    def __iter__(self) -> Iterator[ServedModel]:
        return (model for versions in self._by_name.values() for model in versions.values())

    @property
    def is_ready(self) -> bool:
        """Whether all are."""
        return all(model.is_ready for model in self)

    def find(self, name: str, version: str = "") -> ServedModel:
        """The model; without a version, the highest. Raises: UnknownModelError."""
        versions = self._by_name.get(name)
        if versions is None:
            raise UnknownModelError(f"there is no model {name!r}; there are {', '.join(sorted(self._by_name))}.")
        if not version:
            return versions[max(versions, key=int)]
        if version not in versions:
            raise UnknownModelError(
                f"model {name!r} has no version {version!r}; it has {', '.join(self.versions(name))}."
            )
        return versions[version]

    def versions(self, name: str) -> list[str]:
        """Those of a model that is served, the lowest first."""
        return sorted(self._by_name[name], key=int)

    async def infer(self, request: InferRequest) -> InferAnswer:
        """Raises: UnknownModelError; what `ServedModel.infer` raises."""
        return await self.find(request.model, request.version).infer(request)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """While a request is read and computed. Raises: OverloadedError: as many are as may be."""
        if self._n_in_flight >= self._max_in_flight:
            raise OverloadedError(
                f"{self._n_in_flight} requests are in flight, as many as may be. Ask again later, send them over one "
                "ModelStreamInfer stream, which waits for room, or start the gateway with a larger --max-in-flight."
            )
        self._n_in_flight += 1
        try:
            yield
        finally:
            self._n_in_flight -= 1

    def room_ahead(self) -> int:
        """How many requests of a stream may be outstanding or unread: as many as keep the busiest model's boards busy."""
        return max(model.chain.room_ahead() * model.chain.batch for model in self)


def shortest_timeout_s(timeout_us: int | None, left_s: float | None) -> float | None:
    """The limit of a request's own parameter and its call's deadline; None: neither. Raises: RequestError."""
    if timeout_us is not None and timeout_us <= 0:
        raise RequestError(f"the parameter timeout is {timeout_us}, expected some microseconds, or none.")
    limits_s = [s for s in (None if timeout_us is None else timeout_us / _US_PER_S, left_s) if s is not None]
    return min(limits_s, default=None)
