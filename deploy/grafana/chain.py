"""The dashboard Chain: where the time of one chain's frames goes, stage by stage, and which stage sets the pace."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.panels import WIDTH, Query, add_row, bars, board_of, lines, variable

_CHAIN = 'dispatcher=~"$dispatcher", deployment=~"$deployment", chain=~"$chain"'
_STAGE = 'deployment=~"$deployment", stage=~"$stage"'
_EACH_STAGE = 'deployment=~"$deployment"'
_TIMES = {
    "wait": "waits",
    "decode": "decode",
    "compute": "compute",
    "pieces_wait": "waits for pieces",
    "encode": "encode",
    "send": "send",
}


def chain() -> dashboard.Dashboard:
    """A row for the chain, one for each of its stages, and one for groups of boards that share a stage."""
    made = board_of("boardline-chain", "boardline / Chain", "One chain: its throughput, and a row for each stage.")
    for choice in (
        variable("dispatcher", "dispatcher", "label_values(boardline_dispatcher_window, dispatcher)"),
        variable(
            "deployment",
            "deployment",
            'label_values(boardline_dispatcher_window{dispatcher=~"$dispatcher"}, deployment)',
        ),
        variable(
            "chain",
            "chain",
            'label_values(boardline_dispatcher_window{deployment=~"$deployment"}, chain)',
            several=True,
        ),
        variable(
            "stage", "stage", 'label_values(boardline_partition_info{deployment=~"$deployment"}, stage)', several=True
        ),
    ):
        made.with_variable(choice)
    add_row(
        made,
        dashboard.Row("chain"),
        lines(
            "frames/s",
            "none",
            [
                Query(f"sum(chain:boardline_frames:rate1m{{{_CHAIN}}})", "frames/s"),
                Query(f"sum(boardline_dispatcher_bound_frames_per_second{{{_CHAIN}}})", "bound"),
            ],
            "What comes out, and what the slowest stage or link could do.",
        ),
        bars(
            "which stage sets the pace",
            "percentunit",
            Query(f"sort_desc(stage:boardline_busy:ratio1m{{{_EACH_STAGE}}})", "stage {{stage}} on {{board}}"),
            "The share of the time in which each stage works on frames. The fullest one is the bottleneck; where none is full, "
            "the window, a link or the source is.",
            most=1.0,
        ),
        lines(
            "latency",
            "s",
            [Query(_quantile(share), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)],
            "From sending a frame into the chain to its answer; from histograms with buckets twice as wide as the one before.",
        ),
        lines(
            "in flight",
            "none",
            [
                Query(f"sum(boardline_dispatcher_in_flight{{{_CHAIN}}})", "in flight"),
                Query(f"sum(boardline_dispatcher_window{{{_CHAIN}}})", "window"),
            ],
            "Frames in the chain, and the most that may be, as the dispatcher has found out.",
        ),
    )
    add_row(
        made,
        dashboard.Row("stage $stage").repeat("stage"),
        lines(
            "stage $stage: a frame's time",
            "s",
            [Query(_mean(name, _STAGE), f"{words} on {{{{board}}}}") for name, words in _TIMES.items()],
            "Means per frame. Sending is beside the other work where the board has a core to spare.",
            width=WIDTH // 3,
            stacked=True,
        ),
        lines(
            "stage $stage: bytes that leave",
            "Bps",
            [
                Query(
                    f"sum by (board, codec) (rate(boardline_sent_bytes_total{{{_STAGE}}}[$__rate_interval]))",
                    "{{board}} sends {{codec}}",
                ),
                Query(
                    f"sum by (board) (rate(boardline_sent_raw_bytes_total{{{_STAGE}}}[$__rate_interval]))",
                    "{{board}} before coding",
                ),
            ],
            "On their way to the next stage, or back to the dispatcher from the last one.",
            width=WIDTH // 3,
        ),
        lines(
            "stage $stage: frames that wait",
            "none",
            [
                Query(
                    f"sum by (board) (rate(boardline_frame_wait_seconds_sum{{{_STAGE}}}[$__rate_interval]))",
                    "{{board}}",
                )
            ],
            "The mean number of frames that have come and are not worked on, by Little's law.",
            width=WIDTH // 3,
        ),
    )
    add_row(
        made,
        dashboard.Row("groups"),
        lines(
            "waiting for pieces",
            "s",
            [Query(_mean("pieces_wait", _EACH_STAGE, "board, stage"), "stage {{stage}} on {{board}}")],
            "What each board of a group waits for the others; means per frame. The one that waits least is whom they wait for.",
            width=WIDTH // 3,
        ),
        lines(
            "imbalance within a group",
            "percentunit",
            [Query(f"group:boardline_imbalance:ratio1m{{{_EACH_STAGE}}}", "group of stage {{leader_stage}}")],
            "What the slowest board of a group computes for a frame, of what its boards do on average. Where it stays well above "
            "100 %, profile the boards and plan anew.",
            width=WIDTH // 3,
        ),
        lines(
            "pieces sent and received",
            "Bps",
            [
                Query(
                    f"sum by (board, stage) (rate(boardline_pieces_{way}_bytes_total{{{_EACH_STAGE}}}[$__rate_interval]))",
                    f"stage {{{{stage}}}} on {{{{board}}}} {way}",
                )
                for way in ("sent", "received")
            ],
            "Between the boards of a group.",
            width=WIDTH // 3,
        ),
    )
    return made


def _mean(name: str, of: str, by: str = "board") -> str:
    series = f"boardline_frame_{name}_seconds"
    summed, counted = (f"sum by ({by}) (rate({series}_{part}{{{of}}}[$__rate_interval]))" for part in ("sum", "count"))
    return f"{summed} / {counted}"


def _quantile(share: float) -> str:
    buckets = f"rate(boardline_dispatcher_chain_seconds_bucket{{{_CHAIN}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"
