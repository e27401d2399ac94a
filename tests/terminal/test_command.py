"""Errors are one line on stderr with exit status 1; defects keep their traceback; wrong usage is told as such."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import typer

from terminal import command_app, one_of, run

# A command line in a process of its own; `fail` is a statement.
SCRIPT = """
import sys
from terminal import command_app, run
app = command_app("Tests.")
@app.command()
def work() -> None:
    {fail}
@app.command()
def rest() -> None:
    pass
run(app, (LookupError,))
"""


def start(fail: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT.format(fail=fail), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def app_that_raises(error: Exception) -> typer.Typer:
    app = command_app("Tests.")

    @app.command()
    def work() -> None:
        raise error

    return app


def message_of(error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", ["work"])
    with pytest.raises(SystemExit) as raised:
        run(app_that_raises(error), (LookupError, ValueError))
    captured = capsys.readouterr()
    assert raised.value.code == 1
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    "text",
    [
        "cut name 'x' is unknown.",
        "[bold]not markup[/bold] [/] [red]",
        "shape [1, 8], expected [float32]",
        r"C:\[dir] and \ at the end\\",
        "not an emoji :key:",
        "long " + "word " * 100 + "end",
    ],
)
def test_expected_error_is_one_line_as_it_is(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert message_of(ValueError(text), capsys, monkeypatch) == f"error: {text}\n"


def test_expected_error_keeps_its_lines_when_its_message_has_several(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ValueError("boards.yaml:2: no address\nboards.yaml:4: no name")
    expected = "error: boards.yaml:2: no address\nboards.yaml:4: no name\n"
    assert message_of(error, capsys, monkeypatch) == expected


def test_any_of_the_expected_kinds_is_expected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert message_of(IndexError("an index"), capsys, monkeypatch) == "error: an index\n"


def test_expected_error_has_no_traceback_and_status_1_in_a_real_process() -> None:
    code, out, err = finish(start("raise KeyError('gone')", "work"))
    assert (code, out, err) == (1, "", "error: 'gone'\n")


def test_defect_keeps_its_traceback() -> None:
    code, out, err = finish(start("raise ZeroDivisionError('a defect')", "work"))
    assert (code, out) == (1, "")
    assert "Traceback" in err
    assert "ZeroDivisionError: a defect" in err


def test_interrupted_command_ends_without_traceback() -> None:
    process = start("print('ready', flush=True); sys.stdin.read()", "work")
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        code, _, err = finish(process)
    # 130 as shells report it; 1 with the oldest typer that is allowed.
    assert code in (130, 1)
    assert "Traceback" not in err


def test_wrong_usage_has_status_2_and_names_the_option() -> None:
    code, out, err = finish(start("pass", "work", "--nonsense"))
    assert (code, out) == (2, "")
    assert "--nonsense" in err


def test_help_is_shown_for_both_flags() -> None:
    for flag in ("-h", "--help"):
        code, out, _ = finish(start("pass", flag))
        assert code == 0
        assert "work" in out


def test_choice_is_returned_when_it_is_one_of_the_words() -> None:
    assert one_of(("a", "b"))("b") == "b"


def test_choice_is_refused_with_the_words_when_it_is_none_of_them() -> None:
    with pytest.raises(typer.BadParameter, match="'c' is not one of a, b"):
        one_of(("a", "b"))("c")
