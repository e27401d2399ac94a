"""`python -m examples.classify_folder BUNDLE BOARDS DIRECTORY`: sorts a folder's photographs by what boards see in them."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from dispatcher_client import Dispatcher
from dispatcher_client.photographs import classify_photographs, find_photographs


def main(bundle: str, boards: str, directory: str) -> int:
    """Prints the names of photographs by label, the surest first; 1 if some could not be read."""
    by_label = defaultdict(list)
    n_unread = 0
    with Dispatcher(bundle, boards) as chain:
        for seen in classify_photographs(chain, find_photographs([Path(directory)]), count=1):
            if seen.error:
                n_unread += 1
                print(seen.error, file=sys.stderr)
            else:
                (best,) = seen.classes
                by_label[best.label].append((best.score, seen.path.name))
    for label, found in sorted(by_label.items()):
        names = ", ".join(f"{name} ({score:.2f})" for score, name in sorted(found, reverse=True))
        print(f"{label}: {names}")
    return 1 if n_unread else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
