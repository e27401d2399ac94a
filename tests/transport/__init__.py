"""Tests of `transport/`."""
