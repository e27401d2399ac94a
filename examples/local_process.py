"""A service as a process on this machine, which says in its log where it serves."""

from __future__ import annotations

import re
import subprocess
import threading
from collections import deque
from collections.abc import Sequence

_STOP_TIMEOUT_S = 10.0
_KEPT_LOG_LINES = 200


class LocalProcess:
    """Its log goes to `log`, the last lines only, so that nothing blocks on a full pipe.

    Attributes: said: what the line of its log said from which on it serves.
    """

    def __init__(self, what: str, command: Sequence[str], serves: re.Pattern[str]) -> None:
        """Starts the process; returns once it serves. Raises: RuntimeError: it ended before it served, with its log."""
        self.log: deque[str] = deque(maxlen=_KEPT_LOG_LINES)
        # gRPC's own lines quote what peers sent, which may be no text.
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
        self.said = self._read_until(serves, what)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def stop(self) -> int:
        """Drains and ends the process; its exit status."""
        self.process.terminate()
        try:
            status = self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join()
        return status

    def _read_until(self, serves: re.Pattern[str], what: str) -> re.Match[str]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := serves.search(line):
                return found
        self.process.stderr.close()
        raise RuntimeError(f"{what} ended with {self.process.wait()}:\n{''.join(self.log)}")

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.log.extend(lines)
