"""A bench's figures for people."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher_client.answer_changes import OutputChange
from dispatcher_client.bench import BenchFigures
from dispatcher_client.bench_cost import Cost
from dispatcher_client.codec_comparison import CodecEffect
from terminal import print_table


def show_figures(figures: BenchFigures) -> None:
    """Prints a bench's figures as a table and a few lines."""
    several = len(figures.chains) > 1
    print_table(
        f"{figures.model}: {figures.frames} frames{_each(figures)}, at most {figures.window} in flight at the end",
        (
            "board",
            *(["chain"] if several else []),
            "stage",
            "compute ms",
            "share",
            "wait ms",
            "coding ms",
            "outside CPU ms",
            "send ms",
            "in kB",
            "out kB",
            "alone ms",
        ),
        (
            (
                s.board,
                *([s.chain] if several else []),
                s.stage,
                f"{s.compute_ms:.2f}",
                f"{s.share_of_compute:.0%}",
                f"{s.wait_ms:.2f}",
                f"{s.coding_ms:.2f}",
                f"{s.outside_cpu_ms:.2f}",
                f"{s.send_ms:.2f}",
                f"{s.received_bytes / 1e3:.1f}",
                f"{s.sent_bytes / 1e3:.1f}",
                f"{s.alone_ms:.2f}",
            )
            for s in figures.stages
        ),
    )
    for chain, reason in zip(figures.chains, figures.input_codec_reasons):
        print(f"dispatcher{f' to chain {chain.chain}' if several else ''} sends {reason}")
    for stage in figures.stages:
        saved = (
            f" ({stage.sent_bytes / 1e3:.1f} of {stage.sent_raw_bytes / 1e3:.1f} kB)" if stage.sent_raw_bytes else ""
        )
        print(f"{stage.board} sends {stage.codec_reason}{saved}")
    for chain in figures.chains if several else ():
        print(
            f"chain {chain.chain}: {chain.frames} frames, bound {chain.bound_per_s:.1f} images/s, set by {chain.bound_by}"
        )
    print(
        f"throughput {figures.throughput_per_s:.1f} images/s, {figures.share_of_bound:.0%} of the bound "
        f"({figures.bound_per_s:.1f}, {'the sum over the chains' if several else f'set by {figures.bound_by}'})"
    )
    print(
        "the bound counts the boards alone; what each frame costs the streams and the dispatcher shows in small models"
    )
    print(
        f"latency ms: p50 {figures.latency_p50_ms:.2f}, p95 {figures.latency_p95_ms:.2f}, p99 {figures.latency_p99_ms:.2f} "
        f"at full load; {figures.latency_alone_p50_ms:.2f} one at a time; "
        f"queueing adds {figures.queueing_in_stage_times:.1f} stage times"
    )


def show_cost(cost: Cost) -> None:
    """Prints what an image costs."""
    one = cost.one_board
    rows: list[tuple[str, str, str]] = [
        (b.board, _joules(b.joules_per_image), f"{b.cpu_s_per_image * 1e3:.2f}") for b in cost.boards
    ]
    rows.append(("all boards", _joules(cost.joules_per_image), f"{cost.cpu_s_per_image * 1e3:.2f}"))
    if one is not None and not one.why_not:
        rows.append((f"{one.board} alone", _joules(one.joules_per_image), f"{one.cpu_s_per_image * 1e3:.2f}"))
    print_table("what an image costs", ("board", "joules", "CPU ms"), rows, text_columns=1)
    if one is None:
        return
    if one.why_not:
        print(f"the whole model does not run on one board: {one.why_not}")
    else:
        print(f"{one.board} alone would do {one.images_per_s:.1f} images/s: the whole model, without any transport")


def _joules(joules: float | None) -> str:
    return "no sensor" if joules is None else f"{joules:.3g}"


def show_effects(effects: Sequence[CodecEffect], source: str) -> None:
    """Prints what lossy codecs change of the answers.

    Args: source: what inputs were compared, for people.
    """
    compared = [effect for effect in effects if not effect.refusal]
    several = len({effect.chain for effect in effects}) > 1
    if compared:
        print_table(
            f"answers with lossy codecs, each alone on every link, against lossless transport: {compared[0].inputs} inputs",
            (
                "codec",
                "output",
                *(["chain"] if several else []),
                "top-1 agreement",
                "largest difference",
                "of the output's range",
            ),
            (
                (
                    effect.codec,
                    f"{change.output} {list(change.shape)}",
                    *([effect.chain] if several else []),
                    _agreement(change),
                    f"{change.largest_difference:.4g}",
                    f"{change.share_of_range:.3%}",
                )
                for effect in compared
                for change in effect.outputs
            ),
            text_columns=2,
        )
        print(f"the inputs compared: {source}")
    for effect in effects:
        if effect.refusal:
            print(f"{f'chain {effect.chain}: ' if several else ''}{effect}")


def _agreement(change: OutputChange) -> str:
    """With the axis of the classes; outputs that are no vectors have none."""
    return (
        "-" if change.top1_agreement is None else f"{change.top1_agreement:.1%} (argmax over axis {change.top1_axis})"
    )


def _each(figures: BenchFigures) -> str:
    return f" of {figures.batch} images" if figures.batch > 1 else ""
