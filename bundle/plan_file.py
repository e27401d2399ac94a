"""plan.yaml: the plan as users see and edit it, with the planner's predictions as comments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import yaml

from bundle.errors import PlanError
from bundle.plan import Plan, PlannedChain, PlannedSegment, PlannedStage, find_faults
from terminal import printable
from terminal.yaml_file import read_yaml

_EXAMPLE = "model: resnet50\nobjective: throughput\nchains:\n  - stages:\n      - board: pi1\n        until: 34\n      - board: pi2"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
# A line that the writer folds would be no key's value any more.
_NEVER_FOLD = 2**31


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Reads and checks a plan.

    Raises: PlanError: unreadable, against the schema, a board named twice, or cuts that do not rise; all places at
        once, with the line and the fix.
    """
    document = read_yaml(os.fspath(path), __package__, "plan.schema.json", PlanError, _EXAMPLE)
    content = document.content
    chains = tuple(_chain(entry) for entry in content["chains"])
    faults = [str(document.error(place, text)) for place, text in find_faults(chains)]
    if faults:
        raise PlanError("\n".join(faults))
    return Plan(content["model"], content["objective"], chains)


def render_plan(plan: Plan, header: Sequence[str] = (), stage_comments: Sequence[Sequence[str]] = ()) -> str:
    """The plan as YAML that `read_plan` gives back, for people.

    Args:
        header: lines of comment above the plan.
        stage_comments: for each chain, a comment for each of its stages; what is missing or empty is left out.
    """
    lines = [f"# {printable(line)}".rstrip() for text in header for line in text.splitlines() or [""]]
    lines += [f"model: {_scalar(plan.model)}", f"objective: {_scalar(plan.objective)}", "chains:"]
    for chain_index, chain in enumerate(plan.chains):
        comments = stage_comments[chain_index] if chain_index < len(stage_comments) else ()
        lines.append("  - stages:")
        for index, stage in enumerate(chain.stages):
            comment = printable(comments[index]) if index < len(comments) else ""
            lines.append(f"      - board: {_scalar(stage.board)}" + (f"  # {comment}" if comment else ""))
            if stage.until is not None:
                lines.append(f"        until: {_scalar(stage.until)}")
            if stage.shared_with:
                lines.append(f"        shared_with: [{', '.join(map(_scalar, stage.shared_with))}]")
            if stage.segments:
                lines += [
                    "        segments:",
                    *(f"          - {render_segment(segment)}" for segment in stage.segments),
                ]
    return "\n".join(lines) + "\n"


def _chain(entry: dict[str, Any]) -> PlannedChain:
    return PlannedChain(tuple(map(_stage, entry["stages"])))


def _stage(entry: dict[str, Any]) -> PlannedStage:
    segments = tuple(
        PlannedSegment(s.get("by", ""), tuple(map(float, s["shares"])), None if "until" not in s else int(s["until"]))
        for s in entry.get("segments", ())
    )
    return PlannedStage(str(entry["board"]), _cut(entry.get("until")), tuple(entry.get("shared_with", ())), segments)


def _decimal(share: float) -> str:
    """Without an exponent: YAML takes 5e-05 for text."""
    return f"{share:.6f}".rstrip("0").rstrip(".")


def render_segment(segment: PlannedSegment) -> str:
    """As a plan has it, on one line."""
    until = "" if segment.until is None else f"until: {segment.until}, "
    by = f"by: {segment.by}, " if segment.by else ""
    return f"{{ {until}{by}shares: [{', '.join(map(_decimal, segment.shares))}] }}"


def _cut(until: str | int | float | None) -> str | int | None:
    return int(until) if isinstance(until, float) else until  # to a JSON schema, 34.0 is an integer


def _scalar(value: str | int) -> str:
    """A value as YAML on one line: plain where that reads back as the same text, else quoted with escapes."""
    if isinstance(value, int):
        return str(value)
    if value and _LETTERS.issuperset(value) and value[0].isalpha() and yaml.safe_load(value) == value:
        return value
    return yaml.safe_dump(value, default_style='"', width=_NEVER_FOLD).strip()
