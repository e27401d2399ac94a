"""The boards an application may use: from boards.yaml, checked against its schema, or from a list of addresses."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Union

import jsonschema
import yaml

from dispatcher_client.errors import BoardsFileError
from transport.address import Address
from transport.errors import AddressError

_SCHEMA = json.loads(files(__package__).joinpath("boards.schema.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Board:
    """A machine that runs one node service. `name` is what errors and tables call it."""

    name: str
    address: Address


BoardsSource = Union[str, "os.PathLike[str]", Sequence[Union[str, Board]]]


def load_boards(source: BoardsSource) -> list[Board]:
    """Boards in the order given: from the path of a boards.yaml, or from a list of "host:port" and `Board`.

    A board may be named twice in a list, to hold several partitions.
    Raises: BoardsFileError: unreadable, or against the schema: the line, what is wrong and the fix. AddressError.
    """
    if isinstance(source, (str, os.PathLike)):
        return _read_file(os.fspath(source))
    return [b if isinstance(b, Board) else Board(b, Address.parse(b)) for b in source]


def _read_file(path: str) -> list[Board]:
    try:
        with open(path, encoding="utf-8") as file:
            node = yaml.compose(file, Loader=yaml.SafeLoader)
            file.seek(0)
            content = yaml.safe_load(file)
    except FileNotFoundError:
        raise BoardsFileError(
            f"{path} does not exist. Write one:\n  boards:\n    - name: pi1\n      address: 10.0.0.11:50051"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BoardsFileError(f"{path} cannot be read as YAML: {error}") from error
    problems = [
        f"{path}:{_line(node, error.absolute_path)}: {_explain(error)}"
        for error in jsonschema.Draft202012Validator(_SCHEMA).iter_errors(content)
    ]
    if problems:
        raise BoardsFileError("\n".join(sorted(problems)))
    _require_distinct_names(path, node, content["boards"])
    return [_board(path, node, index, entry) for index, entry in enumerate(content["boards"])]


def _require_distinct_names(path: str, node: Any, entries: Sequence[dict[str, Any]]) -> None:
    first_line: dict[str, int] = {}
    for index, entry in enumerate(entries):
        line = _line(node, ["boards", index, "name"])
        if entry["name"] in first_line:
            raise BoardsFileError(
                f"{path}:{line}: the name {entry['name']!r} is taken by the board on line {first_line[entry['name']]}. "
                "Give each board its own name."
            )
        first_line[entry["name"]] = line


def _board(path: str, node: Any, index: int, entry: dict[str, Any]) -> Board:
    try:
        return Board(entry["name"], Address.parse(entry["address"]))
    except AddressError as error:
        raise BoardsFileError(f"{path}:{_line(node, ['boards', index, 'address'])}: {error}") from error


def _line(node: Any, path: Sequence[Any]) -> int:
    """The 1-based line of a place in the document, or of the nearest place above it that exists."""
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next((value for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
        else:
            found = None
        if found is None:
            break
        node = found
    return int(node.start_mark.line) + 1 if node is not None else 1


def _explain(error: jsonschema.ValidationError) -> str:
    where = "/".join(map(str, error.absolute_path)) or "the document"
    rule = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    return f"{where}: {error.message}. {rule}".rstrip()
