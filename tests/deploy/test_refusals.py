"""Whoever is refused finds the message in the troubleshooting table, and the table has no others."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "deploy.md"
ROLES = [ROOT / "deploy" / "ansible" / "roles" / name for name in ("release", "node_service")]


def said() -> str:
    """All that these roles may refuse with, and what the map says of images."""
    return " ".join(
        path.read_text() for role in ROLES for part in ("tasks", "vars") for path in (role / part).glob("*.yml")
    )


def test_every_row_is_a_message_of_the_preflight() -> None:
    table = DOCUMENT.read_text().partition("## What the playbooks say when they refuse")[2]
    rows = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(rows) > 8
    messages = re.sub(r"\s+", " ", said())
    assert [row for row in rows if row not in messages] == []


def test_every_refusal_has_a_row() -> None:
    table = DOCUMENT.read_text()
    rows = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    for role in ROLES:
        for path in (role / "tasks").glob("*.yml"):
            for message in re.findall(r"fail_msg: (.+(?:\n {6,}.+)*)", path.read_text()):
                flat = re.sub(r"\s+", " ", message)
                known = (
                    any(row in flat for row in rows) or "refused[0].instead" in flat or "is not there any more" in flat
                )
                assert known, f"{path.name}: {flat}"
