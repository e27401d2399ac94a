"""Renders a role's template as Ansible does, on this machine and with values that are given."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import jinja2


def render(template: Path, values: Mapping[str, object]) -> str:
    """The file's text, with its line end. Raises: jinja2.UndefinedError: a value is missing."""
    jinja = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        trim_blocks=True,  # without the line end after a statement
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    jinja.filters.update(basename=os.path.basename, to_json=json.dumps)
    return jinja.get_template(template.name).render({"ansible_managed": "as Ansible renders it", **values})
