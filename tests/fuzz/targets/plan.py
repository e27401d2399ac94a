"""plan.yaml, which the planner writes and people edit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bundle.errors import PlanError
from bundle.plan_file import read_plan, render_plan
from tests.fuzz.target import Run, Target
from tests.fuzz.targets.boards import YAML_TOKENS

_WHOLE = b"""# made by a planner
model: resnet50
objective: throughput
chains:
  - stages:
      - board: pi1  # 12 ms
        until: 34
      - board: pi2
        until: conv5/out
      - board: pi3
  - stages: [{board: "10.0.0.1:50051"}]
"""


def _seeds() -> Iterator[bytes]:
    yield b"model: m\nobjective: throughput\nchains: [{stages: [{board: a}]}]\n"
    yield _WHOLE


def _start(scratch: Path) -> AbstractContextManager[Run]:
    path, again = scratch / "plan.yaml", scratch / "again.yaml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        plan = read_plan(path)
        again.write_text(render_plan(plan), encoding="utf-8")
        assert read_plan(again) == plan

    return nullcontext(read)


_WORDS = b"model: objective: chains: stages: board: until: throughput"
TARGET = Target("plan", _start, (PlanError,), _seeds, (*_WORDS.split(), *YAML_TOKENS), max_bytes=1024)
