"""The board's daemon: stores partitions, runs them as stages, and passes frames along the chain."""
