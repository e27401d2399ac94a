"""One bundle of three parts for the tests that only read it, and copies for those that damage it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bundle import Bundle, open_bundle
from tests.bundles import make_bundle


@pytest.fixture(scope="session")
def whole_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An int8 model in three parts, where a tensor is carried through the second; not to be changed."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "whole", "residual", "int8", cut_lists=[("6", "7")])


@pytest.fixture
def bundle_copy(whole_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy to damage."""
    return open_bundle(shutil.copytree(whole_bundle.path, tmp_path / "copy"))
