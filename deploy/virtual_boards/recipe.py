"""What an image consists of, as a value: two equal recipes give interchangeable images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

USER = "pi"
_SUITE = "bookworm"
_DISK = "4G"
# Goes up when the code that carries a recipe out makes something else of it.
_FORMAT = 1
_PACKAGES = (
    "ca-certificates",
    "dbus",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "libnss-myhostname",  # the name that the kernel command line gives is resolved; sudo asks for it
    "openssh-server",
    "python3",
    "python3-apt",  # Ansible's module apt needs it, and would fetch it
    "python3-venv",  # boards have no internet, and so all that roles install with apt
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
)
# Of a host that watches the others, which never is the slow one; no service until a role enables it.
_MONITORING = {"amd64": ("prometheus",)}
# What a virtual board's disk takes at boot. All modules of Debian's kernel would be ten times as much to load.
_MODULES = "virtio_pci\nvirtio_blk\nvirtio_rng\next4\n"
_NETWORK = ("systemd-networkd.service", "systemd-network-generator.service")
# They fetch and tidy up at any time, which tests would take for the boards' own doing.
_UNWANTED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
)


@dataclass(frozen=True)
class ImageFile:
    """A file of root's, as an absolute path on the board."""

    path: str
    content: str
    mode: int = 0o644


@dataclass(frozen=True)
class Recipe:
    """An image.

    Args:
        architecture: Debian's name.
        packages: with what they depend on, and what debootstrap's variant minbase has.
        files: written before packages are configured, so that these heed them.
        setup: a shell script, run on the image once packages are installed.
        late_files: written last.
        disk: size of the file system as mkfs.ext4 takes it.
    """

    architecture: str
    suite: str
    packages: tuple[str, ...]
    files: tuple[ImageFile, ...]
    setup: str
    late_files: tuple[ImageFile, ...]
    disk: str
    format: int = _FORMAT

    @property
    def digest(self) -> str:
        """16 hex digits that change with anything in the recipe."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def recipe_for(architecture: str, public_key: str) -> Recipe:
    """Debian 12 with systemd, SSH and what Ansible takes.

    Args: public_key: one line, of who may log in as `USER` and so become root.
    """
    return Recipe(
        architecture=architecture,
        suite=_SUITE,
        packages=(*_PACKAGES, *_MONITORING.get(architecture, ()), f"linux-image-cloud-{architecture}"),
        files=_files(public_key),
        setup=_setup(),
        late_files=_late_files(),
        disk=_DISK,
    )


def _files(public_key: str) -> tuple[ImageFile, ...]:
    return (
        ImageFile("/etc/dpkg/dpkg.cfg.d/virtual-board", _DPKG),
        ImageFile("/etc/initramfs-tools/conf.d/virtual-board", "MODULES=list\n"),
        ImageFile("/usr/share/initramfs-tools/modules.d/virtual-board", _MODULES),
        # systemd checks the file system of a board whose power was cut if this names it.
        ImageFile("/etc/fstab", "/dev/vda / ext4 noatime,errors=remount-ro 0 1\n"),
        ImageFile("/etc/ssh/sshd_config.d/virtual-board.conf", _SSHD),
        ImageFile(f"/etc/ssh/authorized_keys/{USER}", public_key.strip() + "\n"),
    )


def _late_files() -> tuple[ImageFile, ...]:
    """What packages or debootstrap would have taken from the machine that makes the image."""
    return (
        ImageFile("/etc/apt/sources.list", ""),
        ImageFile("/etc/hostname", "board\n"),
        ImageFile("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
        ImageFile("/etc/machine-id", ""),  # each board makes its own
        ImageFile("/etc/resolv.conf", ""),
        ImageFile(f"/etc/sudoers.d/{USER}", f"{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440),
    )


def _setup() -> str:
    return "\n".join(
        [
            f"useradd --create-home --shell /bin/bash {USER}",
            f"systemctl enable {' '.join(_NETWORK)} ssh.service",
            f"systemctl mask {' '.join(_UNWANTED)}",
            "! systemctl is-enabled --quiet prometheus.service || systemctl disable prometheus.service",
            "rm -f /var/cache/apt/archives/*.deb /var/lib/apt/lists/*Packages /var/log/*.log",
        ]
    )


_DPKG = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
"""
_SSHD = """\
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
PasswordAuthentication no
UseDNS no
"""
