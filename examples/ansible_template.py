"""Renders a role's template as Ansible does, on this machine and with values that are given."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import jinja2
import yaml


def render(template: Path, values: Mapping[str, object]) -> str:
    """The file's text, with its line end. Raises: jinja2.UndefinedError: a value is missing."""
    jinja = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        trim_blocks=True,  # without the line end after a statement
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    jinja.filters.update(basename=os.path.basename, combine=_combine, to_json=json.dumps, to_nice_yaml=_to_nice_yaml)
    return jinja.get_template(template.name).render({"ansible_managed": "as Ansible renders it", **values})


def _combine(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, object]:
    return {**one, **other}


def _to_nice_yaml(content: object, indent: int = 4, sort_keys: bool = True) -> str:
    return yaml.safe_dump(content, indent=indent, sort_keys=sort_keys, default_flow_style=False)
