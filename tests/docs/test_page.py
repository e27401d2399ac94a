"""What runs the documentation's pages finds what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import SkipTest

import pytest
import yaml

from tests.docs import page
from tests.docs.page import BlockError, parse

Run = Callable[[str], list[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a page's text in a directory of its own; the reasons of what was left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def all_of(text: str) -> list[str]:
        Path("page.md").write_text(text)
        left_out = []
        for example in parse(tmp_path / "page.md"):
            try:
                example.evaluate()
            except SkipTest as reason:
                left_out.append(str(reason))
        return left_out

    return all_of


def test_blocks_share_directory_variables_and_names(run: Run) -> None:
    run(
        '```bash\nmkdir below && cd below\nexport WORD="it\'s"\n```\n\n'
        '```bash\necho "$WORD $(basename $PWD)" > ../said\n```\n\n'
        '```python\nimport pathlib\nsaid = pathlib.Path("said").read_text()\n```\n\n'
        '```python\nassert said == "it\'s below\\n"\n```\n'
    )


@pytest.mark.parametrize(
    "block",
    [
        "bash\nfalse\necho goes on\n",
        "bash\nfalse | true\n",
        "bash\necho $NO_SUCH_VARIABLE\n",
        "console\n$ false\n",
        "console\n$ echo one\ntwo\n",
        "console\n$ echo one; echo two\none\n",
        "python\nassert False\n",
        "yaml\na: [1\n",
        'yaml title="boards.yaml"\na: [1\n',
    ],
)
def test_block_that_is_wrong_is_found(run: Run, block: str) -> None:
    with pytest.raises((AssertionError, yaml.YAMLError)):
        run(f"```{block}```\n")


def test_console_shows_what_is_said_where_it_is_shown(run: Run) -> None:
    run("```console\n$ echo one\n$ printf 'two %s\\n' \\\n  three 4\ntwo ...\n$ echo not shown\n```\n")


def test_titled_block_is_a_file_and_python_is_not_run_twice(run: Run) -> None:
    run('```python title="below/app.py"\nprint("ran")\n```\n\n```console\n$ python3 below/app.py\nran\n```\n')


def test_hidden_block_runs_and_a_block_may_be_left_out_with_a_reason(run: Run) -> None:
    left_out = run(
        "<!--- invisible-code-block: bash\ntouch made\n--->\n\n"
        '<!--- skip: next "takes a moon rocket" --->\n\n```bash\nfalse\n```\n\n```bash\n[ -e made ]\n```\n'
    )
    assert left_out == ["takes a moon rocket"]


def test_block_that_does_not_end_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "BLOCK_TIMEOUT_S", 0.3)
    with pytest.raises(BlockError, match="no end after"):
        run("```bash\nsleep 60\n```\n")


def test_what_goes_on_in_the_background_does_not_hold_the_page(run: Run) -> None:
    run("```bash\nsleep 5 &\nexport PID=$!\n```\n\n```bash\nkill $PID\n```\n")


def test_unknown_language_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="no such kind of block: 'sh'"):
        run("```sh\necho\n```\n")
