"""How every command talks: results on stdout, progress and errors on stderr, errors as one clear line."""

from terminal.command import command_app, one_of, run
from terminal.output import print_error, print_json, print_table, printable, progress, stderr

__all__ = [
    "command_app",
    "one_of",
    "print_error",
    "print_json",
    "print_table",
    "printable",
    "progress",
    "run",
    "stderr",
]
