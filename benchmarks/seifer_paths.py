"""Colour coding: finds a path of k different vertices in a graph, with high probability if there is one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Colours of a path are a set, a set is a bit: 64 of them in a word, so 6 colours; more colours choose the word.
_COLOURS_IN_WORD = 6
# For each of these colours, the sets (bits of a word) that lack it.
_LACKING = np.array(
    [sum(1 << s for s in range(64) if not s >> colour & 1) for colour in range(_COLOURS_IN_WORD)], np.uint64
)
_COLOURINGS_AT_ONCE = 2048


def find_path(
    generator: np.random.Generator, adjacent: Array, n_vertices: int, start: int | None = None, end: int | None = None
) -> list[int] | None:
    """A simple path of n_vertices vertices, or None if no colouring shows one.

    Vertices get n_vertices colours at random; a path whose colours all differ visits no vertex twice. 10 * e^n colourings
    are tried, as published, so a path that is there is missed with probability e^-10. (The authors take 1.3 n colours and
    demand the first n of them, which hits less often.)

    Args:
        adjacent: (n, n) bool, symmetric.
        start: the first vertex, if it is given.
        end: the last.
    Source: Alon, Yuster, Zwick 1995, section 3.
    """
    adjacent = _large_components_only(adjacent, n_vertices)
    if not adjacent.any() or any(v is not None and not adjacent[v].any() for v in (start, end)):
        return None
    left, at_once = int(10 * math.exp(n_vertices)), 16  # a dense graph shows a path at once
    while left > 0:
        colours = generator.integers(n_vertices, size=(min(left, at_once), len(adjacent)))
        layers = _colourful_ends(adjacent, colours, n_vertices, start)
        found = np.argwhere(_has_all_colours(layers[-1], n_vertices))
        found = found if end is None else found[found[:, 1] == end]
        if len(found):
            trial, vertex = (int(x) for x in found[0])
            return _trace(adjacent, colours[trial], [layer[trial] for layer in layers], vertex)
        left -= len(colours)
        at_once = _COLOURINGS_AT_ONCE
    return None


def _colourful_ends(adjacent: Array, colours: Array, n_vertices: int, start: int | None) -> list[Array]:
    """Per path length 1 .. n_vertices: (n_trials, n, n_words) the colour sets of paths that end at a vertex, as bits."""
    n_words = 1 << max(0, n_vertices - _COLOURS_IN_WORD)
    empty = np.zeros((*colours.shape, n_words), np.uint64)
    empty[:, :, 0] = 1  # the set without colours
    if start is not None:
        empty[:, np.arange(len(adjacent)) != start] = 0
    layers = [_with_colour(empty, colours)]
    senders, receivers = (x.ravel() for x in np.nonzero(adjacent.T)[::-1])
    # Edges come by receiver, so those of one receiver are a run that can be reduced.
    firsts = np.flatnonzero(np.diff(receivers, prepend=-1))
    for _ in range(n_vertices - 1):
        arrived = np.zeros_like(empty)
        arrived[:, receivers[firsts]] = np.bitwise_or.reduceat(layers[-1][:, senders], firsts, axis=1)
        layers.append(_with_colour(arrived, colours))
    return layers


def _with_colour(sets: Array, colours: Array) -> Array:
    """(n_trials, n, n_words) the sets that lack the vertex's colour, with it."""
    added = np.zeros_like(sets)
    for colour in range(_COLOURS_IN_WORD):
        trial, vertex = np.nonzero(colours == colour)
        added[trial, vertex] = (sets[trial, vertex] & _LACKING[colour]) << np.uint64(1 << colour)
    words = np.arange(sets.shape[2])
    for high in range(sets.shape[2].bit_length() - 1):
        trial, vertex = np.nonzero(colours == _COLOURS_IN_WORD + high)
        without = words[words >> high & 1 == 0]
        added[trial[:, None], vertex[:, None], without | 1 << high] = sets[trial[:, None], vertex[:, None], without]
    return added


def _has_all_colours(sets: Array, n_vertices: int) -> Array:
    bit = np.uint64(1) << np.uint64((1 << min(n_vertices, _COLOURS_IN_WORD)) - 1)
    has: Array = sets[..., -1] & bit != 0
    return has


def _trace(adjacent: Array, colours: Array, layers: list[Array], vertex: int) -> list[int]:
    """The path of one colouring, back from its last vertex."""
    path, missing = [vertex], (1 << len(layers)) - 1
    for layer in reversed(layers[:-1]):
        missing &= ~(1 << int(colours[vertex]))
        word, bit = missing >> _COLOURS_IN_WORD, missing & 63
        holds = layer[:, word] >> np.uint64(bit) & np.uint64(1) != 0
        vertex = int(np.flatnonzero(holds & adjacent[:, vertex])[0])
        path.append(vertex)
    return path[::-1]


def _large_components_only(adjacent: Array, n_vertices: int) -> Array:
    """The graph without the edges of components that are too small for the path: saves colourings, loses no path."""
    reached = adjacent | np.eye(len(adjacent), dtype=bool)
    for _ in range(len(adjacent).bit_length()):
        reached = reached @ reached
    large = reached.sum(axis=1) >= n_vertices
    kept: Array = adjacent & large[:, None]
    return kept
