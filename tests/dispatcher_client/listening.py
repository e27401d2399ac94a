"""`python -m tests.dispatcher_client.listening BOARD`: says when a board comes to the network, and when it goes."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from zeroconf import ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from transport.announcement import SERVICE_TYPE

_WORDS = {ServiceStateChange.Added: "came", ServiceStateChange.Removed: "went"}


def listen(instance: str) -> None:
    """Prints `came` and `went`; ends after a minute."""

    def on_change(name: str, state_change: ServiceStateChange, **_: Any) -> None:
        if name == f"{instance}.{SERVICE_TYPE}" and state_change in _WORDS:
            print(_WORDS[state_change], flush=True)

    async def browse() -> None:
        async with AsyncZeroconf() as network:
            AsyncServiceBrowser(network.zeroconf, SERVICE_TYPE, handlers=[on_change])
            await asyncio.sleep(60)

    asyncio.run(browse())


if __name__ == "__main__":
    listen(sys.argv[1])
