"""Programs of another architecture are told to the kernel in a namespace of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.virtual_boards import ToolError
from deploy.virtual_boards.architecture import ARCHITECTURES
from deploy.virtual_boards.image_root import binfmt_line, configure_root

ARM64 = ARCHITECTURES["arm64"]


def test_line_is_that_of_qemus_own_script() -> None:
    # scripts/qemu-binfmt-conf.sh of qemu: aarch64_magic and aarch64_mask.
    magic = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    made = binfmt_line(ARM64, Path("/usr/bin/qemu-aarch64-static"))
    assert made == f":qemu-aarch64-static:M::{magic}:{mask}:/usr/bin/qemu-aarch64-static:F"
    assert len(made) < 256  # what the kernel takes


def test_failure_says_what_the_log_ends_with(able: None, tmp_path: Path) -> None:
    log = tmp_path / "image.log"
    with pytest.raises(ToolError, match=r"(?s)the amd64 image was not configured .*debootstrap"):
        configure_root(tmp_path, ARCHITECTURES["amd64"], "true", log, timeout_s=60)
