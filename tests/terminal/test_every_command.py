"""Every command of the three programs: an example that can be pasted, JSON for scripts, and completions of three shells."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import converter.cli
import dispatcher_client.cli
import node_service.cli

PROGRAMS = {
    "converter": converter.cli.app,
    "dispatcher_client": dispatcher_client.cli.app,
    "node_service": node_service.cli.app,
}
# They leave files, or a service that runs, and say where.
WITHOUT_JSON = {
    "converter sign",
    "dispatcher_client certs init",
    "dispatcher_client certs issue",
    "dispatcher_client certs rotate",
    "dispatcher_client serve",
    "node_service",
}
SCRIPTS = {"boardline-converter": "ver", "boardline-client": "sta", "boardline-node": "--lis"}
COMPLETED = {"boardline-converter": "verify", "boardline-client": "status", "boardline-node": "--listen"}


def commands() -> Iterator[tuple[str, Any]]:
    """With their names, as one types them after `python -m`; their type is private to typer."""
    for program, app in PROGRAMS.items():
        yield from inside(program, typer.main.get_command(app))


def inside(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The command itself, or those of a group."""
    parts = getattr(command, "commands", None)
    if parts is None:
        yield name, command
        return
    for part, of_group in parts.items():
        yield from inside(f"{name} {part}", of_group)


COMMANDS = dict(commands())


def test_all_commands_are_looked_at() -> None:
    assert {"converter split", "dispatcher_client certs issue", "node_service"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_the_command_takes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    command = COMMANDS[name]
    examples = re.findall(rf"Example: python -m {name}(.*)", command.help or "")
    assert examples, f"the help of {name} has no example"
    for example in examples:
        # Raises where an option is unknown, lacks its value or an argument is missing; runs nothing.
        command.make_context(name, shlex.split(example))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_JSON])
def test_results_can_be_had_as_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


def test_commands_without_json_exist() -> None:
    assert COMMANDS.keys() >= WITHOUT_JSON


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_a_shell_completes(script: str, shell: str) -> None:
    """As the shell asks for it, by the names in the script that `--install-completion` would install."""
    where = Path(sys.executable).parent / script
    shown = subprocess.run(
        [where, "--show-completion", shell],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},  # else that of who runs the tests
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    (variable,) = set(re.findall(r"(_BOARDLINE_\w+_COMPLETE)=complete_" + shell, shown))
    line = f"{script} {SCRIPTS[script]}"
    asks = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    assert all(name in shown for name in asks[shell]), shown
    answered = subprocess.run(
        [where],
        env={**os.environ, variable: f"complete_{shell}", **asks[shell]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert COMPLETED[script] in answered.stdout


def test_bash_completes_a_word() -> None:
    """The installed script in a real bash."""
    where = Path(sys.executable).parent
    script = f"""
        PATH={shlex.quote(str(where))}:$PATH
        eval "$(boardline-client --show-completion bash)"
        COMP_WORDS=(boardline-client und) COMP_CWORD=1
        _boardline_client_completion boardline-client
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["undeploy"]
