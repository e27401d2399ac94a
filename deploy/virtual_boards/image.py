"""Images that virtual boards boot from: made once for each recipe, and kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.boards.preflight import require_able
from deploy.virtual_boards.architecture import Architecture
from deploy.virtual_boards.errors import ToolError
from deploy.virtual_boards.image_root import configure_root
from deploy.virtual_boards.mirror import debian_mirror
from deploy.virtual_boards.preflight import KEYRING, require_tools
from deploy.virtual_boards.processes import run, run_logged
from deploy.virtual_boards.recipe import ImageFile, Recipe, recipe_for

DEFAULT_CACHE = Path(".cache/virtual-boards")
_UNFINISHED = ".unfinished-"
_UNPACK_TIMEOUT_S = 1800.0  # 100 MB from a mirror
_CONFIGURE_TIMEOUT_S = 3600.0  # a foreign architecture's takes minutes on an idle machine
_DISK_TIMEOUT_S = 900.0
_KEY_TIMEOUT_S = 60.0
_LOCK_TIMEOUT_S = _UNPACK_TIMEOUT_S + _CONFIGURE_TIMEOUT_S
_LOCK_POLL_S = 0.2


@dataclass(frozen=True)
class BaseImage:
    """What a board boots; never written to, boards have overlays.

    Args: private_key: opens every board that boots from it.
    """

    kind: Architecture
    directory: Path
    private_key: Path

    @property
    def disk(self) -> Path:
        """The root file system, a compressed qcow2."""
        return self.directory / "disk.qcow2"

    @property
    def kernel(self) -> Path:
        """Its kernel."""
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """Its initial ramdisk."""
        return self.directory / "initrd.img"


def ready_image(kind: Architecture, cache: Path = DEFAULT_CACHE) -> BaseImage:
    """The image of an architecture; made first if the cache has none of today's recipe. One process at a time makes one.

    Raises: MissingToolsError, ToolError. CannotEmulateError: this user may not make one.
    """
    require_tools([kind])
    cache = cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache):
        key = _key(cache)
        recipe = recipe_for(kind.name, key.with_suffix(".pub").read_text())
        image = BaseImage(kind, cache / f"{kind.name}-{recipe.digest}", key)
        if not image.directory.exists():
            require_able()
            _make(recipe, image, cache)
    return image


def write_files(root: Path, files: tuple[ImageFile, ...]) -> None:
    """Writes them below `root`, in the place of what is there."""
    for file in files:
        path = root / file.path.lstrip("/")
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)  # whatever the umask
        path.unlink(missing_ok=True)  # it may be a link, to something of this machine
        path.write_text(file.content)
        path.chmod(file.mode)


def _make(recipe: Recipe, image: BaseImage, cache: Path) -> None:
    for left in cache.glob(f"{_UNFINISHED}*"):  # by one that was killed: this one holds the lock
        shutil.rmtree(left)
    packages, log = cache / "packages", cache / f"{image.kind.name}.log"
    packages.mkdir(exist_ok=True)
    log.write_bytes(b"")
    with TemporaryDirectory(prefix=_UNFINISHED, dir=cache) as scratch:
        root, made, raw = Path(scratch, "root"), Path(scratch, "image"), Path(scratch, "disk.raw")
        _unpack(recipe, root, packages, log)
        write_files(root, recipe.files)
        configure_root(root, image.kind, recipe.setup, log, timeout_s=_CONFIGURE_TIMEOUT_S)
        write_files(root, recipe.late_files)
        made.mkdir()
        for pattern, place in (("vmlinuz-*", image.kernel), ("initrd.img-*", image.initrd)):
            shutil.copy(_only(root / "boot", pattern), made / place.name)
        # Or the kernel would do at every first boot what mkfs left for later.
        eager = ["-E", "lazy_itable_init=0,lazy_journal_init=0"]
        run_logged(["mkfs.ext4", "-q", *eager, "-d", str(root), str(raw), recipe.disk], log, timeout_s=_DISK_TIMEOUT_S)
        packed = ["-c", "-O", "qcow2", "-o", "compression_type=zstd"]
        run_logged(
            ["qemu-img", "convert", *packed, str(raw), str(made / image.disk.name)], log, timeout_s=_DISK_TIMEOUT_S
        )
        made.replace(image.directory)


def _unpack(recipe: Recipe, root: Path, packages: Path, log: Path) -> None:
    options = ["--foreign", f"--arch={recipe.architecture}", "--variant=minbase", f"--cache-dir={packages}"]
    options += ["--force-check-gpg", f"--keyring={KEYRING}", f"--include={','.join(recipe.packages)}"]
    mirror = debian_mirror(recipe.suite)
    argv = ["debootstrap", *options, recipe.suite, str(root), *([] if mirror is None else [mirror])]
    run_logged(argv, log, timeout_s=_UNPACK_TIMEOUT_S, environment={**os.environ, "LC_ALL": "C"})


def _only(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        raise ToolError(f"the image has {len(found)} {pattern} in /boot, expected one: {', '.join(map(str, found))}")
    return found[0]


def _key(cache: Path) -> Path:
    path = cache / "key"
    if not path.with_suffix(".pub").exists():
        path.unlink(missing_ok=True)
        named = ["-C", "boardline-virtual-boards", "-f", str(path)]
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", *named], timeout_s=_KEY_TIMEOUT_S)
    return path


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Raises: ToolError: another process has held it for longer than making an image can take."""
    deadline_s = time.monotonic() + _LOCK_TIMEOUT_S
    handle = os.open(cache, os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise ToolError(f"another process has been making an image in {cache} for too long.") from None
                time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(handle)
