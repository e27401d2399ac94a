"""What of a page is run, and how: its fenced blocks in order, in one directory.

- `bash` runs; directory and exported variables last to the page's end, as in a terminal.
- `console` runs what follows `$ `, and compares the output that is shown; `...` stands for anything.
- `python` runs, all of a page in one namespace.
- Any block with `title="FILE"` is written there first; `python` is then for a later command to run.
- `<!--- invisible-code-block: bash` sets up what readers have anyway, `<!--- skip: next "why" --->` leaves a block out.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, Optional

import yaml
from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, RawFencedCodeBlockLexer

BLOCK_TIMEOUT_S = 150.0
RUN = ("bash", "console", "python", "yaml")
SHOWN = ("text",)

_FENCE = re.compile(r'(?P<language>\w*)(?: *title="(?P<title>[^"]+)")?[^\n]*\n')
_HIDDEN = DirectiveInHTMLCommentLexer(
    "invisible-code-block", "bash|python", {"arguments": "language", "source": "source"}
)
_STATE = ".state"
# As `set -euo pipefail` in a script; what is exported and where it ended is kept for the next block.
_FRAME = """set -euo pipefail
[ ! -e {state} ] || . {state}
trap '{{ export -p; printf "cd %q\\n" "$PWD"; }} > {state}' EXIT
{source}"""
_AS_SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class BlockError(AssertionError):
    """A block of a page failed; the message has its output."""


def parse(path: Path) -> Document:
    """A page with its blocks. Raises: ValueError: two overlap, or a block's language is none of those above."""
    return Document.parse(str(path), _blocks, SkipParser())


def _blocks(document: Document) -> list[Region]:
    found = []
    for region in (*RawFencedCodeBlockLexer(_FENCE)(document), *_HIDDEN(document)):
        language, title = region.lexemes["language"], region.lexemes.get("title")
        if language not in (*RUN, *SHOWN):
            raise ValueError(
                f"{document.path}, {document.line_column(region.start)}: no such kind of block: {language!r}"
            )
        region.parsed = region.lexemes["source"]
        if title:
            region.evaluator = _writer(title)
        elif language in RUN:
            region.evaluator = _RUNNERS[language]
        else:
            continue
        found.append(region)
    return found


def _writer(title: str) -> Callable[[Example], None]:
    def write(example: Example) -> None:
        Path(title).parent.mkdir(parents=True, exist_ok=True)
        Path(title).write_text(example.parsed)
        if title.endswith((".yml", ".yaml")):
            _check_yaml(example)

    return write


def _check_yaml(example: Example) -> None:
    yaml.safe_load(example.parsed)


def _run_bash(example: Example) -> None:
    _bash(example.parsed)


def _run_console(example: Example) -> None:
    for command, shown in _commands(example.parsed):
        output = _bash(command)
        if shown and not doctest.OutputChecker().check_output(shown, output, _AS_SHOWN):
            raise BlockError(f"$ {command}shown:\n{shown}\nbut it says:\n{output}")


def _commands(source: str) -> list[tuple[str, str]]:
    """Each command of a console with the output that is shown below it."""
    _, *parts = re.split(r"^\$ ", source, flags=re.MULTILINE)
    found = []
    for part in parts:
        command, rest = part.split("\n", 1) if "\n" in part else (part, "")
        while command.endswith("\\") or command.count("'") % 2:
            line, _, rest = rest.partition("\n")
            command += "\n" + line
        found.append((command + "\n", rest))
    return found


def _bash(source: str) -> str:
    """Its standard output and errors, in one. Raises: BlockError: it fails or takes too long."""
    script = _FRAME.format(state=Path(os.environ["HOME"], _STATE), source=source)
    with tempfile.TemporaryFile("w+") as output:  # no pipe: what goes on in the background would hold it
        try:
            done = subprocess.run(
                ["bash", "-c", script], stdout=output, stderr=subprocess.STDOUT, timeout=BLOCK_TIMEOUT_S, check=False
            )
            how = f"exit status {done.returncode}"
        except subprocess.TimeoutExpired:
            how = f"no end after {BLOCK_TIMEOUT_S:.0f} s"
        output.seek(0)
        said = output.read()
    if how != "exit status 0":
        raise BlockError(f"{source}{said}\n{how}")
    return said


_RUNNERS: dict[str, Callable[[Example], Optional[str]]] = {
    "bash": _run_bash,
    "console": _run_console,
    "python": PythonEvaluator(),
    "yaml": _check_yaml,
}
