"""External delegates: shared libraries that compute parts of a model on an accelerator."""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime.errors import DelegateError

NO_DELEGATE = "none"
# As boards.schema.json has it of names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SYMBOLS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
# Enough to tell builds of a library apart.
_HASH_DIGITS = 12


@dataclass(frozen=True)
class Delegate:
    """A delegate as the board's operator describes it.

    Attributes:
        name: what it is called in boards.yaml.
        library: absolute path of a shared library.
        options: (option, value) as the library takes them.
    """

    name: str
    library: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Delegate:
        """From NAME=PATH[,OPTION=VALUE...]. Raises: DelegateError: it is not of that form, or the path is no file's."""
        name, separator, rest = text.partition("=")
        library, *pairs = rest.split(",")
        options = [(option, value) for option, _, value in (pair.partition("=") for pair in pairs)]
        if (
            not separator
            or not _NAME.fullmatch(name)
            or name == NO_DELEGATE
            or not all(o and "=" in p for (o, _), p in zip(options, pairs))
        ):
            raise DelegateError(
                f"{text!r} describes no delegate: expected NAME=PATH[,OPTION=VALUE...] as npu=/usr/lib/libvx_delegate.so,cache=on; "
                f"a name is up to 63 letters, digits, dots, dashes or underscores, and not {NO_DELEGATE}."
            )
        if repeated := sorted({option for option, _ in options if [o for o, _ in options].count(option) > 1}):
            raise DelegateError(f"the delegate {name} has options twice: {', '.join(repeated)}. Give each one value.")
        # Where the system's loader would look for a bare name is up to the environment, and its hash could be another file's.
        if not Path(library).is_absolute() or not Path(library).is_file():
            raise DelegateError(
                f"the delegate {name}: {library or 'its path'} is no file. Give the library's absolute path."
            )
        return cls(name, library, tuple(options))

    def __str__(self) -> str:
        """What `parse` takes."""
        return ",".join([f"{self.name}={self.library}", *(f"{option}={value}" for option, value in self.options)])

    @cached_property
    def identity(self) -> str:
        """What tells it from other delegates: the library's name and hash, and the options. Raises: DelegateError."""
        try:
            digest = hashlib.sha256(Path(self.library).read_bytes()).hexdigest()
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error
        options = "".join(f" {option}={value}" for option, value in self.options)
        return f"{Path(self.library).name} {digest[:_HASH_DIGITS]}{options}"

    def open(self, load_delegate: Callable[..., Any] | None) -> Any:
        """A delegate for one interpreter.

        Args: load_delegate: the runtime's function.
        Raises: DelegateError: the library is not there or for another machine, is no delegate, or refuses its options.
        """
        assert load_delegate is not None
        try:  # first: the runtime's own class complains on stderr of what it could not load
            library = ctypes.CDLL(self.library)
        except OSError as error:
            raise self._error(f"{error}. It must be built for this machine, and all that it needs installed") from error
        if missing := [symbol for symbol in _SYMBOLS if not hasattr(library, symbol)]:
            raise self._error(f"it has no {' and no '.join(missing)}. Give a library made as an external delegate")
        try:
            return load_delegate(self.library, dict(self.options))
        except (ValueError, RuntimeError) as error:
            said = " ".join(str(error).replace(f"Failed to load delegate from {self.library}", "").split())
            raise self._error(
                f"it gives none{f': {said}' if said else ' and does not say why'}. Is the accelerator there, may this user "
                "open its device file, and are the options the library's"
            ) from error

    def _error(self, what: str) -> DelegateError:
        return DelegateError(f"the delegate {self.name} cannot be loaded from {self.library}: {what}.")
