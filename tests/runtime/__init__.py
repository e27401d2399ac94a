"""Tests of the runtime adapter."""
