"""`ops/dashboards/render`: pictures of the dashboards, from a real Prometheus that scrapes a demo load.

It reads the committed JSON, as Grafana does, and draws with matplotlib, because Grafana is in none of the
package registries that this project uses.
"""

import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ops.dashboards import load
from ops.lib import debian, ending, prometheus_server
from ops.lib.prometheus_server import PrometheusServer

_FOLDER = Path(__file__).parent
_RULES = _FOLDER.parent / "alerts/corti-worker.rules.yaml"
_STEP = 2.0
_DAY = 86400.0
_COLUMN, _LINE = 0.62, 0.36
_MOST_NAMED = 9

#: For each series its legend, times (days since 1970, as matplotlib expects) and values.
Series = list[tuple[str, list[float], list[float]]]


@click.command()
@click.option("--seconds", default=100, show_default=True, help="How long the load runs.")
@click.option(
    "--to", default=_FOLDER / "png", type=click.Path(path_type=Path), help="Directory for the pictures."
)
def main(seconds: int, to: Path) -> None:
    """Run a demo load, scrape it, and draw each dashboard to a PNG."""
    there, reason = prometheus_server.available()
    if not there and debian.may_install():
        click.echo("installing Debian's prometheus ...", err=True)
        debian.install("prometheus")
    elif not there:
        raise click.ClickException(reason)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corti-render-")))
        click.echo("starting Redis, the sandbox and two workers ...", err=True)
        ours = stack.enter_context(load.installation(folder))
        prometheus = stack.enter_context(PrometheusServer(ours.ports, [_RULES]))
        start = time.time()
        load.busy(ours, seconds, lambda text: click.echo(text, err=True))
        end = time.time()
        to.mkdir(exist_ok=True)
        for path in sorted(_FOLDER.glob("*.json")):
            board = json.loads(path.read_text())
            picture = to / f"{path.stem}.png"
            empty = draw(board, prometheus, start, end, picture)
            click.echo(f"{picture}; without data: {', '.join(empty) or 'none'}")


def draw(
    board: Mapping[str, Any], prometheus: PrometheusServer, start: float, end: float, to: Path
) -> list[str]:
    """Draw one dashboard with Grafana's layout.

    Args:
        board: The dashboard's JSON.
        prometheus: The server to query.
        start: Start of the time range, in Unix seconds.
        end: End of the time range, in Unix seconds.
        to: The PNG file to write.

    Returns:
        The titles of panels without data.
    """
    mpl.rcParams.update({"font.size": 7, "axes.spines.top": False, "axes.spines.right": False})
    panels = board["panels"]
    height = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels)
    figure = plt.figure(figsize=(24 * _COLUMN + 0.3, height * _LINE + 0.5), dpi=110)
    figure.suptitle(board["title"], x=0.01, y=0.995, ha="left", va="top", fontsize=12, weight="bold")
    inches = figure.get_size_inches()
    empty = []
    for one in panels:
        place = one["gridPos"]
        left = place["x"] * _COLUMN / inches[0]
        top = 1 - (0.5 + place["y"] * _LINE) / inches[1]
        if one["type"] == "row":
            figure.text(
                left + 0.01, top - 0.1 / inches[1], one["title"], fontsize=9, va="top", color="#555555"
            )
            continue
        series = _series(one, prometheus, start, end)
        if not series:
            empty.append(one["title"])
        wide, high = place["w"] * _COLUMN / inches[0], place["h"] * _LINE / inches[1]
        single = one["type"] == "stat"
        below = (0.1 if single else 0.72) / inches[1]
        box = (
            left + 0.52 / inches[0],
            top - high + below,
            wide - 0.67 / inches[0],
            high - below - 0.32 / inches[1],
        )
        axes = figure.add_axes(box)
        axes.set_title(one["title"], loc="left", fontsize=8, weight="bold", pad=4)
        unit = FuncFormatter(lambda value, _, unit=one["fieldConfig"]["defaults"]["unit"]: _text(value, unit))
        if single:
            _number(axes, series, unit, one["fieldConfig"]["defaults"].get("decimals"))
        else:
            _graph(axes, one, series, unit)
            axes.set_xlim(start / _DAY, end / _DAY)
    figure.savefig(to)
    plt.close(figure)
    return empty


def _series(panel: Mapping[str, Any], prometheus: PrometheusServer, start: float, end: float) -> Series:
    found: Series = []
    fill = {"$namespace": ".*", "$__rate_interval": "10s", "$__range": f"{int(end - start)}s"}
    for target in panel["targets"]:
        expression, legend = target["expr"], target["legendFormat"]
        for name, value in fill.items():
            expression = expression.replace(name, value)
        for one in prometheus.query(expression, start, end, _STEP):
            points = [(float(at), float(value)) for at, value in one["values"] if value != "NaN"]
            name = legend
            for label in ("pod", "instance", *one["metric"]):
                name = name.replace(f"{{{{{label}}}}}", one["metric"].get(label, ""))
            if points:
                times, values = zip(*points, strict=True)
                found.append((name.strip(), [at / _DAY for at in times], list(values)))
    return found


def _number(axes: Axes, series: Series, unit: FuncFormatter, decimals: int | None) -> None:
    axes.axis("off")
    text = (
        unit(series[0][2][-1] if decimals is None else round(series[0][2][-1], decimals))
        if series
        else "none"
    )
    axes.text(0, 0.4, text, fontsize=20, va="center", color="#1f60c4", transform=axes.transAxes)


def _graph(axes: Axes, panel: Mapping[str, Any], series: Series, unit: FuncFormatter) -> None:
    bars = panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "bars"
    floor: dict[float, float] = {}
    for number, (name, times, values) in enumerate(series):
        color = f"C{number % 10}"
        label = name if number < _MOST_NAMED else None
        if bars:
            bottom = [floor.get(at, 0.0) for at in times]
            axes.bar(times, values, width=_STEP / _DAY, bottom=bottom, color=color, alpha=0.7, label=label)
            floor |= {at: low + value for at, low, value in zip(times, bottom, values, strict=True)}
        else:
            axes.plot(times, values, color=color, linewidth=1.1, label=label)
            axes.fill_between(times, values, color=color, alpha=0.06)
    axes.grid(visible=True, linewidth=0.3)
    highest = max((max(values) for _, _, values in series), default=0.0)
    # A line of zeros on the axis would be invisible, so the y axis starts a little below 0.
    axes.set_ylim(bottom=-0.03 * (axes.get_ylim()[1] if highest else 1), top=None if highest else 1)
    axes.yaxis.set_major_formatter(unit)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(panel["gridPos"]["w"] // 2))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))  # type: ignore[no-untyped-call]
    if series:
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=3, frameon=False, fontsize=6.5)
    else:
        axes.text(0.5, 0.5, "no data", ha="center", color="#999999", transform=axes.transAxes)


def _text(value: float, unit: str) -> str:
    match unit:
        case "s":
            return f"{value * 1000:g} ms" if 0 < value < 1 else f"{value:g} s"
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "bytes" | "Bps":
            for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
                if value >= size:
                    return f"{value / size:g} {name}{'/s' if unit == 'Bps' else ''}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


if __name__ == "__main__":
    ending.catch_signals()
    main()
