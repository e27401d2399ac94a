"""Tests of `bundle/`."""
