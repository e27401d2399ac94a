"""The dashboard Board: what one machine does with its processor, its memory and its power."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.panels import Query, add_row, board_of, lines, variable

_BOARD = 'board=~"$board"'


def board() -> dashboard.Dashboard:
    """Rows for processor and memory, power and heat, and traffic."""
    made = board_of("boardline-board", "boardline / Board", "One board.")
    made.with_variable(variable("board", "board", 'label_values(up{job="boardline-node"}, board)', several=True))
    add_row(
        made,
        dashboard.Row("processor and memory"),
        lines(
            "processor time of the service",
            "percentunit",
            [
                Query(
                    f"sum by (board) (rate(boardline_invoke_cpu_seconds_total{{{_BOARD}}}[$__rate_interval]))",
                    "{{board}} inference",
                ),
                Query(f"board:boardline_cpu_outside_invoke:rate1m{{{_BOARD}}}", "{{board}} everything else"),
            ],
            "Cores. What is not inference moves frames.",
            stacked=True,
        ),
        lines(
            "clock",
            "hertz",
            [Query(f"boardline_cpu_frequency_hertz{{{_BOARD}}}", "{{board}} core {{cpu}}")],
            "The present clock of each core.",
        ),
        lines(
            "memory",
            "bytes",
            [
                Query(f"boardline_resident_bytes{{{_BOARD}}}", "{{board}} service"),
                Query(f"boardline_memory_available_bytes{{{_BOARD}}}", "{{board}} available"),
                Query(
                    f"sum by (board) (boardline_partition_memory_bytes{{{_BOARD}}})",
                    "{{board}} partitions, at the least",
                ),
            ],
            "What the service keeps, what the board could still give, and what its partitions need.",
        ),
        lines(
            "busy",
            "percentunit",
            [Query(f"stage:boardline_busy:ratio1m{{{_BOARD}}}", "{{board}} stage {{stage}} of {{deployment}}")],
            "The share of the time in which each stage works on frames.",
        ),
    )
    add_row(
        made,
        dashboard.Row("power and heat"),
        lines(
            "power",
            "watt",
            [
                Query(
                    f"rate(boardline_energy_joules_total{{{_BOARD}}}[$__rate_interval])",
                    "{{board}} {{source}} {{rail}}",
                )
            ],
            "By rail; a rail may be part of another one.",
        ),
        lines(
            "power at present",
            "watt",
            [Query(f"boardline_power_watts{{{_BOARD}}}", "{{board}} {{source}} {{rail}}")],
            "By rail, as last read.",
        ),
        lines(
            "hottest zone",
            "celsius",
            [Query(f"boardline_temperature_celsius{{{_BOARD}}}", "{{board}}")],
            "Of the processor.",
        ),
        lines(
            "throttled",
            "bool_yes_no",
            [Query(f"boardline_throttled{{{_BOARD}}}", "{{board}}: {{reason}}")],
            "1 while the processor is slowed down.",
        ),
    )
    add_row(
        made,
        dashboard.Row("traffic"),
        lines(
            "frames/s",
            "none",
            [
                Query(
                    f"sum by (board, deployment, stage, outcome) (rate(boardline_frames_total{{{_BOARD}}}[$__rate_interval]))",
                    "{{board}} stage {{stage}} of {{deployment}} {{outcome}}",
                )
            ],
            "By what became of them.",
        ),
        lines(
            "bytes received and sent",
            "Bps",
            [
                Query(
                    f"sum by (board) (rate(boardline_received_bytes_total{{{_BOARD}}}[$__rate_interval]))",
                    "{{board}} received",
                ),
                Query(
                    f"sum by (board) (rate(boardline_sent_bytes_total{{{_BOARD}}}[$__rate_interval]))", "{{board}} sent"
                ),
            ],
            "Messages with frames that came, and tensors that left.",
        ),
        lines(
            "streams",
            "none",
            [
                Query(f"boardline_streams{{{_BOARD}}}", "{{board}} open"),
                Query(
                    f'sum by (board, how) (increase(boardline_streams_ended_total{{{_BOARD}, how!="finished"}}[5m]))',
                    "{{board}} {{how}} within 5 min",
                ),
            ],
            "Open streams, and those that ended otherwise than their sender wanted.",
        ),
        lines(
            "calls of the control plane",
            "none",
            [
                Query(
                    f"sum by (board, grpc_method, grpc_code) (rate(grpc_server_handled_total{{{_BOARD}}}[$__rate_interval]))",
                    "{{board}} {{grpc_method}} {{grpc_code}}",
                )
            ],
            "Per second, by method and status.",
        ),
    )
    return made
