"""A link's rate falls tenfold under load: how soon the codecs follow. `python -m benchmarks.link_drop`."""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.keras_models import tflite_file
from benchmarks.rows import print_rows
from bundle import BundleWriter, open_bundle
from converter.convert import convert_to_tflite
from converter.split_model import LoadedModel, SplitRequest, split_model
from dispatcher_client import Board, Dispatcher
from dispatcher_client.bench import ReplyLog
from runtime import load_runtime
from terminal import command_app, print_table, run
from transport.tensor_codec import codec_name
