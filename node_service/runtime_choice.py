"""Whether this board's runtime takes a model, with which delegate and with how many threads."""

from __future__ import annotations

from node_service.errors import BadRequestError, WrongVersionError
from runtime import TfliteRuntime

# More than any board's cores; each thread takes memory for its stack.
_MOST_THREADS = 256


def require_runtime(runtime: TfliteRuntime, floor: str) -> None:
    """Raises WrongVersionError unless the runtime is as new as the model asks for ("2.17.0", "" for unknown)."""
    if runtime.is_older_than(floor):
        raise WrongVersionError(
            f"the model needs TensorFlow Lite {floor} or newer, this board has {runtime.name} {runtime.version}. "
            "Update the runtime, or convert the model with --quantize int8 or none."
        )


def choose_delegate(runtime: TfliteRuntime, asked: str) -> TfliteRuntime:
    """The runtime with the delegate asked for by name ("none" for none), or the board's own for "". Raises: DelegateError."""
    return runtime.with_delegate(asked) if asked else runtime


def choose_threads(asked: int, board_threads: int) -> int:
    """The number asked for, or the board's own for 0. Raises: BadRequestError: more than any board has."""
    if asked > _MOST_THREADS:
        raise BadRequestError(
            f"{asked} threads were asked for, expected 0 (the board's own number) to {_MOST_THREADS}."
        )
    return asked or board_threads
