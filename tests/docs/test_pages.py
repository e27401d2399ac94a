"""Every command and every snippet of the documentation does what the page says, here and now."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.page import SHOWN, parse
from tests.docs.stage import boards_yaml, inventory_yml

ROOT = Path(__file__).parents[2]
DEPLOY_TOOLS = ROOT / ".cache" / "deploy-tools" / "bin"
PAGE_TIMEOUT_S = 480  # of planning.md, which measures on four boards again and again, on a busy machine
# Made from code (their commands are the programs' own --help), or records of what was decided and measured.
NOT_INSTRUCTIONS = ("adr/", "commands/", "reference/", "performance.md")
MOST_LEFT_OUT = 12  # blocks of all pages that this machine cannot run

_COMMANDS = {
    # What takes real boards is read and checked as a whole by the real ansible, but not done.
    "ansible-playbook": f'exec {DEPLOY_TOOLS}/ansible-playbook --syntax-check "$@"',
    # Its targets have tests of their own; that they exist, with what they need, is what make says here.
    "make": f'exec $(type -P -a make | sed -n 2p) --directory={ROOT} --dry-run "$@" > /dev/null',
    # Measuring on boards is brief: here they share two cores, and figures mean nothing anyway.
    "python": f"""brief=()
case " $* " in *" profile "*|*" plan "*|*" split "*" --boards "*) brief=(--budget-s 0.05 --confidence 0.5);; esac
exec {sys.executable} "$@" "${{brief[@]}}\"""",
    "stage": f'exec {sys.executable} -m tests.docs.stage "$@"',
}


def pages() -> list[Path]:
    """All that tell people what to do."""
    below = sorted((ROOT / "docs").rglob("*.md"))
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *(p for p in below if not str(p.relative_to(ROOT / "docs")).startswith(NOT_INSTRUCTIONS)),
    ]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to copy: what a page begins with."""
    made = tmp_path_factory.mktemp("docs") / "home"
    made.mkdir()
    split = ("converter", "split", f"{made}/digits.keras", "--parts", "3", "--out", f"{made}/prepared/parts")
    for command in (("tests.docs.prepare", str(made)), split):
        subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            timeout=PAGE_TIMEOUT_S,
            check=True,
        )
    (whole,) = (made / "prepared" / "parts" / "whole").glob("*.tflite")
    shutil.copy(whole, made / "model.tflite")
    shutil.copytree(ROOT / "deploy" / "ansible", made / "deploy" / "ansible")
    (made / "deploy" / "ansible" / "inventory.yml").write_text(inventory_yml())
    (made / "boards.yaml").write_text(boards_yaml())
    (made / ".bin").mkdir()
    for name, script in _COMMANDS.items():
        (made / ".bin" / name).write_text(f"#!/bin/bash\n{script}\n")
        (made / ".bin" / name).chmod(0o755)
    return made


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_page_does_what_it_says(page: Path, prepared: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(prepared, home)
    path = os.pathsep.join([str(home / ".bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT), "BOARDLINE_CREDENTIALS": "fleet/laptop"}
    # A network of its own: pages use the same ports and addresses. Processes of its own: what a page leaves ends with it.
    own = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        own.append("--map-root-user")
    done = subprocess.run(
        [*own, sys.executable, "-m", "tests.docs.run_page", str(page)],
        cwd=home,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PAGE_TIMEOUT_S,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_page_has_no_command_that_nothing_runs(page: Path) -> None:
    """Commands stand in fenced blocks of a kind that runs: no indented ones, and none that are called text."""
    parse(page)
    text = page.read_text()
    outside = re.sub(r"^ *(```|~~~).*?^ *\1 *$|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"(?:^|\n)\n(?: {4}|\t)(?! *[-*\d]).*", outside), "an indented block"
    for language in SHOWN:
        for block in re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
            assert not re.search(r"^(\$ |python |make |ansible|boardline-)", block, flags=re.MULTILINE), block


def test_blocks_that_are_left_out_are_few_and_say_why() -> None:
    found = [line for page in pages() for line in re.findall(r"<!--+\s*skip:.*", page.read_text())]
    assert all(re.fullmatch(r'<!--- skip: next "[^"]{10,}" --->', line) for line in found), found
    assert len(found) <= MOST_LEFT_OUT, found
