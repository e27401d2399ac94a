"""The options that several commands of the converter share."""

from __future__ import annotations

import typer

from runtime.loading import RUNTIME_CHOICES
from terminal import one_of

BUNDLE = typer.Argument(..., metavar="BUNDLE", help="Directory made by split.")
RUNTIME = typer.Option("auto", help="TFLite runtime: auto, litert or tflite.", callback=one_of(RUNTIME_CHOICES))
JSON = typer.Option(False, "--json", help="Print JSON instead of a table.")
