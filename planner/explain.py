"""A plan on the terminal: its stages, what limits it, and the plans next to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bundle.plan import Plan
from planner.report import Alternative, ChainReport, PlanReport, Proof, SharingReport, StageReport
from terminal import print_table

_MS = 1e3
_MIB = 2**20
_BAR_CELLS = 12
_SHARING_COLUMNS = ("operators", "shared by", "shares")
_COLUMNS = ("board", "busy", "stage", "operators", "in kB", "link ms", "compute ms", "busy ms", "MiB", "of MiB")


def print_plan(report: PlanReport, *, explain: bool = False) -> None:
    """Tables on stdout, one per chain, and what they promise; with `explain` also why nothing else is better."""
    for index, chain in enumerate(report.chains):
        several = len(report.chains) > 1
        title = f"{report.model}, chain {index + 1} of {len(report.chains)}" if several else report.model
        print_table(title, _COLUMNS, _rows(chain), text_columns=2)
    for stage in report.stages:
        if stage.sharing is not None:
            print_table(f"{stage.label}, shared", _SHARING_COLUMNS, _shared_rows(stage.sharing), text_columns=2)
    lines = [_headline(report), *_limits(report), *_sharing(report)]
    if explain:
        lines += [*(_compare(report, other) for other in report.alternatives), *_left_out(report), *_revision(report)]
    for line in [*lines, *(f"note: {note}" for note in report.notes)]:
        print(line)


def comment_plan(report: PlanReport, plan: Plan) -> tuple[list[str], list[list[str]]]:
    """What `bundle.plan_file.render_plan` writes as comments: lines above, and one per stage."""
    header = [f"made for {plan.objective}: {_headline(report)}", *_limits(report), *_sharing(report)]
    return header, [[_comment(stage) for stage in chain.stages] for chain in report.chains]


def _comment(stage: StageReport) -> str:
    if stage.sharing is not None:
        shares = ", ".join(f"{share.board} {share.compute_s * _MS:.2f} ms" for share in stage.sharing.boards)
        return f"{stage.stage_s * _MS:.2f} ms: {shares}"
    return f"{stage.stage_s * _MS:.2f} ms, {stage.memory_bytes / _MIB:.0f} MiB"


def _rows(chain: ChainReport) -> Iterator[Sequence[object]]:
    for stage in chain.stages:
        yield _stage_row(stage, chain.bottleneck_s)
    share = chain.answer_link_s / chain.bottleneck_s
    yield (
        "(answer)",
        _bar(share),
        "",
        "",
        f"{chain.answer_bytes / 1e3:.1f}",
        f"{chain.answer_link_s * _MS:.2f}",
        "",
        "",
        "",
        "",
    )


def _stage_row(stage: StageReport, bottleneck_s: float) -> Sequence[object]:
    limit = stage.memory_limit_bytes
    return (
        stage.label,
        _bar(max(stage.stage_s, stage.link_s) / bottleneck_s),
        stage.stage,
        f"{stage.start_op}-{stage.stop_op - 1}",
        f"{stage.arriving_bytes / 1e3:.1f}",
        f"{stage.link_s * _MS:.2f}",
        f"{stage.compute_s * _MS:.2f}",
        f"{stage.stage_s * _MS:.2f}",
        f"{stage.memory_bytes / _MIB:.1f}",
        "any" if limit == float("inf") else f"{limit / _MIB:.0f}",
    )


def _shared_rows(sharing: SharingReport) -> Iterator[Sequence[object]]:
    for start_op, stop_op, by, shares in sharing.segments:
        whole = sum(shares)
        parts = " : ".join(f"{share / whole:.0%}" for share in shares)
        yield f"{start_op}-{stop_op - 1}", by or "one board", parts
    times = " : ".join(f"{share.compute_s * _MS:.2f}" for share in sharing.boards)
    yield "compute ms", "", times


def _sharing(report: PlanReport) -> Iterator[str]:
    """What boards that share stages exchange, and what they gain in latency."""
    labels = []
    for stage in report.stages:
        if stage.sharing is not None:
            labels.append(stage.label)
            yield f"{stage.label} exchange {stage.sharing.exchanged_bytes / 1e3:.0f} kB for a frame"
    other = next((other for other in report.alternatives if other.latency_s), None)
    if labels and report.objective == "latency" and other is not None and other.latency_s is not None:
        yield f"{other.latency_s / report.latency_s:.2f} times as soon as {other.what}"


def _bar(share: float) -> str:
    """How much of the time between two answers the step is busy: full for the slowest."""
    full = round(share * _BAR_CELLS)
    return "█" * full + "·" * (_BAR_CELLS - full) + f" {share:4.0%}"


def _headline(report: PlanReport) -> str:
    joules = "" if report.energy_j is None else f", {report.energy_j:.3g} J per frame"
    alone = f"{report.latency_s * _MS:.1f} ms for one frame alone{joules}"
    return f"at most {report.rate_per_s:.2f} frames/s, {alone}; {_proof(report)}"


def _proof(report: PlanReport) -> str:
    if report.proof is Proof.BOUNDED and report.lower_bound and report.certified_gap is not None:
        bound = f"no chain can give more than {1 / report.lower_bound:.2f}"
        return f"within {report.certified_gap:.1%} of the best chain for these measurements: {bound}"
    return {
        Proof.PROVEN: "proven the best for these measurements",
        Proof.MEASURED: "the best of the stages that were measured",
        Proof.SHARED: "the best that was found of groups of boards in this order",
        Proof.GIVEN: "as given, not searched for",
    }.get(report.proof, "the best found; too many unlike boards to prove more")


def _limits(report: PlanReport) -> Iterator[str]:
    for index, chain in enumerate(report.chains):
        name = f"chain {index + 1} is" if len(report.chains) > 1 else "it is"
        yield f"{name} limited by {chain.limited_by}: {chain.bottleneck_s * _MS:.2f} ms per frame"


def _compare(report: PlanReport, other: Alternative) -> str:
    if other.rate_per_s is None or other.latency_s is None:
        return f"with {other.what}: no plan fits"
    rate, latency = f"{other.rate_per_s:.2f} frames/s", f"{other.latency_s * _MS:.1f} ms"
    figure, change, beside = rate, other.rate_per_s / report.rate_per_s - 1, f"{latency} for one frame"
    if report.objective == "latency":
        figure, change, beside = latency, other.latency_s / report.latency_s - 1, rate
    elif report.objective == "energy" and other.energy_j is not None and report.energy_j:
        figure, change = f"{other.energy_j:.3g} J per frame", other.energy_j / report.energy_j - 1
    return f"with {other.what} at best {figure} ({change:+.1%}): {other.boards}; {beside}"


def _left_out(report: PlanReport) -> Iterator[str]:
    if report.left_out and report.proof is not Proof.GIVEN:
        # Where groups of a number and size were wished, plans of another kind may be.
        among = " of such groups" if any(_is_better(other, report) for other in report.alternatives) else ""
        yield f"left out: {', '.join(report.left_out)}; no plan{among} with them that was found is better"


def _is_better(other: Alternative, report: PlanReport) -> bool:
    if other.rate_per_s is None or other.latency_s is None:
        return False
    if report.objective == "latency":
        return other.latency_s < report.latency_s
    if report.objective == "energy":
        return other.energy_j is not None and report.energy_j is not None and other.energy_j < report.energy_j
    return other.rate_per_s > report.rate_per_s


def _revision(report: PlanReport) -> Iterator[str]:
    if report.rounds:
        again = f", measuring again differed by {report.repeat_error:.1%} at most" if report.repeat_error else ""
        yield (
            f"planned {report.rounds} times with the chosen stages measured whole: sums of their pieces were up to "
            f"{report.estimate_error:.1%} off{again}"
        )
