"""An image is made anew when, and only when, something in its recipe is another."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from deploy.virtual_boards.recipe import ImageFile, recipe_for

RECIPE = recipe_for("amd64", "ssh-ed25519 AAAA nobody")
OTHERS: dict[str, Any] = {
    "architecture": "arm64",
    "suite": "trixie",
    "packages": (*RECIPE.packages, "python3-pip"),
    "files": (*RECIPE.files, ImageFile("/etc/motd", "")),
    "setup": RECIPE.setup + "\ntrue",
    "late_files": RECIPE.late_files[1:],
    "disk": "5G",
    "format": RECIPE.format + 1,
}


def test_digest_is_the_same_for_equal_recipes() -> None:
    assert recipe_for("amd64", "ssh-ed25519 AAAA nobody\n").digest == RECIPE.digest
    assert len(RECIPE.digest) == 16


@pytest.mark.parametrize("name", [field.name for field in fields(RECIPE)])
def test_digest_changes_with_every_part(name: str) -> None:
    assert replace(RECIPE, **{name: OTHERS[name]}).digest != RECIPE.digest


def test_digest_changes_with_the_mode_of_a_file() -> None:
    first, *others = RECIPE.files
    assert replace(RECIPE, files=(replace(first, mode=0o600), *others)).digest != RECIPE.digest


def test_another_key_makes_another_image() -> None:
    assert recipe_for("amd64", "ssh-ed25519 BBBB nobody").digest != RECIPE.digest


def test_kernel_is_the_architectures_own() -> None:
    assert "linux-image-cloud-arm64" in recipe_for("arm64", "key").packages


def test_sudo_reads_only_files_that_others_cannot_write() -> None:
    (rules,) = [file for file in RECIPE.late_files if file.path.startswith("/etc/sudoers.d/")]
    assert rules.mode == 0o440
