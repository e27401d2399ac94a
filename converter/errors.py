"""Errors of the converter, sorted by whose fault they are."""

from __future__ import annotations


class ConverterError(Exception):
    """Base of everything that the converter raises on purpose."""


class ModelError(ConverterError):
    """The model is missing, corrupt, or of a kind that cannot be converted."""


class CalibrationError(ConverterError):
    """The calibration data are missing, unreadable, or do not fit the model's inputs."""


class OptionError(ConverterError):
    """Options that clash with one another or with the model."""


class BatchError(ConverterError):
    """The model cannot take several samples at once, or its answers would be others."""


class MissingDependencyError(ConverterError):
    """A library that this kind of source needs is not installed."""


class ConversionFailedError(ConverterError):
    """TensorFlow refused, crashed on, or did not finish a model that looked convertible.

    Attributes:
        log_tail: the last lines of TensorFlow's own log; empty when it wrote none.
    """

    def __init__(self, message: str, log_tail: str = "") -> None:
        super().__init__(message)
        self.log_tail = log_tail
