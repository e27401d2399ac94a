"""What a dispatcher tells a scraper, while a real fleet answers, loses a board, and goes over to another version."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.chain import ReplyReport
from dispatcher_client.errors import MetricsError, OverloadedError, ReplyTimeoutError
from dispatcher_client.metrics.request_statistics import ChainKey, Outcome, RequestStatistics
from examples.local_boards import LocalBoards
from protos.v1.data_plane_pb2 import StageTiming
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import random_inputs
from tests.node_service.metrics.test_metrics import samples, scrape
from tests.transport.message_stream.by_hand import comes_true

FRAMES = 20
NOTHING: frozenset[tuple[str, str]] = frozenset()


def told(chain: Dispatcher) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples(scrape(f"http://{chain.metrics_address}/metrics"))


def test_requests_and_chains_are_told(boards: LocalBoards, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    x = random_inputs(bundle, 0)
    with Dispatcher(bundle, boards.named, check_sample=False, metrics="127.0.0.1:0") as chain:
        for _ in chain.stream([x] * FRAMES):
            pass
        found = told(chain)
        assert found["boardline_dispatcher_requests_total", frozenset({("outcome", "answered")})] == FRAMES
        assert found["boardline_dispatcher_requests_total", frozenset({("outcome", "failed")})] == 0
        assert found["boardline_dispatcher_request_seconds_count", NOTHING] == FRAMES
        key = frozenset({("deployment", bundle.deployment_id), ("chain", "0")})
        assert found["boardline_dispatcher_chain_seconds_count", key] == FRAMES
        waited_s = found["boardline_dispatcher_request_seconds_sum", NOTHING]
        assert 0 < found["boardline_dispatcher_chain_seconds_sum", key] < waited_s
        assert found["boardline_dispatcher_chain_open", key] == 1
        assert found["boardline_dispatcher_in_flight", key] == 0
        assert found["boardline_dispatcher_window", key] >= 2
        assert found["boardline_dispatcher_bound_frames_per_second", key] > FRAMES / waited_s
        stages = {
            (dict(labels)["stage"], dict(labels)["board"])
            for name, labels in found
            if name == "boardline_dispatcher_stage_info"
        }
        assert stages == {("0", "board1"), ("1", "board2")}
        assert found["boardline_certificate_expiry_timestamp_seconds", NOTHING] == OPERATOR.identity.ends_s
        text = scrape(f"http://{chain.metrics_address}/metrics", "application/openmetrics-text; version=1.0.0")
        families = parse_openmetrics(text)  # type: ignore[no-untyped-call]  # this parser has no types
        (info,) = [f for f in families if f.name == "boardline_dispatcher"]
        assert info.samples[0].labels["model"] == bundle.manifest.model_name
        address = chain.metrics_address
        registry = CollectorRegistry()
        registry.register(chain.collector)
        assert b"boardline_dispatcher_requests_total" in generate_latest(registry)
    assert chain.metrics_address is None
    with pytest.raises(OSError, match="refused"):
        scrape(f"http://{address}/metrics")


def test_failover_is_counted(store_root: Path, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    x = random_inputs(bundle, 0)
    with (
        LocalBoards(3, store_root) as running,
        Dispatcher(bundle, running.named, check_sample=False, metrics="127.0.0.1:0") as chain,
    ):
        chain.infer(x)
        running.boards[1].process.kill()
        for _ in range(5):
            chain.infer(x)
        found = told(chain)
        assert found["boardline_dispatcher_breaks_total", NOTHING] == 1
        assert found["boardline_dispatcher_failovers_total", NOTHING] == 1
        assert found["boardline_dispatcher_replays_total", NOTHING] >= 1
        boards_now = {dict(labels)["board"] for name, labels in found if name == "boardline_dispatcher_stage_info"}
        assert boards_now == {"board1", "board3"}


def test_versions_that_are_gone_are_forgotten(boards: LocalBoards, zoo_bundle: Callable[..., Bundle]) -> None:
    first, second = zoo_bundle("residual", "float32", 2), zoo_bundle("residual", "float32", 3)
    with Dispatcher(first, boards.named, check_sample=False, metrics="127.0.0.1:0") as chain:
        chain.infer(random_inputs(first, 0))
        chain.deploy(second)
        chain.infer(random_inputs(first, 0))
        text = str(told(chain))
        assert second.deployment_id in text
        assert first.deployment_id not in text
        assert told(chain)["boardline_dispatcher_request_seconds_count", NOTHING] == 2


def test_address_that_is_taken_is_refused(boards: LocalBoards, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    with Dispatcher(bundle, boards.named, check_sample=False, metrics="127.0.0.1:0") as chain:
        other = Dispatcher(bundle, boards.named, metrics=chain.metrics_address)
        with pytest.raises(MetricsError, match=f"cannot serve metrics on {chain.metrics_address}"):
            other.open()


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (lambda future: future.set_result(1), Outcome.ANSWERED),
        (lambda future: future.set_exception(ReplyTimeoutError("late")), Outcome.TIMED_OUT),
        (lambda future: future.set_exception(ValueError("x")), Outcome.FAILED),
        (lambda future: future.cancel(), Outcome.CANCELLED),
    ],
)
def test_every_end_of_a_request_is_counted_once(end: Callable[[Future[Any]], object], outcome: Outcome) -> None:
    statistics = RequestStatistics()
    future: Future[Any] = Future()
    statistics.follow(future, time.perf_counter())
    end(future)
    assert {o: n for o, n in statistics.outcomes().items() if n} == {outcome: 1}
    totals = statistics.requests()
    assert (totals is not None and totals.events == 1) == (outcome is Outcome.ANSWERED)


def test_bound_is_of_the_slowest_step_when_it_is_fast() -> None:
    statistics = RequestStatistics()
    key = ChainKey("model-1", 0)
    assert statistics.slowest_step_s(key) is None
    for n in range(100):
        slow_ns = 9_000_000 if n % 3 else 0  # of load
        timings = (
            StageTiming(decode_ns=1_000_000, compute_ns=2_000_000, encode_ns=1_000_000 + slow_ns),
            StageTiming(compute_ns=1_000_000, send_ns=5_000_000 + slow_ns),
        )
        statistics.hear(ReplyReport(0, n, 0.0, 0.01, timings, 1, 1, "model-1"))
    assert statistics.slowest_step_s(key) == pytest.approx(5e-3)


def test_refused_requests_are_counted(boards: LocalBoards, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    with Dispatcher(bundle, boards.named, check_sample=False, window=1, max_waiting=0, metrics="127.0.0.1:0") as chain:
        futures, refused = [], 0
        for _ in range(50):
            try:
                futures.append(chain.submit(random_inputs(bundle, 0)))
            except OverloadedError:
                refused += 1
        for future in futures:
            future.result()
        assert refused
        outcome = frozenset({("outcome", "refused")})
        assert comes_true(lambda: told(chain)["boardline_dispatcher_requests_total", outcome] == refused)
