"""A bundle's partitions on the screen."""

from __future__ import annotations

from typing import Any

from bundle import Bundle
from converter.listing import list_splittings, summarize
from planner.explain import print_plan
from planner.report import PlanReport
from terminal import print_json, print_table


def show_bundle(bundle: Bundle, as_json: bool, title: str, report: PlanReport | None = None) -> None:
    """Each splitting as a table under its title, after the plan that it was made by; or all of it as JSON."""
    splittings = list_splittings(bundle)
    if as_json:
        print_json(
            {"batch": bundle.batch, "splittings": splittings, **({} if report is None else {"plan": report.as_json()})}
        )
        return
    if report is not None:
        print_plan(report)
    if len(splittings) == 1:
        _show_partitions(title, splittings[0]["partitions"])
        return
    print(title)
    for index, splitting in enumerate(splittings):
        _show_partitions(f"splitting {index}: {splitting['deployment_id']}", splitting["partitions"])


def _show_partitions(title: str, rows: list[dict[str, Any]]) -> None:
    print_table(
        title,
        ("arriving", "leaving", "part", "operators", "kB", "ms here", "carried"),
        (
            (
                summarize(r["arriving"]),
                summarize(r["leaving"]),
                r["part"],
                f"{r['start_op']}-{r['stop_op'] - 1}",
                f"{r['size_bytes'] / 1e3:.1f}",
                f"{r['time_ms']:.2f}",
                len(r["carried"]),
            )
            for r in rows
        ),
        text_columns=2,
    )
