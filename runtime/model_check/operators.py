"""Which operators of a model are not the runtime's own."""

from __future__ import annotations

from runtime.model_check.layout import OPERATORS
from runtime.model_check.structure import Table

# Code from elsewhere, which the runtime or a library linked to it brings (Flex among it), and numbers that stand for no
# operator. All others compute on tensors: those with state (VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, HASHTABLE...) keep it in
# the interpreter, CALL_ONCE, IF and WHILE run graphs of the same file. None of them reads a file or opens a connection.
_NOT_OWN = frozenset({"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"})
OWN_OPERATORS = frozenset(OPERATORS.values()) - _NOT_OWN
_LONGEST_NAME = 64


def foreign_operators(model: Table) -> tuple[str, ...]:
    """Names of operators that are not the runtime's own, sorted: a custom one's own name, FlexErf for instance."""
    found = set()
    for code in model.tables("OperatorCodes"):
        number = max(code.number("BuiltinCode"), code.number("DeprecatedBuiltinCode"))
        name = OPERATORS.get(number, f"number {number}")
        if name not in OWN_OPERATORS:
            custom = code.text("CustomCode")[:_LONGEST_NAME]
            found.add(ascii(custom)[1:-1] if name == "CUSTOM" and custom else name)
    return tuple(sorted(found))
