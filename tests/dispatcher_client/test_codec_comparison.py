"""What lossy codecs change of the answers of real node services."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import BitIdentityError, Board, BoardRefusedError, ChainClosedError, Dispatcher
from dispatcher_client.bench import ReplyLog
from dispatcher_client.status import read_status
from examples.local_boards import LocalBoard, LocalBoards
from fleet.event_loop import run_in_loop
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import random_inputs, with_a_wrong_answer
from transport.address import Address

MakeBundle = Callable[..., Bundle]


def streams(boards: LocalBoards, deployment_id: str) -> list[int]:
    rows = run_in_loop(read_status(boards.named, credentials=OPERATOR, timeout_s=5))
    return [s["streams"] for row in rows for s in row["stages"] if s["deployment_id"] == deployment_id]


@pytest.mark.parametrize(("batch", "n_inputs"), [(1, 12), (4, 10)])
def test_figures_are_those_of_chains_that_use_the_codec_and_of_ones_that_use_none(
    boards: LocalBoards, zoo_bundle: MakeBundle, batch: int, n_inputs: int
) -> None:
    bundle = zoo_bundle("residual", "float32", 3, batch)
    generator = np.random.default_rng(7)
    shape = [1, *bundle.manifest.inputs[0].shape[1:]]
    inputs = [generator.standard_normal(shape).astype(np.float32) for _ in range(n_inputs)]
    answers = {}
    for codec in ("raw", "q4", "half"):
        with Dispatcher(bundle, boards.named, codec=codec) as chain:
            answers[codec] = np.concatenate([np.asarray(a) for a in chain.stream(inputs)])
    log = ReplyLog()
    with Dispatcher(bundle, boards.named, codec="auto,q4,half,q4", on_reply=log) as chain:
        effects = chain.compare_codecs(inputs)
    assert log.reports == []  # the application has asked nothing
    assert [(e.chain, e.codec, e.inputs, e.refusal) for e in effects] == [
        (0, "q4", n_inputs, ""),
        (0, "half", n_inputs, ""),
    ]
    for effect in effects:
        (found,) = effect.outputs
        differences = np.abs(answers[effect.codec].astype(np.float64) - answers["raw"])
        assert found.largest_difference == pytest.approx(differences.max(), rel=1e-6)
        assert found.largest_difference > 0
        assert found.share_of_range == pytest.approx(differences.max() / np.ptp(answers["raw"]), rel=1e-6)
        agreeing = answers[effect.codec].argmax(1) == answers["raw"].argmax(1)
        assert found.top1_axis == 1
        assert found.top1_agreement == pytest.approx(agreeing.mean())


def test_every_chain_is_compared_with_itself(boards: LocalBoards, two_chains: Bundle) -> None:
    with Dispatcher(two_chains, boards.named, codec="q8,half") as chain:
        effects = chain.compare_codecs([random_inputs(two_chains, seed) for seed in range(4)])
    assert [(e.chain, e.codec) for e in effects] == [(0, "q8"), (0, "half"), (1, "q8"), (1, "half")]
    # int8 tensors are as small as these codecs would make them, and go losslessly.
    assert {e.outputs[0].largest_difference for e in effects} == {0.0}


def test_nothing_is_compared_without_lossy_codecs_or_without_a_chain(
    boards: LocalBoards, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with Dispatcher(bundle, boards.named) as chain:
        assert not chain.has_lossy_codecs
        assert chain.compare_codecs([x]) == []
    closed = Dispatcher(bundle, boards.named, codec="q8")
    assert closed.has_lossy_codecs
    with pytest.raises(ChainClosedError):
        closed.compare_codecs([x])


def test_comparing_ends_when_its_time_is_over_and_closes_its_streams(
    boards: LocalBoards, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("residual", "float32")
    with Dispatcher(bundle, boards.named, codec="raw,half,q8") as chain:
        (half, q8) = chain.compare_codecs([random_inputs(bundle, seed) for seed in range(50)], budget_s=0.0)
        assert half.inputs == q8.inputs == 1
        assert streams(boards, bundle.deployment_id) == [1, 1, 1]


def test_codec_that_a_board_lacks_is_said_to_be_not_compared(
    boards: LocalBoards, zoo_bundle: MakeBundle, store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = zoo_bundle("residual", "float32")
    site = store_root / "site"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text("import sys\nsys.modules['zfpy'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    lacking = LocalBoard("without-zfp", store_root / "store")
    monkeypatch.undo()
    try:
        places = [*boards.named[:2], Board("without-zfp", Address.parse(lacking.address))]
        with Dispatcher(bundle, places, codec="raw,zfp:1e-3,half") as chain:
            zfp, half = chain.compare_codecs([random_inputs(bundle, 0)])
            chain.infer(random_inputs(bundle, 0))
        assert (zfp.inputs, zfp.outputs) == (0, ())
        assert "without-zfp: has none of the codecs zfp" in zfp.refusal
        assert str(zfp).startswith("codec zfp:0.001 is not compared: board without-zfp")
        assert half.inputs == 1
        with pytest.raises(BoardRefusedError, match="none of the codecs zfp"):
            Dispatcher(bundle, places, codec="zfp:1e-3").open()
    finally:
        lacking.stop()


@pytest.mark.parametrize("codec", ["q4", "raw,half", "zfp:1e-1,q8"])
def test_lossy_codec_does_not_hide_a_chain_that_answers_wrong(
    boards: LocalBoards, zoo_bundle: MakeBundle, tmp_path: Path, codec: str
) -> None:
    wrong = with_a_wrong_answer(zoo_bundle("residual", "float32"), tmp_path / "wrong")
    with pytest.raises(BitIdentityError, match="differs from the whole model's"):
        Dispatcher(wrong, boards.named, codec=codec).open()
    assert not any(streams(boards, wrong.deployment_id))
    with Dispatcher(wrong, boards.named, codec=codec, check_sample=False) as chain:
        chain.infer(random_inputs(wrong, 0))


def test_what_lossy_codecs_change_of_the_sample_is_information_and_no_warning(
    boards: LocalBoards, zoo_bundle: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = zoo_bundle("residual", "float32")
    with caplog.at_level(logging.INFO, "dispatcher_client"), Dispatcher(bundle, boards.named, codec="raw,q4,half"):
        assert streams(boards, bundle.deployment_id) == [1, 1, 1]
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    for record, codec in zip(caplog.records, ("q4", "half")):
        text = record.getMessage()
        assert text.startswith(
            f"the answer of the chain to the bundle's sample, codec {codec}: probabilities by up to "
        )
        assert "of its range" in text
        assert "first choice agrees for" in text


def test_sample_is_compared_on_every_chain(
    boards: LocalBoards, two_chains: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "dispatcher_client"), Dispatcher(two_chains, boards.named, codec="half"):
        pass
    assert [r.getMessage().split(" to the")[0] for r in caplog.records] == [
        "the answer of chain 0 (board1 -> board2)",
        "the answer of chain 1 (board3)",
    ]
