"""`python -m runtime.model_check.generate_layout > runtime/model_check/layout_text.py`: the schema's layout as text.

Reads the accessors that flatc generated for LiteRT's wheel, by their source: each says its field's place and type. Boards
need neither LiteRT nor flatbuffers for what is made of it. A test compares it with what is in the tree.
"""

from __future__ import annotations

import inspect
import re
import sys
from types import ModuleType

_CLASS = re.compile(r"^class (\w+)\(object\):\n    __slots__ = \['_tab'\]\n(.*?)(?=^def |^class )", re.M | re.S)
_ACCESSOR = re.compile(
    r"^    def (\w+)\(self(?:, j)?\):\n        o = [^\n]*Offset\((\d+)\)\)\n(.*?)(?=^    # |\Z)", re.M | re.S
)
_DERIVED = re.compile(r"(AsNumpy|Length|IsNone)$")
_SCALAR = re.compile(r"number_types\.(\w+)Flags, ")
_TABLE = re.compile(r"obj = (\w+)\(\)")
_UNION = re.compile(r"^class (\w+)T\(object\):|self\.(\w+) = (\w+)Creator\(self\.", re.M)
_CREATOR = re.compile(r"^def (\w+)Creator\(unionType, table\):\n(.*?)(?=^\S)", re.M | re.S)
_MEMBER = re.compile(r"unionType == \w+\.(\w+):\n        return (\w+)T\.InitFromBuf")
# As struct has them.
_CODES = {
    "Bool": "?", "Int8": "b", "Uint8": "B", "Int16": "h", "Uint16": "H", "Int32": "i", "Uint32": "I", "Int64": "q", "Uint64": "Q",
    "Float32": "f", "Float64": "d",
}  # fmt: skip
_HEAD = '''"""The layout of TFLite's schema, made by generate_layout.py: do not edit.

A line of TABLES is a table and its fields, name=slot:type. A type is a number as struct has it, a string, a table's name, one in
brackets for a vector, or a union's name and a question mark; the slot before a union's says which member it is.
"""

# ruff: noqa: E501'''


def layout_text(schema: ModuleType) -> str:
    """The module's text."""
    source = inspect.getsource(schema)
    unions = _unions(source)
    tables = [_table(name, body, unions) for name, body in _CLASS.findall(source)]
    members = [
        " ".join([name, *(f"{getattr(getattr(schema, name), enum)}={table}" for enum, table in _MEMBER.findall(body))])
        for name, body in _CREATOR.findall(source)
    ]
    parts = [_HEAD, _block("TABLES", tables), _block("UNIONS", members)]
    parts += [
        _block(name, _enum(getattr(schema, of)))
        for name, of in (("OPERATORS", "BuiltinOperator"), ("TYPES", "TensorType"))
    ]
    return "\n".join(parts)


def _block(name: str, lines: list[str]) -> str:
    return "\n".join([f'{name} = """', *sorted(lines), '"""'])


def _enum(enum: type) -> list[str]:
    return [f"{value}={name}" for name, value in vars(enum).items() if not name.startswith("_")]


def _unions(source: str) -> dict[tuple[str, str], str]:
    """(table, field) -> union."""
    found, table = {}, ""
    for match in _UNION.finditer(source):
        if match[1]:
            table = match[1]
        else:
            found[table, match[2].lower()] = match[3]
    return found


def _table(name: str, body: str, unions: dict[tuple[str, str], str]) -> str:
    fields = []
    for accessor, slot, code in _ACCESSOR.findall(body):
        if not _DERIVED.search(accessor) or "_tab.Get(" in code:
            fields.append(f"{accessor}={slot}:{_kind(name, accessor, code, unions)}")
    return " ".join([name, *fields])


def _kind(table: str, accessor: str, code: str, unions: dict[tuple[str, str], str]) -> str:
    is_vector = "_tab.Vector(o)" in code
    if "_tab.Union(" in code:
        return f"{unions[table, accessor.lower()]}?"
    if "_tab.String(" in code:
        kind = "string"
    elif found := _TABLE.search(code):
        kind = found[1]
    else:
        numbers = [flag for flag in _SCALAR.findall(code) if flag in _CODES]
        kind = _CODES[numbers[0]]
    return f"[{kind}]" if is_vector else kind


if __name__ == "__main__":
    from ai_edge_litert import schema_py_generated

    sys.stdout.write(layout_text(schema_py_generated) + "\n")
