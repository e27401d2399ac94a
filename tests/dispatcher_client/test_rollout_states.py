"""A change of version does in each state what the table asks for, and nothing that it lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.rollout import Rollout
from dispatcher_client.rollout_states import ENDS, REQUESTS_WAIT, TRANSITIONS, RolloutEvent, RolloutState
from examples.local_boards import LocalBoards

MakeBundle = Callable[..., Bundle]


@pytest.mark.parametrize("state", RolloutState)
def test_every_state_may_fail_and_may_go_well_until_the_last(state: RolloutState) -> None:
    events = {event for before, event in TRANSITIONS if before is state}
    if state in ENDS:
        assert events == set()
    else:
        assert RolloutEvent.FAILED in events
        assert events > {RolloutEvent.FAILED}


def test_what_lets_requests_wait_ends_with_a_version_that_serves_or_an_error() -> None:
    after = {TRANSITIONS[pair] for pair in TRANSITIONS if pair[0] in REQUESTS_WAIT}
    assert after - REQUESTS_WAIT == {RolloutState.UNLOADING, RolloutState.ROLLED_BACK, RolloutState.CLOSED}


def test_event_that_a_state_lacks_is_a_defect_and_changes_nothing(
    boards: LocalBoards, zoo_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = zoo_bundle("residual", "float32"), zoo_bundle("residual", "float16")
    begun: list[Rollout] = []

    def unloaded(self: Rollout) -> RolloutEvent:
        begun.append(self)
        return RolloutEvent.UNLOADED

    monkeypatch.setattr(Rollout, "_ask", unloaded)
    with Dispatcher(one, boards.named) as chain:
        with pytest.raises(KeyError, match="ASKING"):
            chain.deploy(two)
        assert [rollout.state for rollout in begun] == [RolloutState.ASKING]
        assert chain.deployment_ids == (one.deployment_id,)


def test_every_state_but_the_last_has_its_work(
    store_root: Path, zoo_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = zoo_bundle("residual", "float32"), zoo_bundle("residual", "float16")
    seen: list[RolloutState] = []
    step = Rollout._step

    def note(self: Rollout) -> None:
        assert set(self._works) == set(RolloutState) - ENDS
        seen.append(self.state)
        step(self)

    monkeypatch.setattr(Rollout, "_step", note)
    with LocalBoards(3, store_root) as running, Dispatcher(one, running.named) as chain:
        chain.deploy(two)
    assert seen == [RolloutState.ASKING, RolloutState.OPENING, RolloutState.RETIRING, RolloutState.UNLOADING]
