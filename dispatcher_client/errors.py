"""Errors that an application can catch, sorted by whose fault they are."""

from __future__ import annotations

import copy

from fleet.errors import FleetError

# One base for what boards and what this library raise on purpose: an application catches one name.
DispatcherError = FleetError


class InputError(DispatcherError):
    """The input has the wrong name, shape or dtype, or holds NaN where integers are needed."""


class PlacementError(DispatcherError):
    """A plan does not fit the bundle and the boards, or there are fewer boards than partitions."""


class BitIdentityError(DispatcherError):
    """The chain's answer to the bundle's sample differs from the whole model's where equal bits are promised."""


class ChainClosedError(DispatcherError):
    """The chain is not open: not yet, not any more, or it broke earlier."""


class OptionError(DispatcherError):
    """An option has a value that makes no sense."""


class ReplyTimeoutError(DispatcherError):
    """No answer came within the time-out."""


class AbandonedError(DispatcherError):
    """Nobody waits for the answer any more; no application sees it."""


class OverloadedError(DispatcherError):
    """As many requests wait for room in the windows as may; this one was not taken."""


class JournalError(DispatcherError):
    """A journal is damaged, in use, of another model or another source of inputs, or cannot be written."""


class MetricsError(DispatcherError):
    """Metrics cannot be served where they should be."""


class VersionMisfitError(DispatcherError):
    """A new version of the model has other inputs or outputs than the one that serves."""


class MissingExtraError(DispatcherError):
    """A command needs a part of boardline that is not installed here."""


class DiscoveryError(DispatcherError):
    """Boards cannot be looked for on the network, or none was found."""


class ProfilingError(DispatcherError):
    """A model cannot be measured on the boards: it is none, or a link gives no figures."""


class ComparisonError(DispatcherError):
    """A chain cannot be compared with a model: that is none, or runs nowhere here."""


def own_instance(error: DispatcherError) -> DispatcherError:
    """The same error for one more who waits: raised by several threads, one instance would collect all their tracebacks."""
    return copy.copy(error)


def late(timeout_s: float, where: str) -> ReplyTimeoutError:
    """The error of a request whose time is over."""
    return ReplyTimeoutError(
        f"no answer within {timeout_s:g} s {where}. See which board is stuck: python -m dispatcher_client status."
    )
