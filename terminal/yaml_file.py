"""YAML files that people write: checked against a JSON schema, every error with its line and the fix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import jsonschema
import yaml

Place = Sequence["str | int"]
# A thousand boards with all they can have, and links between some of them. Checking as many takes half a second.
_MOST_NODES = 20_000
_MOST_CHARACTERS = 1000


@dataclass(frozen=True)
class YamlDocument:
    """A document that follows its schema; `error` makes an error that points at a place in it."""

    path: str
    content: Any
    error_type: type[Exception]
    _node: Any = field(repr=False)

    def line(self, place: Place) -> int:
        """The 1-based line of a place in the document, or of the nearest place above it that exists."""
        node = self._node
        for step in place:
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

    def error(self, place: Place, text: str) -> Exception:
        """An error of the document's kind: `boards.yaml:3: ...`."""
        return self.error_type(f"{self.path}:{self.line(place)}: {text}")


def read_yaml(path: str, package: str, schema_name: str, error_type: type[Exception], example: str) -> YamlDocument:
    """Reads a file and checks it.

    Args:
        package, schema_name: where the JSON schema lies; its descriptions say what to write instead.
        error_type: what is raised, with a text.
        example: what a missing file may hold.
    Raises: error_type: no such file, no YAML, or against the schema, all places at once.
    """
    try:
        with open(path, encoding="utf-8") as file:
            node = yaml.compose(file, Loader=yaml.SafeLoader)
            _require_bounded(node)
            file.seek(0)
            content = yaml.safe_load(file)
    except FileNotFoundError:
        indented = example.replace("\n", "\n  ")
        raise error_type(f"{path} does not exist. Write one:\n  {indented}") from None
    except Exception as error:  # PyYAML's constructors raise all kinds on what is no value of its tag
        raise error_type(f"{path} cannot be read as YAML: {error}") from error
    document = YamlDocument(path, content, error_type, node)
    twice = [f"{path}:{line}: {text}" for line, text in _repeated_keys(node)]
    if twice:
        raise error_type("\n".join(twice))
    schema = json.loads(files(package).joinpath(schema_name).read_text(encoding="utf-8"))
    problems = sorted(
        (document.line(list(error.absolute_path)), _explain(error))
        for error in jsonschema.Draft202012Validator(schema).iter_errors(content)
    )
    if problems:
        raise error_type("\n".join(f"{path}:{line}: {text}" for line, text in problems))
    return document


def _require_bounded(root: Any) -> None:
    """Raises YAMLError: more than a file of people has, once aliases are followed: a few lines of them can stand for billions."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = _MOST_NODES  # whoever meets it again meanwhile is inside it
            if isinstance(node, yaml.CollectionNode):
                parts = [p for entry in node.value for p in (entry if isinstance(entry, tuple) else (entry,))]
                sizes[id(node)] = 1 + sum(map(size, parts))
            else:
                sizes[id(node)] = 1
                if node is not None and len(node.value) > _MOST_CHARACTERS:
                    raise yaml.YAMLError(
                        f"a value has {len(node.value)} characters, expected {_MOST_CHARACTERS} at most."
                    )
        return sizes[id(node)]

    if size(root) > _MOST_NODES:
        raise yaml.YAMLError(f"with its aliases it has more than {_MOST_NODES} values. Write fewer, or shorter ones.")


def _repeated_keys(node: Any) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in one mapping, of which YAML readers keep the last: a dash was forgotten, or a line left over."""
    waiting, visited = [node], set()
    while waiting:
        node = waiting.pop(0)
        if id(node) in visited or not isinstance(node, yaml.CollectionNode):
            continue
        visited.add(id(node))  # an alias may come back to a node that holds it
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
            continue
        first_line: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            line = int(key.start_mark.line) + 1
            name = (key.tag, str(key.value))
            if name in first_line:
                yield (
                    line,
                    f"{key.value} stands in line {first_line[name]} already. Remove one, or begin a new entry with a dash.",
                )
            first_line.setdefault(name, line)
            waiting.append(value)


def _explain(error: jsonschema.ValidationError) -> str:
    where = "/".join(map(str, error.absolute_path)) or "the document"
    rule = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    return f"{where}: {error.message}. {rule}".rstrip()
