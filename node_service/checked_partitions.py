"""What is known of partitions that were checked on this board, one JSON file each; a restart need not check them again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from node_service.errors import StoreError
from node_service.replacement import make_directories, remove_leftovers, replace_file
from node_service.store import check_sha256
from runtime.model_check import Findings

# Raised when checks become stricter: what was checked before is then checked again.
_VERSION = 1


@dataclass(frozen=True)
class Checked:
    """Findings, and the runtime that loaded and ran the partition; "" for none."""

    findings: Findings
    tried_with: str


class CheckedPartitions:
    """Files under one directory. Its methods wait for the disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        remove_leftovers(directory)

    def find(self, sha256: str) -> Checked | None:
        """What is known of a partition; None if it was not checked, or a file is damaged."""
        try:
            found = json.loads(self._path(sha256).read_bytes())
            if found["version"] != _VERSION:
                return None
            findings = found["findings"]
            return Checked(Findings(tuple(findings["foreign_operators"]), findings["need_bytes"]), found["tried_with"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, sha256: str, checked: Checked) -> None:
        """Remembers it across restarts. Raises: StoreError."""
        path = self._path(sha256)
        try:
            make_directories(self._directory)
        except OSError as error:
            raise StoreError(f"the store cannot be written: {error.strerror}.") from error
        replace_file(path, json.dumps({"version": _VERSION, **asdict(checked)}).encode())

    def _path(self, sha256: str) -> Path:
        check_sha256(sha256)
        return self._directory / f"{sha256}.json"
