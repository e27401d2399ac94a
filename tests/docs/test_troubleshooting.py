"""Each message that docs/troubleshooting.md and docs/deploy.md explain is one that the code can say."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "bundle converter dispatcher_client fleet monitoring node_service partitioning planner runtime terminal transport"
).split()
_HOLE = "\0"  # what an f-string puts in


def messages() -> list[tuple[str, str]]:
    """(section, message) of the first column of each table that is headed so."""
    found, section, is_open = [], "", False
    for line in (ROOT / "docs" / "troubleshooting.md").read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        is_open = line.startswith("| message |") or (is_open and line.startswith("|"))
        if is_open and (quoted := re.match(r"\| `([^`]+)` \|", line)):
            found.append((section, quoted[1]))
    return found


@functools.cache
def literals() -> str:
    """All texts of the sources, a line each; adjoining ones are one, as Python joins them."""
    return "\n".join(
        text.replace("\n", " ")
        for package in SOURCES
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in _texts(ast.parse(path.read_text()))
    )


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else _HOLE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.replace("%s", _HOLE).replace("%d", _HOLE)


@pytest.mark.parametrize("message", [message for _, message in messages()])
def test_message_is_in_the_code(message: str) -> None:
    pattern = rf"[^\n]*{_HOLE}[^\n]*".join(re.escape(part) for part in message.split("..."))
    assert re.search(pattern, literals()), f"nothing says this: {message}"


def test_page_has_messages_of_every_kind() -> None:
    sections = {section for section, _ in messages()}
    assert {"Reaching boards", "Certificates", "Models", "Bundles and plans", "On the board", "Answers"} <= sections


def test_a_message_that_nothing_says_is_found() -> None:
    with pytest.raises(AssertionError, match="nothing says this"):
        test_message_is_in_the_code("the board is on fire, ... of them")


def refusals() -> list[str]:
    """Of the table of what playbooks say."""
    table = (ROOT / "docs" / "deploy.md").read_text().partition("playbooks say when they refuse")[2]
    return re.findall(r"^\| `([^`]+)` \| ", table, re.MULTILINE)


@pytest.mark.parametrize("message", refusals())
def test_playbooks_say_it(message: str) -> None:
    """Where a template puts in a version of Python, any will do."""
    said = " ".join(" ".join(p.read_text() for p in (ROOT / "deploy" / "ansible").rglob("*.yml")).split())
    pattern = re.sub(r"(Python\\ )3\\\.\d+(?=\\ (?:on|is))", r"\1.{0,80}?", re.escape(message))
    assert re.search(pattern, said), f"no playbook says this: {message}"
