"""What may be promised of a chain's bits, given what its boards and the bundle's machine run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from protos.v1.manifest_pb2 import RuntimeIdentity
from runtime.identity import same_bits_promised

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BitPromise:
    """Whether equal bits are promised among the boards, and between them and the machine that made the bundle."""

    fleet_is_uniform: bool
    fleet_matches_bundle: bool
    text: str


class RuntimeComparison:
    """Says in the log, once of each board, that it may compute other bits than those that serve. One thread at a time."""

    def __init__(self) -> None:
        self.serving: RuntimeIdentity | None = None  # what the boards that serve run, once they have said it
        self._unlike: set[str] = set()

    def compare(self, name: str, identity: RuntimeIdentity) -> None:
        """Hears what a board runs that may take part later."""
        if self.serving is None or same_bits_promised(self.serving, identity) or name in self._unlike:
            return
        self._unlike.add(name)
        _log.warning(
            "board %s runs %s, those that serve %s: where it takes part, identical bits are not promised",
            name,
            _words(identity),
            _words(self.serving),
        )


def judge_fleet(made_on: RuntimeIdentity, boards: Sequence[tuple[str, RuntimeIdentity]]) -> BitPromise:
    """The promise for boards (name, identity) serving a bundle made on `made_on`."""
    uniform = all(same_bits_promised(boards[0][1], identity) for _, identity in boards)
    matches = uniform and same_bits_promised(made_on, boards[0][1])
    if matches:
        text = f"bit-identical to the whole model: {_words(made_on)} everywhere"
    elif uniform:
        text = (
            f"bit-identical to the whole model run on one of these boards ({_words(boards[0][1])}); "
            f"not promised against the bundle's machine ({_words(made_on)})"
        )
    elif any(identity.delegate for _, identity in boards):
        named = ", ".join(f"{name}: {_words(identity)}" for name, identity in boards)
        text = f"no identical bits promised, delegates compute in their own way ({named}); see what the sample's answer differs by"
    else:
        named = ", ".join(f"{name}: {_words(identity)}" for name, identity in boards)
        text = f"no identical bits promised, the boards differ ({named}); expect differences of rounding"
    return BitPromise(uniform, matches, text)


def _words(identity: RuntimeIdentity) -> str:
    delegate = f" with the delegate {identity.delegate}" if identity.delegate else ""
    return f"{identity.runtime} {identity.version} on {identity.architecture}{delegate}"
