"""A dashboard: panels with queries and advice for the operator, and the JSON of it for Grafana."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableRefresh

#: Part of every selector, so that several installations can share a Prometheus. It also works if metrics have
#: no label `namespace`, because "All" stands for `.*`.
HERE = 'namespace=~"$namespace"'
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_ROW_HEIGHT = 8
_STAT_HEIGHT = 4


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: What the panel shows.
        advice: What the values mean, and what to do about them.
        queries: Legend (a Grafana template) -> PromQL.
        unit: One of Grafana's units: `short`, `s`, `percentunit`, `bytes`, `Bps`.
        bars: Whether to draw stacked bars, for rare events, instead of lines.
        single: Whether to show one number instead of a graph.
        width: Width in columns; a dashboard has 24.
    """

    title: str
    advice: str
    queries: Mapping[str, str]
    unit: str = "short"
    bars: bool = False
    single: bool = False
    width: int = 8


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard: rows of panels under headings.

    Attributes:
        name: The name of the JSON file, and part of the dashboard's uid.
        title: The title in Grafana.
        about: The description in Grafana.
        rows: Heading -> panels.
    """

    name: str
    title: str
    about: str
    rows: Mapping[str, Sequence[Panel]] = field(default_factory=dict)


def metric(name: str, where: str = "") -> str:
    """Return a selector of the metric in the selected namespaces, with `where` as further label matchers."""
    return f"{name}{{{HERE}{', ' if where else ''}{where}}}"


def per_second(name: str, by: str = "", where: str = "") -> str:
    """Return PromQL for a counter's increase per second, summed over processes, by the labels in `by`."""
    return f"sum by ({by}) (rate({metric(name, where)}[$__rate_interval]))"


def per_minute(name: str, by: str = "", where: str = "") -> str:
    """Return PromQL for a counter's increase per minute, summed over processes, by the labels in `by`."""
    return f"60 * {per_second(name, by, where)}"


def over_range(name: str, where: str = "") -> str:
    """Return PromQL for a counter's increase in the time range of the dashboard, summed over processes."""
    return f"sum(increase({metric(name, where)}[$__range]))"


def quantiles(name: str, *quantiles: float, by: str = "") -> dict[str, str]:
    """Return queries for quantiles of a histogram.

    Args:
        name: The histogram's name, without `_bucket`.
        quantiles: Quantiles between 0 and 1.
        by: A label to group by, or nothing.

    Returns:
        Legend -> PromQL.
    """
    labels = f"{by}, le" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return {
        f"{legend}p{quantile * 100:g}": f"histogram_quantile({quantile}, "
        f"{per_second(f'{name}_bucket', labels)})"
        for quantile in quantiles
    }


def to_json(board: Board) -> str:
    """Return the dashboard as JSON for Grafana."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"corti-{board.name}")
        .description(board.about)
        .tags(["corti-worker"])
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("corti-worker").tags(["corti-worker"]).as_dropdown(as_dropdown=False))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("namespace")
            .label("Namespace")
            .datasource(_SOURCE)
            .query("label_values(corti_worker_build_info, namespace)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".*")
        )
    )
    for heading, panels in board.rows.items():
        built = built.with_row(dashboard.Row(heading))
        for panel in panels:
            built = built.with_panel(_single(panel) if panel.single else _graph(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _targets(panel: Panel) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        for number, (legend, expression) in enumerate(panel.queries.items())
    ]


def _single(panel: Panel) -> stat.Panel:
    built = stat.Panel().title(panel.title).description(panel.advice).datasource(_SOURCE).unit(panel.unit)
    built = built.span(panel.width).height(_STAT_HEIGHT).graph_mode(BigValueGraphMode.NONE).no_value("none")
    if panel.unit == "short":
        built = built.decimals(0)  # `increase` is an estimate: 4.01 jobs would be confusing
    for target in _targets(panel):
        built = built.with_target(target.instant())
    return built


def _graph(panel: Panel) -> timeseries.Panel:
    built = timeseries.Panel().title(panel.title).description(panel.advice).datasource(_SOURCE)
    built = built.unit(panel.unit).span(panel.width).height(_ROW_HEIGHT).axis_soft_min(0)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    built = built.legend(legend.show_legend(show_legend=True)).show_points(VisibilityMode.AUTO)
    if panel.bars:
        built = built.draw_style(GraphDrawStyle.BARS).fill_opacity(70).line_width(0)
        built = built.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    else:
        built = built.draw_style(GraphDrawStyle.LINE).fill_opacity(8).line_width(1)
    for target in _targets(panel):
        built = built.with_target(target)
    return built
