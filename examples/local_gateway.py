"""A gateway as a real process on this machine's loopback, before boards that are there."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from examples.local_process import LocalProcess

_SERVES = re.compile(r" on (\S+) for gRPC and on https?://(\S+)/v2")


class LocalGateway(LocalProcess):
    """`python -m dispatcher_client serve`, for gRPC and HTTP. Attributes: grpc, http: host:port."""

    def __init__(
        self, bundles: Sequence[str], boards: str, credentials: Path | None, arguments: Sequence[str] = ()
    ) -> None:
        """Args: bundles: as --bundle takes them. boards: path of a boards.yaml, or addresses separated by commas.
        credentials: None: plaintext with boards that speak it.

        Raises: RuntimeError: it ended before it served, with its log.
        """
        command = [sys.executable, "-m", "dispatcher_client", "serve", "--boards", boards]
        command += ["--insecure"] if credentials is None else ["--credentials", str(credentials)]
        command += ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        for bundle in bundles:
            command += ["--bundle", bundle]
        super().__init__("the gateway", [*command, *arguments], _SERVES)
        self.grpc, self.http = self.said[1], self.said[2]

    def __enter__(self) -> LocalGateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
