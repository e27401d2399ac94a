"""What a board or a client may be called, wherever it is named: in certificates, boards.yaml, announcements."""

from __future__ import annotations

import re

# boards.schema.json's, which a test compares.
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
NAME_RULE = "A name is 1 to 63 letters, digits, dots, dashes or underscores."


def is_name(text: str) -> bool:
    """Whether somebody may be called so."""
    # Python's $ would let a newline pass.
    return re.fullmatch(NAME_PATTERN.rstrip("$"), text) is not None
