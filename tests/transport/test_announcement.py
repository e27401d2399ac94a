"""What boards say of themselves comes back as it was; what strangers say breaks the form, or is within it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.announcement import Announcement
from transport.errors import AnnouncementError
from transport.names import NAME_PATTERN

BOARD = Announcement("pi1", 1, "0.1.0", "aarch64", "ai-edge-litert 2.1.0", 4, tls=True)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)
NUMBERS = st.integers(1, 999_999)
ANNOUNCEMENTS = st.builds(
    Announcement,
    name=st.from_regex(NAME_PATTERN.replace("$", r"\Z"), fullmatch=True),
    protocol_version=NUMBERS,
    software_version=TEXTS,
    architecture=TEXTS,
    runtime=TEXTS,
    cores=NUMBERS,
    tls=st.booleans(),
)
KEYS = [key.encode() for key in BOARD.properties()]


def encoded(announcement: Announcement) -> dict[bytes, bytes | None]:
    return {key.encode(): value.encode() for key, value in announcement.properties().items()}


@given(ANNOUNCEMENTS)
def test_announcement_comes_back_as_it_was(announcement: Announcement) -> None:
    assert Announcement.read({**encoded(announcement), b"later": b"version"}) == announcement


@given(ANNOUNCEMENTS)
def test_every_pair_fits_a_string_of_a_txt_record(announcement: Announcement) -> None:
    assert all(len(f"{key}={value}".encode()) <= 255 for key, value in announcement.properties().items())


@given(
    st.dictionaries(
        st.sampled_from(KEYS) | st.binary(max_size=9), st.none() | st.sampled_from([b"1", b"yes"]) | st.binary()
    )
)
def test_whatever_a_stranger_writes_is_read_or_refused_in_printable_words(changes: dict[bytes, bytes | None]) -> None:
    said = ""
    try:
        read = Announcement.read({**encoded(BOARD), **changes})
    except AnnouncementError as error:
        said = str(error)
    else:
        assert "".join(read.properties().values()).isascii()
        assert Announcement.read(encoded(read)) == read
    assert said.isprintable()
    assert len(said) < 300


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x" * 64, "pi1\n", "ü"])
def test_board_of_a_name_that_no_certificate_has_is_not_announced(name: str) -> None:
    with pytest.raises(AnnouncementError, match="its name is"):
        replace(BOARD, name=name)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (b"cores", b"0", "its cores is '0', expected a whole number from 1 on"),
        (b"cores", b"9" * 5000, "its cores is"),
        (b"protocol", "²".encode(), "its protocol is"),
        (b"tls", b"perhaps", "its tls is 'perhaps', expected yes or no"),
        (b"txtvers", b"2", "its record is of format '2', this version reads 1"),
        (b"runtime", b"\x1b[31m", "its runtime is"),
        (b"version", None, "its version is ''"),
    ],
)
def test_record_that_breaks_the_form_is_refused_with_what_breaks_it(key: bytes, value: bytes | None, said: str) -> None:
    with pytest.raises(AnnouncementError) as refused:
        Announcement.read({**encoded(BOARD), key: value})
    assert said in str(refused.value)


def test_keys_that_are_missing_are_all_named() -> None:
    with pytest.raises(AnnouncementError, match=r"lacks architecture, cores, name, protocol, runtime, tls, version\."):
        Announcement.read({b"txtvers": b"1"})
