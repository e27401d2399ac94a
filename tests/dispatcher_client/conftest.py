"""A bundle for two chains side by side that are cut differently."""

from __future__ import annotations

import pytest

from bundle import Bundle, Plan, PlannedChain, PlannedStage
from bundle.plan_file import render_plan
from tests.bundles import make_bundle

# Operators of the zoo's residual model.
_CUT = 9


@pytest.fixture(scope="session")
def two_chains(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Two splittings, and a plan for three boards: two parts on board1 and board2, beside them the whole model on board3."""
    bundle = make_bundle(tmp_path_factory.mktemp("two") / "parts", "residual", "int8", cut_lists=[[str(_CUT)], []])
    chains = (
        PlannedChain((PlannedStage("board1", _CUT), PlannedStage("board2"))),
        PlannedChain((PlannedStage("board3"),)),
    )
    text = render_plan(Plan(bundle.manifest.model_name, "throughput", chains))
    (bundle.path / "plan.yaml").write_text(text, encoding="utf-8")
    return bundle
