"""Tests of `planner/`."""
