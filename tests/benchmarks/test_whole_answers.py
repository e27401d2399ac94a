"""Inputs whose answers tell them apart, or none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks import whole_answers
from benchmarks.whole_answers import INPUTS, AlikeError, inputs_and_answers
from bundle import Bundle


@pytest.mark.parametrize("name", ["residual", "two_inputs"])
def test_every_input_has_an_answer_of_its_own(zoo_bundle: Callable[..., Bundle], name: str) -> None:
    inputs, answers = inputs_and_answers(zoo_bundle(name, "float32"))
    assert len(inputs) == len(set(answers)) == INPUTS
    assert inputs_and_answers(zoo_bundle(name, "float32"))[1] == answers, "the same in each process"


def test_model_that_answers_alike_is_refused(
    zoo_bundle: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_answers, "_SHIFT", 0)
    with pytest.raises(AlikeError, match="16 inputs have 1 answers"):
        inputs_and_answers(zoo_bundle("two_inputs", "float32"))
