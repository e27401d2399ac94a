"""What a board tells its network of itself by DNS-SD (RFC 6763): the keys of its TXT record, written and read.

Anybody on the network can write such a record. It says where a board may be, and proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from transport.errors import AnnouncementError
from transport.names import NAME_RULE, is_name

SERVICE_TYPE = "_boardline._tcp.local."
# Raised when keys change their meaning; new keys need no new format.
_FORMAT = "1"
_TEXT = re.compile(r"[\x20-\x7e]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,6}")
_MOST_QUOTED = 64
_YES_NO = {"yes": True, "no": False}


@dataclass(frozen=True)
class Announcement:
    """A board, as it describes itself.

    Attributes:
        name: the one of its certificate, which its instance's name need not be: two of the same name are told apart by a number.
        protocol_version: what it speaks.
        software_version: of boardline.
        architecture: of the processor, as aarch64.
        runtime: and its version.
        cores: that the service may use.
        tls: it wants certificates; else it speaks plaintext.
    """

    name: str
    protocol_version: int
    software_version: str
    architecture: str
    runtime: str
    cores: int
    tls: bool

    def __post_init__(self) -> None:
        """Raises: AnnouncementError: nobody would read it."""
        if not is_name(self.name):
            raise AnnouncementError(f"its name is {_quoted(self.name)}. {NAME_RULE}")
        for what, text in (
            ("version", self.software_version),
            ("architecture", self.architecture),
            ("runtime", self.runtime),
        ):
            if not _TEXT.fullmatch(text):
                raise AnnouncementError(f"its {what} is {_quoted(text)}, expected 1 to 64 characters of ASCII.")

    def properties(self) -> dict[str, str]:
        """The record's keys and values."""
        return {
            "txtvers": _FORMAT,
            "name": self.name,
            "protocol": str(self.protocol_version),
            "version": self.software_version,
            "architecture": self.architecture,
            "runtime": self.runtime,
            "cores": str(self.cores),
            "tls": "yes" if self.tls else "no",
        }

    @classmethod
    def read(cls, properties: Mapping[bytes, Optional[bytes]]) -> Announcement:
        """From a record that anybody may have written; unknown keys are left alone. Raises: AnnouncementError."""
        texts = {
            key.decode("ascii", "replace"): (value or b"").decode("utf-8", "replace")
            for key, value in properties.items()
        }
        if texts.get("txtvers") != _FORMAT:
            raise AnnouncementError(
                f"its record is of format {_quoted(texts.get('txtvers', ''))}, this version reads {_FORMAT}."
            )
        missing = sorted({"name", "protocol", "version", "architecture", "runtime", "cores", "tls"} - texts.keys())
        if missing:
            raise AnnouncementError(f"its record lacks {', '.join(missing)}.")
        if texts["tls"] not in _YES_NO:
            raise AnnouncementError(f"its tls is {_quoted(texts['tls'])}, expected yes or no.")
        return cls(
            name=texts["name"],
            protocol_version=_number("protocol", texts["protocol"]),
            software_version=texts["version"],
            architecture=texts["architecture"],
            runtime=texts["runtime"],
            cores=_number("cores", texts["cores"]),
            tls=_YES_NO[texts["tls"]],
        )


def _number(what: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or not int(text):
        raise AnnouncementError(f"its {what} is {_quoted(text)}, expected a whole number from 1 on.")
    return int(text)


def _quoted(text: str) -> str:
    """Printable, and no longer than a line takes."""
    return repr(text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}...")
