"""Inputs made of others by random edits, for where no coverage guides: hypothesis draws the edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

_Edit = Callable[[bytes, bytes], bytes]
_MOST_EDITS = 8
_ODD = (
    b"\0",
    b"\1",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\x7f",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\0" * 4,
    b"-1",
    b"9" * 20,
)


def mutated(inputs: Sequence[bytes], tokens: Sequence[bytes], max_bytes: int) -> st.SearchStrategy[bytes]:
    """Inputs with up to some edits each: bytes replaced, put in, cut out, doubled, and two inputs joined."""
    pieces = st.one_of(st.sampled_from([*_ODD, *tokens]), st.binary(min_size=1, max_size=8))
    # Places are shares of the input, which the edits before may have changed in length.
    edits = st.tuples(st.sampled_from(_EDITS), st.floats(0, 1), st.floats(0, 1), pieces, st.sampled_from(inputs))
    return st.builds(
        lambda start, chosen: _edited(start, chosen, max_bytes),
        st.sampled_from(inputs),
        st.lists(edits, max_size=_MOST_EDITS),
    )


def run_mutated(
    run: Callable[[bytes], None],
    inputs: Sequence[bytes],
    tokens: Sequence[bytes],
    max_bytes: int,
    count: int,
    number: int,
) -> None:
    """Runs `count` inputs, the same ones for the same `number`. Raises: what `run` raises, with the first such input."""

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(inputs, tokens, max_bytes))
    def all_inputs(data: bytes) -> None:
        run(data)

    all_inputs()


def _edited(data: bytes, edits: Sequence[tuple[str, float, float, bytes, bytes]], max_bytes: int) -> bytes:
    for kind, first, second, piece, other in edits:
        start, stop = sorted((int(first * len(data)), int(second * len(data))))
        if kind == "replace":
            data = data[:start] + piece + data[start + len(piece) :]
        elif kind == "insert":
            data = data[:start] + piece + data[start:]
        elif kind == "remove":
            data = data[:start] + data[stop:]
        elif kind == "double":
            data = data[:stop] + data[start:]
        else:
            data = data[:start] + other[int(second * len(other)) :]
        data = data[:max_bytes]
    return data


_EDITS = ("replace", "insert", "remove", "double", "join")
