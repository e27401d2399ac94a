"""Turns what a dispatcher knows into metric families when Prometheus asks; between scrapes nothing is computed.

Labels are the versions and chains that serve, stages, boards of the inventory, and outcomes; all of them bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from dispatcher_client.incidents import Incident, Incidents
from dispatcher_client.metrics.request_statistics import ChainKey, RequestStatistics
from dispatcher_client.placement import ChainPlacement
from monitoring.histograms import histogram_family

_CHAIN = ("deployment", "chain")
_INCIDENTS = {
    Incident.BREAK: ("boardline_dispatcher_breaks", "Chains that broke."),
    Incident.FAILOVER: (
        "boardline_dispatcher_failovers",
        "Times that a broken chain went on, over other boards or again.",
    ),
    Incident.RETRY: ("boardline_dispatcher_retries", "Ways to mend a chain that were tried and failed."),
    Incident.REPLAY: ("boardline_dispatcher_replays", "Requests that were sent again."),
}


@dataclass(frozen=True)
class Load:
    """What serves at present: each chain's placement, most requests in flight and requests in flight, and open chains' indices."""

    placements: Sequence[ChainPlacement]
    windows: Sequence[int]
    in_flight: Sequence[int]
    open_chains: Sequence[int]


@dataclass(frozen=True)
class DispatcherSources:
    """Where the figures come from. `certificate_ends_s` gives seconds since 1970; None: plaintext."""

    version: str
    model: Callable[[], str]
    requests: RequestStatistics
    incidents: Incidents
    load: Callable[[], Load]
    waiting: Callable[[], int]
    certificate_ends_s: Callable[[], float | None]


class DispatcherCollector(Collector):
    """The series of one dispatcher; for a registry of the application's own, too."""

    def __init__(self, sources: DispatcherSources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """All families."""
        load = self._sources.load()
        yield from self._dispatcher()
        yield from self._requests()
        yield from self._chains(load)
        yield from self._bounds(load)

    def _dispatcher(self) -> Iterator[Metric]:
        sources = self._sources
        info = {"version": sources.version, "model": sources.model()}
        yield InfoMetricFamily("boardline_dispatcher", "The dispatcher, and the model that it serves.", info)
        ends_s = sources.certificate_ends_s()
        yield GaugeMetricFamily(
            "boardline_plaintext", "1 if the dispatcher speaks plaintext with its boards.", float(ends_s is None)
        )
        if ends_s is not None:
            yield GaugeMetricFamily(
                "boardline_certificate_expiry_timestamp_seconds",
                "When the dispatcher's certificate ends, since 1970.",
                ends_s,
            )

    def _requests(self) -> Iterator[Metric]:
        sources = self._sources
        ended = CounterMetricFamily(
            "boardline_dispatcher_requests", "Requests by what became of them.", labels=("outcome",)
        )
        for outcome, times in sources.requests.outcomes().items():
            ended.add_metric((outcome.value,), times)
        yield ended
        totals = sources.requests.requests()
        what = "From the application's call to the answer, waiting for room in a window included."
        yield histogram_family("boardline_dispatcher_request_seconds", what, (), [((), totals)] if totals else [])
        yield GaugeMetricFamily(
            "boardline_dispatcher_waiting", "Calls that wait for room in a window.", float(sources.waiting())
        )
        for incident, (name, what) in _INCIDENTS.items():
            yield CounterMetricFamily(name, what, sources.incidents.times(incident))

    def _chains(self, load: Load) -> Iterator[Metric]:
        totals = self._sources.requests.chains({p.splitting.deployment_id for p in load.placements})
        rows = [((key.deployment_id, str(key.chain_index)), value) for key, value in totals.items()]
        what = "From sending a frame into a chain to its answer."
        yield histogram_family("boardline_dispatcher_chain_seconds", what, _CHAIN, rows)
        open_chains = [float(index in load.open_chains) for index in range(len(load.placements))]
        for name, what, values in (
            ("boardline_dispatcher_chain_open", "1 while the chain sends frames.", open_chains),
            ("boardline_dispatcher_window", "Most frames in flight in a chain, at present.", load.windows),
            ("boardline_dispatcher_in_flight", "Frames in flight in a chain.", load.in_flight),
        ):
            yield _by_chain(name, what, zip(load.placements, values))
        stages = InfoMetricFamily(
            "boardline_dispatcher_stage", "Which board serves a stage.", labels=(*_CHAIN, "stage", "board")
        )
        for placement in load.placements:
            for stage in placement.stages:
                stages.add_metric((*_key(placement), str(stage.stage_index), stage.board.name), {})
        yield stages

    def _bounds(self, load: Load) -> Iterator[Metric]:
        found = []
        for placement in load.placements:
            key = ChainKey(placement.splitting.deployment_id, placement.stages[0].chain_index)
            step_s = self._sources.requests.slowest_step_s(key)
            if step_s is not None:
                found.append((placement, 1 / step_s))
        name = "boardline_dispatcher_bound_frames_per_second"
        yield _by_chain(name, "What the chain's slowest stage or link could do, from its fast frames of late.", found)


def _by_chain(name: str, what: str, rows: Iterable[tuple[ChainPlacement, float]]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=_CHAIN)
    for placement, value in rows:
        family.add_metric(_key(placement), float(value))
    return family


def _key(placement: ChainPlacement) -> tuple[str, str]:
    return placement.splitting.deployment_id, str(placement.stages[0].chain_index)
