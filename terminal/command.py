"""The frame of a command line: options as typer reads them, expected errors as their message and exit status 1."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from terminal.output import print_error

EXIT_ERROR = 1


def command_app(help_text: str) -> typer.Typer:
    """A typer application with this project's conventions."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """An option callback that accepts these words only."""

    def check(value: str) -> str:
        if value not in choices:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(choices)}.")
        return value

    return check


def run(app: typer.Typer, expected: tuple[type[Exception], ...]) -> None:
    """Runs the command line and exits. An expected error is shown without traceback; any other is a defect and has one."""
    try:
        app()
    except expected as error:
        print_error(error)
        sys.exit(EXIT_ERROR)
