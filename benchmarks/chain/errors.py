"""What can go wrong in the benchmark of chains."""


class ChainBenchmarkError(Exception):
    """Base of this package's errors."""


class SettingsError(ChainBenchmarkError):
    """Options that make no sense, or not together."""


class BaselineError(ChainBenchmarkError):
    """The DEFER-style chain could not be made, or did not answer in time."""
