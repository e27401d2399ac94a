"""Goes through all cases: emulates the boards, plans, deploys, measures everything in turns, and makes the rows."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.boards import EmulatedBoards
from benchmarks.chain.bundles import BatchedBundle, write_batched
from benchmarks.chain.defer.cut_layers import shares_done
from benchmarks.chain.defer.run import defer_rate
from benchmarks.chain.errors import BaselineError
from benchmarks.chain.invoke_cpu import invoke_cpu_ms
from benchmarks.chain.measuring import RunRequest, deploy, measure_chain, measure_rate
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
from benchmarks.chain.secure_boards import SecureBoards, secure_boards, spare_core
from benchmarks.chain.settings import Settings
from benchmarks.chain.turns import Case, Turns, knows_invoke_cpu
from benchmarks.keras_models import keras_file, tflite_file
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
        settings = self.settings
        specs = settings.specs(settings.links_mbit_s[0])
        with (
            tempfile.TemporaryDirectory() as scratch,
            EmulatedBoards(specs) as boards,
            secure_boards(specs, Path(scratch)) if settings.with_tls else contextlib.nullcontext() as secure,
        ):
            self._note_emulation(boards)
            # Links change while the boards stay: they keep what they have measured of a model's parts.
            for model, dtype, link_mbit_s in itertools.product(settings.models, settings.dtypes, settings.links_mbit_s):
                for cluster in [boards] if secure is None else [boards, secure.boards]:
                    if "rate" not in cluster.not_emulated:
                        for board in cluster.boards:
                            cluster.change_link(board.spec.name, link_mbit_s * 1e6)
                yield from _Group(self, boards, secure, Path(scratch), model, dtype, link_mbit_s).rows()

    def note(self, text: str) -> None:
        """Keeps a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def _note_emulation(self, boards: EmulatedBoards) -> None:
        if boards.warning is not None:
            self.note(boards.warning)
        for what, reason in sorted(boards.not_emulated.items()):
            self.note(f"not emulated: {what}: {reason}")


@dataclass(frozen=True)
class _Split:
    """One model for one batch: cuts, runs and what they gave, by the number of boards."""

    batch: int
    written: BatchedBundle
    cuts: dict[int, PlannedCuts]
    chains: dict[int, RunRequest]
    replicas: dict[int, RunRequest]
    secure: dict[int, RunRequest]
    turns: dict[int, Turns]
    secure_turns: dict[int, Turns]

    def estimate_invoke(self) -> None:
        """Where services do not say what `invoke` takes of the processor."""
        for n, turns in [*self.turns.items(), *self.secure_turns.items()]:
            if not knows_invoke_cpu(turns):
                frame_ms = invoke_cpu_ms(self.written.bundle, self.cuts[n].cuts)
                turns.estimated_invoke_ms = tuple(ms / self.batch for ms in frame_ms)


@dataclass
class _Group:
    """One model in one dtype on one cluster: all batches and numbers of boards, in turns."""

    campaign: Campaign
    boards: EmulatedBoards
    secure: SecureBoards | None
    scratch: Path
    model: str
    dtype: str
    link_mbit_s: float

    def rows(self) -> Iterator[Row]:
        settings = self.campaign.settings
        file = self.campaign.model_file(self.model, self.dtype)
        planned = self._planned(file)
        splits = [self._split(file, batch, planned) for batch in settings.batches]
        requests = [request for split in splits for request in (*split.chains.values(), *split.replicas.values())]
        self._deploy(self.boards, requests)
        if self.secure is not None:
            self._deploy(self.secure.boards, [request for split in splits for request in split.secure.values()])
        for turn in range(settings.turns):
            for n in planned:
                for split in splits:
                    batch = f", batch {split.batch}" if split.batch > 1 else ""
                    self._step(f"{n} boards{batch}, turn {turn + 1} of {settings.turns}")
                    self._measure(self.boards, split.turns[n], split.chains[n], split.replicas.get(n))
                    if self.secure is not None:
                        self._measure(self.secure.boards, split.secure_turns[n], split.secure[n])
        for split in splits:
            split.estimate_invoke()
        self._compare_with_defer(file, planned, splits)
        for n in settings.boards:
            for split in splits:
                case = self._case(n, split)
                yield make_row(case, split.turns[n], split.turns[1])
                if split.secure:
                    yield make_row(replace(case, tls=True), split.secure_turns[n], split.turns[1], split.turns[n])

    def _split(self, file: Path, batch: int, planned: dict[int, PlannedCuts]) -> _Split:
        """The model for a batch, at the places that were planned for one image; what is predicted is so, too."""
        settings = self.campaign.settings
        self._step("splitting" if batch == 1 else f"splitting for a batch of {batch}")
        written = write_batched(file, [p.cuts for p in planned.values()], batch, self.scratch)
        cuts = {
            n: PlannedCuts(written.cuts[p.cuts], p.images_per_s if batch == 1 else None) for n, p in planned.items()
        }
        name = written.bundle.manifest.model_name
        request = RunRequest(
            written.bundle.path,
            self.boards.named,
            replicas_of(name, self.boards.named[:1]),
            settings.codec,
            settings.seconds,
            settings.frames,
            None if not settings.spare_core else spare_core(self.boards, settings.cores),
        )
        chains = {n: replace(request, plan=chain_of(name, self.boards.named, cuts[n])) for n in cuts}
        replicas = {
            n: replace(request, plan=replicas_of(name, self.boards.named[:n]))
            for n in cuts
            if n > 1 and settings.with_replicas
        }
        secure = {} if self.secure is None else {n: self.secure.request(chains[n]) for n in chains}
        turns, secure_turns = ({n: Turns() for n in cuts} for _ in range(2))
        return _Split(batch, written, cuts, chains, replicas, secure, turns, secure_turns)

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

    def _deploy(self, boards: EmulatedBoards, requests: list[RunRequest]) -> None:
        self._step("deploying")
        with boards.with_cores(None):
            for request in requests:
                boards.call(deploy, request, timeout_s=_RUN_TIMEOUT_S)

    def _measure(
        self, boards: EmulatedBoards, turns: Turns, chain: RunRequest, replicas: RunRequest | None = None
    ) -> None:
        stages, latencies_ms, loaded = boards.call(measure_chain, chain, timeout_s=_RUN_TIMEOUT_S)
        turns.alone.append(stages)
        turns.latencies_alone_ms.extend(latencies_ms)
        turns.loaded.append(loaded)
        if replicas is not None:
            turns.replicas_images_per_s.append(boards.call(measure_rate, replicas, timeout_s=_RUN_TIMEOUT_S))

    def _compare_with_defer(self, file: Path, planned: dict[int, PlannedCuts], splits: list[_Split]) -> None:
        settings = self.campaign.settings
        if not settings.with_defer or self.dtype != "float32":
            return
        model, frame = open_model(file), next(iter(splits[0].written.bundle.load_sample()[0].values()))[:1]
        for n in settings.boards:
            self._step(f"DEFER-style, {n} boards")
            try:
                shares = shares_done(model, planned[n].cuts)
                rate = defer_rate(self.boards, keras_file(self.model), shares, frame, _DEFER_FRAMES)
                for split in splits:
                    split.turns[n].defer_images_per_s = rate
            except (BaselineError, ImportError) as error:
                self.campaign.note(f"{self.model} on {n} boards: no DEFER-style chain: {error}")

    def _case(self, n_boards: int, split: _Split) -> Case:
        settings, planned = self.campaign.settings, split.cuts[n_boards]
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
            batch=split.batch,
            answers_difference=split.written.difference,
        )

    def _step(self, what: str) -> None:
        self.campaign.on_step(f"{self.model} {self.dtype}, {self.link_mbit_s:g} Mbit/s: {what}")
