"""Which further subgraphs an operator runs: the branches of IF, the body of WHILE, the target of CALL."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

# The ending of fields that hold a list of subgraphs: branchSubgraphIndices of STABLEHLO_CASE.
_SEVERAL = "SubgraphIndices"


def called_subgraphs(raw: Any) -> list[int]:
    """Indices of the subgraphs that this operator (schema `OperatorT`) runs itself."""
    return [index for options in _options(raw) for _, indices in _references(options) for index in indices]


def with_subgraphs(raw: Any, renumber: Callable[[int], int]) -> Any:
    """A copy of the operator whose references to subgraphs went through `renumber`; the original stays as it is."""
    raw = copy.copy(raw)
    for field in ("builtinOptions", "builtinOptions2"):
        options = copy.copy(getattr(raw, field))
        for name, indices in _references(options):
            renumbered = [renumber(index) for index in indices]
            setattr(options, name, renumbered if name.endswith(_SEVERAL) else renumbered[0])
        setattr(raw, field, options)
    return raw


def reachable_subgraphs(model: Any, raws: list[Any]) -> list[int]:
    """All subgraphs that these operators run, directly or through one another, each once, in order of discovery."""
    found: list[int] = []
    waiting = list(raws)
    while waiting:
        for index in called_subgraphs(waiting.pop(0)):
            if index not in found:
                found.append(index)
                waiting.extend(model.subgraphs[index].operators or [])
    return found


def _options(raw: Any) -> list[Any]:
    return [o for o in (raw.builtinOptions, raw.builtinOptions2) if o is not None]


def _references(options: Any) -> Iterator[tuple[str, list[int]]]:
    # By the schema's own naming, so that operators added later are covered: thenSubgraphIndex, condSubgraphIndex,
    # initSubgraphIndex, decompositionSubgraphIndex, ...; CallOptions alone says plain "subgraph".
    for name, value in vars(options).items() if options is not None else ():
        if name.endswith(_SEVERAL) and value is not None and len(value):
            yield name, [int(index) for index in value]
        elif (name.lower().endswith("subgraphindex") or name == "subgraph") and int(value) != 0:
            yield name, [int(value)]  # 0, the main graph, stands for "none"
