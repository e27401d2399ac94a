"""A boards.yaml to begin with, from boards that announced themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import yaml

from dispatcher_client.discovery import Sighting, State

_HEADER = """\
# Drafted by `python -m dispatcher_client boards scan` from what is announced on the network, where anybody can announce anything.
# Keep the boards that are yours, and put them into the order of the chain. Each takes part only with a certificate of your
# fleet's authority: python -m dispatcher_client certs issue DIR --boards FILE. Unless they are given, these are measured or
# asked of the boards:
#    memory_mib: 700    # the most that partitions and frames may take there
#    threads: 4         # for the runtime
#    group: pis         # of boards that are alike, behind links that are alike
#    link_mbit_s: 940   # the board's own link
boards:
"""


def draft(sightings: Sequence[Sighting]) -> str:
    """The file: boards that are not refused, each name and address once; the other boards in comments, with the reason.

    Empty: none is left.
    """
    taken: set[str] = set()
    listed, left_out = [], []
    # A board that showed its certificate has its name before one that only says it.
    for sighting in sorted(sightings, key=lambda s: s.state is not State.VERIFIED):
        if sighting.address is None:
            continue
        clash = taken & {sighting.name, str(sighting.address)}
        if sighting.state is State.REFUSED:
            left_out.append((sighting, f"refused: {sighting.why}"))
        elif clash:
            left_out.append((sighting, f"{max(clash)} is above already."))
        else:
            taken |= {sighting.name, str(sighting.address)}
            listed.append(sighting)
    if not listed:
        return ""
    entries = "".join(_entry(sighting) for sighting in sorted(listed, key=lambda s: s.name))
    return _HEADER + entries + "".join(_comments(left_out))


def _entry(sighting: Sighting) -> str:
    # What is a number or a truth to YAML, as 1.5 and no, it writes in quotes.
    entry = yaml.safe_dump([{"name": sighting.name, "address": str(sighting.address)}], sort_keys=False)
    return textwrap.indent(f"# {_facts(sighting)}\n{entry}", "  ")


def _facts(sighting: Sighting) -> str:
    said = sighting.announcement
    assert said is not None, "it is not unreadable"
    memory = [f"{sighting.memory_bytes // 2**20} MiB of memory"] if sighting.memory_bytes else []
    known = ", ".join([said.architecture, f"{said.cores} cores", said.runtime, *memory])
    if sighting.state is State.VERIFIED:
        return f"It showed the certificate of its name, and says: {known}."
    speaks = "" if said.tls else ", plaintext"
    return f"Unverified: nobody has asked for its certificate. It is said to be: {known}{speaks}."


def _comments(left_out: Sequence[tuple[Sighting, str]]) -> Iterator[str]:
    if left_out:
        yield "# Left out:\n"
    for sighting, why in left_out:
        yield f"#    {sighting.name} at {sighting.address}: {why}\n"
