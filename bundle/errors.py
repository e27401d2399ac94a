"""Errors of bundles."""

from __future__ import annotations


class BundleError(Exception):
    """A directory is not a bundle, is damaged, was made by another version, or cannot be written."""


class SignatureError(BundleError):
    """A bundle is not signed, or not by that key; or a key cannot be used."""


class PhotographError(BundleError):
    """An image is missing, damaged, or of a kind that cannot be read."""


class PlanError(BundleError):
    """plan.yaml cannot be read or does not follow its schema, or a plan contradicts itself."""
