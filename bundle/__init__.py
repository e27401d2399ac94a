"""The bundle: a directory with a manifest, the partition files, the whole model and a sample with its answer."""

from bundle.directory import Bundle, BundleWriter, open_bundle
from bundle.errors import BundleError

__all__ = ["Bundle", "BundleError", "BundleWriter", "open_bundle"]
