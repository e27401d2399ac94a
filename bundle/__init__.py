"""The bundle: a directory with a manifest, the partition files, the whole model and a sample with its answer."""

from bundle.directory import Bundle, BundleWriter, open_bundle
from bundle.errors import BundleError, PlanError, SignatureError
from bundle.plan import Plan, PlannedChain, PlannedStage
from bundle.splitting import BundleSplitting

__all__ = [
    "Bundle",
    "BundleError",
    "BundleSplitting",
    "BundleWriter",
    "Plan",
    "PlanError",
    "PlannedChain",
    "PlannedStage",
    "SignatureError",
    "open_bundle",
]
