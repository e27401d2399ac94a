"""Packages come from where this machine's own come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.virtual_boards.mirror import choose_mirror, debian_mirror

# Address, release, code name, component, origin, label.
SECURITY = "http://near.example/security/\tbookworm-security\tbookworm-security\tmain\tDebian\tDebian-Security"
CONTRIB = "http://near.example/contrib/\tbookworm\tbookworm\tcontrib\tDebian\tDebian"
BOOKWORM = "http://near.example/debian/\tbookworm\tbookworm\tmain\tDebian\tDebian"
NOT_FETCHED = "https://far.example/debian/\tbookworm\t\tmain\t\t"
STABLE = "http://alias.example/debian/\toldstable\tbookworm\tmain\tDebian\tDebian"
TRIXIE = "http://other.example/debian/\ttrixie\ttrixie\tmain\tDebian\tDebian"
VENDOR = "http://vendor.example/\tstable\tstable\tmain\tVendor\tVendor"
LOCAL = "file:/srv/debian/\tbookworm\tbookworm\tmain\tDebian\tDebian"


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ([SECURITY, CONTRIB, TRIXIE, BOOKWORM], "http://near.example/debian/"),
        ([NOT_FETCHED], "https://far.example/debian/"),
        ([STABLE], "http://alias.example/debian/"),
        ([VENDOR, TRIXIE], "http://other.example/debian/"),
        ([SECURITY, VENDOR, LOCAL], None),
        ([], None),
    ],
)
def test_archive_with_the_suite_is_preferred(lines: list[str], chosen: str | None) -> None:
    assert choose_mirror(lines, "bookworm") == chosen


def test_apt_is_asked(stand_in: Callable[[str, str], None]) -> None:
    stand_in("apt-get", f"printf '%s\\n' '{BOOKWORM}'")
    assert debian_mirror("bookworm") == "http://near.example/debian/"


def test_default_is_taken_when_apt_fails(stand_in: Callable[[str, str], None]) -> None:
    stand_in("apt-get", "exit 100")
    assert debian_mirror("bookworm") is None


def test_default_is_taken_when_there_is_no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian_mirror("bookworm") is None
