"""YAML files that people write: checked against a JSON schema, every error with its line and the fix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import jsonschema
import yaml

Place = Sequence["str | int"]


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
            file.seek(0)
            content = yaml.safe_load(file)
    except FileNotFoundError:
        indented = example.replace("\n", "\n  ")
        raise error_type(f"{path} does not exist. Write one:\n  {indented}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise error_type(f"{path} cannot be read as YAML: {error}") from error
    document = YamlDocument(path, content, error_type, node)
    schema = json.loads(files(package).joinpath(schema_name).read_text(encoding="utf-8"))
    problems = [
        f"{path}:{document.line(list(error.absolute_path))}: {_explain(error)}"
        for error in jsonschema.Draft202012Validator(schema).iter_errors(content)
    ]
    if problems:
        raise error_type("\n".join(sorted(problems)))
    return document


def _explain(error: jsonschema.ValidationError) -> str:
    where = "/".join(map(str, error.absolute_path)) or "the document"
    rule = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    return f"{where}: {error.message}. {rule}".rstrip()
