"""An image is made once, whole or not at all."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.virtual_boards import MissingToolsError, ToolError, ready_image
from deploy.virtual_boards.architecture import ARCHITECTURES
from deploy.virtual_boards.image import write_files
from deploy.virtual_boards.recipe import ImageFile

AMD64 = ARCHITECTURES["amd64"]
# The last but one argument is the root; it says where it was asked to take packages from.
DEBOOTSTRAP = """\
for path in "$@"; do root=$before; before=$path; done
echo made >> "$COUNT"
mkdir -p "$root/boot" && echo kernel > "$root/boot/vmlinuz-6" && echo ramdisk > "$root/boot/initrd.img-6"
"""


@pytest.fixture
def maker(
    stand_in: Callable[[str, str], None],
    all_stand_ins: None,
    keyring: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], int]:
    """Programs that make an image of nothing; how many were made."""
    count = tmp_path / "count"
    monkeypatch.setenv("COUNT", str(count))
    monkeypatch.setattr("deploy.virtual_boards.image.configure_root", lambda *_, **__: None)
    monkeypatch.setattr("deploy.virtual_boards.image.require_able", lambda: None)
    stand_in("debootstrap", DEBOOTSTRAP)
    stand_in("mkfs.ext4", "exit 0")
    stand_in("ssh-keygen", 'for path in "$@"; do :; done; echo private > "$path"; echo public > "$path.pub"')
    return lambda: len(count.read_text().splitlines()) if count.exists() else 0


def test_image_is_made_once(maker: Callable[[], int], tmp_path: Path) -> None:
    image = ready_image(AMD64, tmp_path / "cache")
    assert image.kernel.read_text() == "kernel\n"
    assert image.initrd.read_text() == "ramdisk\n"
    assert image.disk.exists()
    assert image.private_key.read_text() == "private\n"
    assert ready_image(AMD64, tmp_path / "cache") == image
    assert maker() == 1


def test_lost_key_makes_another_image(
    maker: Callable[[], int], stand_in: Callable[[str, str], None], tmp_path: Path
) -> None:
    first = ready_image(AMD64, tmp_path / "cache")
    (tmp_path / "cache" / "key.pub").unlink()
    stand_in("ssh-keygen", 'for path in "$@"; do :; done; echo private2 > "$path"; echo public2 > "$path.pub"')
    assert ready_image(AMD64, tmp_path / "cache").directory != first.directory


def test_failure_leaves_no_image(
    maker: Callable[[], int], stand_in: Callable[[str, str], None], tmp_path: Path
) -> None:
    stand_in("mkfs.ext4", "echo no space left; exit 1")
    with pytest.raises(ToolError, match=r"(?s)mkfs.ext4 ended with 1 .*no space left"):
        ready_image(AMD64, tmp_path / "cache")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["amd64.log", "key", "key.pub", "packages"]


def test_what_a_killed_maker_left_is_removed(maker: Callable[[], int], tmp_path: Path) -> None:
    left = tmp_path / "cache" / ".unfinished-1" / "root"
    left.mkdir(parents=True)
    ready_image(AMD64, tmp_path / "cache")
    assert not left.parent.exists()


def test_image_without_a_kernel_is_refused(
    maker: Callable[[], int], stand_in: Callable[[str, str], None], tmp_path: Path
) -> None:
    stand_in("debootstrap", DEBOOTSTRAP + 'rm "$root"/boot/vmlinuz-6')
    with pytest.raises(ToolError, match=r"the image has 0 vmlinuz-\* in /boot, expected one"):
        ready_image(AMD64, tmp_path / "cache")


def test_nothing_is_begun_without_the_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolsError, match="debootstrap"):
        ready_image(AMD64, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_files_take_the_place_of_links(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("this machine's")
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "etc" / "resolv.conf").symlink_to(own)
    files = (ImageFile("/etc/resolv.conf", ""), ImageFile("/etc/sudoers.d/pi", "rule\n", 0o440))
    write_files(tmp_path / "root", files)
    assert own.read_text() == "this machine's"
    made = tmp_path / "root" / "etc" / "sudoers.d" / "pi"
    assert (made.read_text(), stat.S_IMODE(made.stat().st_mode)) == ("rule\n", 0o440)
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o755
