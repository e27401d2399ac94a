"""The dashboard Fleet: which boards there are, how they are, and what the fleet does for its power."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.panels import WIDTH, Column, Query, add_row, board_of, lines, number, rows


def fleet() -> dashboard.Dashboard:
    """A look at everything."""
    made = board_of("boardline-fleet", "boardline / Fleet", "All boards and dispatchers at a glance.")
    add_row(
        made,
        dashboard.Row("now"),
        number("boards up", "none", Query('sum(up{job="boardline-node"})', "up"), "Boards that are scraped."),
        number(
            "boards down",
            "none",
            Query('count(up{job="boardline-node"} == 0) or vector(0)', "down"),
            "Boards that Prometheus knows of and that do not answer.",
            red_from=1,
        ),
        number(
            "images/s",
            "none",
            Query("sum(dispatcher:boardline_images:rate1m)", "images/s"),
            "Answers of all dispatchers together.",
        ),
        number(
            "share of the bound",
            "percentunit",
            Query("min(chain:boardline_share_of_bound:ratio1m)", "share"),
            "Of the chain that is furthest from what its slowest stage or link could do.",
        ),
        number(
            "energy per image",
            "joule",
            Query("fleet:boardline_joules_per_image:ratio1m", "J"),
            "Of all boards with a sensor, over all images.",
        ),
        number(
            "alerts",
            "none",
            Query('count(ALERTS{alertname=~"Boardline.*", alertstate="firing"}) or vector(0)', "firing"),
            "Alerts that fire.",
            red_from=1,
        ),
        rows(
            "boards",
            "board",
            [
                Column("up", 'up{job="boardline-node"}', "bool_yes_no"),
                Column("draining", "boardline_draining", "bool_yes_no"),
                Column("frames/s", 'rate(boardline_frames_total{outcome="answered"}[1m])', "none"),
                Column("CPU", "rate(boardline_cpu_seconds_total[1m])", "percentunit"),
                Column("resident", "boardline_resident_bytes", "bytes"),
                Column("memory left", "boardline_memory_available_bytes / boardline_memory_total_bytes", "percentunit"),
                Column("hottest zone", "boardline_temperature_celsius", "celsius"),
                Column("throttled", "max by (board) (boardline_throttled)", "bool_yes_no"),
                Column("power", "board:boardline_power:watts1m", "watt"),
                Column(
                    "certificate", 'boardline_certificate_expiry_timestamp_seconds{job="boardline-node"} - time()', "s"
                ),
            ],
            "One row for each board that Prometheus scrapes.",
            height=10,
        ),
        lines(
            "versions",
            "none",
            [Query("count by (version, runtime) (boardline_node_info)", "{{version}}, {{runtime}}")],
            "How many boards run which version with which runtime.",
        ),
        lines(
            "deployments",
            "none",
            [Query("count by (deployment) (boardline_partition_info)", "{{deployment}}")],
            "How many stages of each deployment are loaded, spares' among them.",
        ),
    )
    add_row(
        made,
        dashboard.Row("throughput"),
        lines(
            "images/s",
            "none",
            [Query("dispatcher:boardline_images:rate1m", "{{dispatcher}}")],
            "Answers of each dispatcher.",
        ),
        lines(
            "share of the bound",
            "percentunit",
            [Query("chain:boardline_share_of_bound:ratio1m", "{{dispatcher}} chain {{chain}} of {{deployment}}")],
            "What comes out of each chain, of what its slowest stage or link could do.",
        ),
        lines(
            "requests that were not answered",
            "none",
            [
                Query(
                    "sum by (dispatcher, outcome) "
                    '(rate(boardline_dispatcher_requests_total{outcome!="answered"}[$__rate_interval]))',
                    "{{dispatcher}} {{outcome}}",
                )
            ],
            "Per second, by what became of them.",
        ),
        lines(
            "breaks, failovers and replays",
            "none",
            [
                Query("sum by (dispatcher) (increase(boardline_dispatcher_breaks_total[5m]))", "{{dispatcher}} breaks"),
                Query(
                    "sum by (dispatcher) (increase(boardline_dispatcher_failovers_total[5m]))",
                    "{{dispatcher}} failovers",
                ),
                Query(
                    "sum by (dispatcher) (increase(boardline_dispatcher_replays_total[5m]))", "{{dispatcher}} replays"
                ),
                Query(
                    "sum by (dispatcher) (increase(boardline_dispatcher_retries_total[5m]))", "{{dispatcher}} retries"
                ),
            ],
            "Within five minutes: chains that broke, that went on, requests that were sent again, ways to mend that failed.",
        ),
    )
    add_row(
        made,
        dashboard.Row("power and heat"),
        lines(
            "power",
            "watt",
            [Query("board:boardline_power:watts1m", "{{board}}")],
            "Of each board with a sensor of all that it takes.",
            width=WIDTH // 3,
        ),
        lines(
            "energy per image",
            "joule",
            [Query("fleet:boardline_joules_per_image:ratio1m", "the fleet")],
            "Of all boards with a sensor, over all images.",
            width=WIDTH // 3,
        ),
        lines(
            "hottest zone",
            "celsius",
            [Query("boardline_temperature_celsius", "{{board}}")],
            "Of each board's processor.",
            width=WIDTH // 3,
        ),
    )
    return made
