"""Tests of `terminal/`."""
