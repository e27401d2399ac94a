"""Goes through all cases: emulates the boards, plans, deploys, measures everything in turns, and makes the rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.boards import EmulatedBoards
from benchmarks.boards.thread_quota import ThreadQuota
from benchmarks.chain.bundles import write_bundle
from benchmarks.chain.defer.cut_layers import shares_done
from benchmarks.chain.defer.run import defer_rate
from benchmarks.chain.errors import BaselineError
from benchmarks.chain.invoke_cpu import invoke_cpu_ms
from benchmarks.chain.measuring import RunRequest, SpareCore, deploy, measure_chain, measure_rate
from benchmarks.chain.planned_cuts import (
    PlannedCuts,
    chain_of,
    keep_cuts,
    kept_cuts,
    plan_cuts,
    replicas_of,
    unused_boards,
)
from benchmarks.chain.row import Row, make_row
from benchmarks.chain.settings import Settings
from benchmarks.chain.turns import Case, Turns, knows_invoke_cpu
from benchmarks.keras_models import keras_file, tflite_file
from bundle import Bundle
from planner.sources import open_model

_PLAN_TIMEOUT_S = 3600.0
_RUN_TIMEOUT_S = 1200.0
_DEFER_FRAMES = 12
OnStep = Callable[[str], None]


@dataclass
class Campaign:
    """One run of the benchmark.

    Attributes:
        model_file: the TFLite file of a model's name and dtype.
        notes: what a reader of the figures must know.
    """

    settings: Settings
    on_step: OnStep = lambda what: None
    model_file: Callable[[str, str], Path] = tflite_file
    notes: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[Row]:
        """Each model's rows once all of them are measured."""
        for link_mbit_s in self.settings.links_mbit_s:
            with EmulatedBoards(self.settings.specs(link_mbit_s)) as boards, tempfile.TemporaryDirectory() as scratch:
                self._note_emulation(boards)
                for model in self.settings.models:
                    for dtype in self.settings.dtypes:
                        yield from _Group(self, boards, Path(scratch), model, dtype, link_mbit_s).rows()

    def note(self, text: str) -> None:
        """Keeps a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def _note_emulation(self, boards: EmulatedBoards) -> None:
        if boards.warning is not None:
            self.note(boards.warning)
        for what, reason in sorted(boards.not_emulated.items()):
            self.note(f"not emulated: {what}: {reason}")


@dataclass
class _Group:
    """One model in one dtype on one cluster: all numbers of boards, in turns."""

    campaign: Campaign
    boards: EmulatedBoards
    scratch: Path
    model: str
    dtype: str
    link_mbit_s: float

    def rows(self) -> Iterator[Row]:
        settings = self.campaign.settings
        file = self.campaign.model_file(self.model, self.dtype)
        planned = self._planned(file)
        self._step("splitting")
        bundle = write_bundle(file, [p.cuts for p in planned.values()], self.scratch)
        name = bundle.manifest.model_name
        request = RunRequest(
            bundle.path,
            self.boards.named,
            replicas_of(name, self.boards.named[:1]),
            settings.codec,
            settings.seconds,
            settings.frames,
            self._spare(),
        )
        chains = {n: replace(request, plan=chain_of(name, self.boards.named, planned[n])) for n in planned}
        replicas = {
            n: replace(request, plan=replicas_of(name, self.boards.named[:n]))
            for n in planned
            if n > 1 and settings.with_replicas
        }
        self._deploy([*chains.values(), *replicas.values()])
        turns = {n: Turns() for n in planned}
        for turn in range(settings.turns):
            for n in planned:
                self._step(f"{n} boards, turn {turn + 1} of {settings.turns}")
                self._measure(turns[n], chains[n], replicas.get(n))
        for n in planned:
            if not knows_invoke_cpu(turns[n]):
                turns[n].estimated_invoke_ms = invoke_cpu_ms(bundle, planned[n].cuts)
        self._compare_with_defer(file, bundle, planned, turns)
        for n in settings.boards:
            yield make_row(self._case(n, planned[n]), turns[n], turns[1])

    def _planned(self, file: Path) -> dict[int, PlannedCuts]:
        """For each number of boards, and for one."""
        settings = self.campaign.settings
        found = {1: PlannedCuts((), None)}
        kept = {n: kept_cuts(file, n, settings.cores, self.link_mbit_s) for n in settings.boards if n > 1}
        missing = [n for n in kept if settings.replan or kept[n] is None]
        if missing:
            self._step(f"profiling and planning for {', '.join(map(str, missing))} boards")
            with self.boards.with_cores(settings.cores):
                made = self.boards.call(plan_cuts, file, self.boards.named, missing, timeout_s=_PLAN_TIMEOUT_S)
            for n, planned in made.items():
                keep_cuts(planned, file, n, settings.cores, self.link_mbit_s)
                kept[n] = planned
        found.update({n: cuts for n, cuts in kept.items() if cuts is not None})
        for said in unused_boards(found):
            self.campaign.note(f"{self.model} {self.dtype} at {self.link_mbit_s:g} Mbit/s: {said}")
        return found

    def _deploy(self, requests: list[RunRequest]) -> None:
        self._step("deploying")
        with self.boards.with_cores(None):
            for request in requests:
                self.boards.call(deploy, request, timeout_s=_RUN_TIMEOUT_S)

    def _measure(self, turns: Turns, chain: RunRequest, replicas: RunRequest | None) -> None:
        stages, latencies_ms, loaded = self.boards.call(measure_chain, chain, timeout_s=_RUN_TIMEOUT_S)
        turns.alone.append(stages)
        turns.latencies_alone_ms.extend(latencies_ms)
        turns.loaded.append(loaded)
        if replicas is not None:
            turns.replicas_images_per_s.append(self.boards.call(measure_rate, replicas, timeout_s=_RUN_TIMEOUT_S))

    def _compare_with_defer(
        self, file: Path, bundle: Bundle, planned: dict[int, PlannedCuts], turns: dict[int, Turns]
    ) -> None:
        settings = self.campaign.settings
        if not settings.with_defer or self.dtype != "float32":
            return
        model, frame = open_model(file), next(iter(bundle.load_sample()[0].values()))
        for n in settings.boards:
            self._step(f"DEFER-style, {n} boards")
            try:
                shares = shares_done(model, planned[n].cuts)
                turns[n].defer_images_per_s = defer_rate(
                    self.boards, keras_file(self.model), shares, frame, _DEFER_FRAMES
                )
            except (BaselineError, ImportError) as error:
                self.campaign.note(f"{self.model} on {n} boards: no DEFER-style chain: {error}")

    def _spare(self) -> SpareCore | None:
        if not self.campaign.settings.spare_core or "cpu" in self.boards.not_emulated:
            return None
        held = {b.spec.name: (b.process.pid, ThreadQuota(b.group)) for b in self.boards.boards}
        return SpareCore(self.campaign.settings.cores, held)

    def _case(self, n_boards: int, planned: PlannedCuts) -> Case:
        settings = self.campaign.settings
        return Case(
            model=self.model,
            dtype=self.dtype,
            boards=n_boards,
            used_boards=planned.n_boards,
            cores=settings.cores,
            spare_core=settings.spare_core,
            link_mbit_s=self.link_mbit_s,
            codec=settings.codec,
            cuts=planned.cuts,
            planned_images_per_s=planned.images_per_s,
        )

    def _step(self, what: str) -> None:
        self.campaign.on_step(f"{self.model} {self.dtype}, {self.link_mbit_s:g} Mbit/s: {what}")
