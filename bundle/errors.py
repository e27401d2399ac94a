"""Errors of bundles."""

from __future__ import annotations


class BundleError(Exception):
    """A directory is not a bundle, is damaged, was made by another version, or cannot be written."""
