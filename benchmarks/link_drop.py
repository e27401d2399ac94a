"""A link's rate falls tenfold under load: how soon the codecs follow. `python -m benchmarks.link_drop`."""

from __future__ import annotations
