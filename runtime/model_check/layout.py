"""What a TFLite file may hold: the schema's tables and fields, read from the text that was made of LiteRT's generated classes."""

from __future__ import annotations

import struct
from typing import NamedTuple

from runtime.model_check import layout_text


class Field(NamedTuple):
    """A field of a table.

    `slot` is its place in a table's vtable. `kind` is "number", "numbers", "string", "strings", "table", "tables" or "union";
    `target` says of what: a code of struct, a table's name or a union's.
    """

    name: str
    slot: int
    kind: str
    target: str
    size: int  # of a number, in bytes; 4, an offset's, of all else


_CODES = frozenset("?bBhHiIqQfd")


def _field(text: str) -> Field:
    name, _, rest = text.partition("=")
    slot, _, kind = rest.partition(":")
    target = kind.strip("[]?")
    several = "s" if kind.startswith("[") else ""
    if (target in _CODES and not kind.endswith("?")) or kind in ("?", "[?]"):
        code = target or "?"
        return Field(name, int(slot), f"number{several}", code, struct.calcsize(f"<{code}"))
    if kind.endswith("?"):
        return Field(name, int(slot), "union", target, 4)
    return Field(name, int(slot), f"{'string' if target == 'string' else 'table'}{several}", target, 4)


def _tables() -> dict[str, tuple[Field, ...]]:
    lines = [line.split() for line in layout_text.TABLES.split("\n") if line]
    return {name: tuple(map(_field, fields)) for name, *fields in lines}


def _unions() -> dict[str, dict[int, str]]:
    found = {}
    for name, *members in (line.split() for line in layout_text.UNIONS.split("\n") if line):
        found[name] = {int(number): table for number, _, table in (m.partition("=") for m in members)}
    return found


def _names(text: str) -> dict[int, str]:
    return {int(number): name for number, _, name in (line.partition("=") for line in text.split())}


TABLES = _tables()
UNIONS = _unions()
OPERATORS = _names(layout_text.OPERATORS)
TYPES = _names(layout_text.TYPES)
