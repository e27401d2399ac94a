"""`python -m tests.docs.run_page PAGE`: runs a page's blocks, in a network of its own; see test_pages.py."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from unittest import SkipTest

from tests.docs.page import parse

# Addresses that the pages give to boards and to the machines beside them: all are this one's loopback.
ADDRESSES = "10.0.0.0/24"


def main(page: Path) -> None:
    """Ends with status 1 and the block's place if one fails."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
    subprocess.run(["ip", "route", "add", "local", ADDRESSES, "dev", "lo"], check=True, timeout=10)
    sys.path.insert(0, str(Path.cwd()))  # as in `python -m`, for what the page wrote
    for example in parse(page):
        begun_s = time.perf_counter()
        place = f"{page.name}:{example.line}"
        try:
            example.evaluate()
        except SkipTest as reason:
            print(f"{place} left out: {reason}", flush=True)
        except Exception as error:
            print(f"{place}\n{error}", flush=True)
            raise
        else:
            print(f"{place} {time.perf_counter() - begun_s:.1f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
