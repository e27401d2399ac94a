"""The few kinds of panels that the dashboards are made of, so that they look alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar, Union

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

Panel = Union[bargauge.Panel, stat.Panel, table.Panel, timeseries.Panel]
_P = TypeVar("_P", bargauge.Panel, stat.Panel, table.Panel, timeseries.Panel)

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
_HEIGHT, _LOW = 8, 4


@dataclass(frozen=True)
class Query:
    """What is asked, and what its series are called: `{{board}}` is a label's value."""

    expression: str
    legend: str


def lines(
    title: str, unit: str, queries: Sequence[Query], what: str, *, width: int = 12, stacked: bool = False
) -> timeseries.Panel:
    """Values over time. Args: unit: one of Grafana's. what: for who does not know the figure."""
    panel = (
        _placed(timeseries.Panel(), title, what, width, _HEIGHT)
        .unit(unit)
        .min(0)
        .fill_opacity(40 if stacked else 8)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["mean", "lastNotNull"])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    for letter, query in zip(ascii_uppercase, queries):
        panel.with_target(_target(query, letter))
    return panel


def number(
    title: str, unit: str, query: Query, what: str, *, width: int = 4, red_from: float | None = None
) -> stat.Panel:
    """One figure, large. Args: red_from: it is a cause for alarm from there on."""
    steps = [models.Threshold(value=None, color="green")]
    if red_from is not None:
        steps.append(models.Threshold(value=red_from, color="red"))
    return (
        _placed(stat.Panel(), title, what, width, _LOW)
        .unit(unit)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(steps))
        .with_target(_target(query))
    )


def bars(
    title: str, unit: str, query: Query, what: str, *, width: int = 12, most: float | None = None
) -> bargauge.Panel:
    """Figures side by side, as they are now."""
    steps = [models.Threshold(value=None, color="blue")]
    if most is not None:
        steps.append(models.Threshold(value=0.9 * most, color="orange"))
    panel = (
        _placed(bargauge.Panel(), title, what, width, _HEIGHT)
        .unit(unit)
        .min(0)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(steps))
        .with_target(_target(query))
    )
    return panel if most is None else panel.max(most)


@dataclass(frozen=True)
class Column:
    """Of a table: its title, what is asked, and the unit."""

    title: str
    expression: str
    unit: str


def rows(title: str, key: str, columns: Sequence[Column], what: str, *, height: int = _HEIGHT) -> table.Panel:
    """A row for each value of the label `key`, as things are now; what is asked must have that label."""
    panel = _placed(table.Panel(), title, what, WIDTH, height)
    renamed = {key: key}
    hidden = {"Time": True}
    for letter, column in zip(ascii_uppercase, columns):
        panel.with_target(
            prometheus.Dataquery()
            .datasource(SOURCE)
            .expr(f"sum by ({key}) ({column.expression})")
            .instant()
            .format(prometheus_models.PromQueryFormat.TABLE)
            .ref_id(letter)
        )
        name = f"Value #{letter}"
        renamed[name] = column.title
        panel.override_by_name(column.title, [models.DynamicConfigValue("unit", column.unit)])
    panel.transformations(
        [
            models.DataTransformerConfig(id_val="merge", options={}),
            models.DataTransformerConfig(
                id_val="organize", options={"excludeByName": hidden, "renameByName": renamed, "indexByName": {}}
            ),
        ]
    )
    return panel


def variable(name: str, label: str, query: str, *, several: bool = False) -> dashboard.QueryVariable:
    """A choice at the top of a dashboard, from a label's values."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .query({"query": query, "refId": name})
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
    )
    return made.multi(True).include_all(True).all_value(".*") if several else made


def add_row(made: dashboard.Dashboard, row: dashboard.Row, *panels: Panel) -> None:
    """Puts panels below the others, under a row of their own."""
    made.with_row(row)
    for panel in panels:
        made.with_panel(panel)


def board_of(uid: str, title: str, what: str) -> dashboard.Dashboard:
    """An empty dashboard."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(what)
        .tags(["boardline"])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("boardline")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["boardline"])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )


def _placed(panel: _P, title: str, what: str, width: int, height: int) -> _P:
    return panel.title(title).description(what).datasource(SOURCE).span(width).height(height)


def _target(query: Query, letter: str = "A") -> prometheus.Dataquery:
    asked = prometheus.Dataquery().datasource(SOURCE).ref_id(letter).expr(query.expression).range()
    return asked.legend_format(query.legend)


def _thresholds(steps: list[models.Threshold]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
