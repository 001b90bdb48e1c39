"""Draws a simulated day as SVG: waiting jobs, running jobs, and the jobs that the replicas are meant for."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from ops.benchmarks.cluster import Day

#: Converts seconds or jobs to a coordinate in the picture.
Scale = Callable[[float], float]

_WIDTH, _HEIGHT = 960, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 56, 40, 36
_FONT = 'font-family="sans-serif" font-size="12"'
_HOUR = 3600.0
_EVERY = 8  # decisions of the autoscaler for each drawn point: two minutes


def draw(day: Day, target: float) -> str:
    """Return an SVG picture. Its left axis counts jobs, its right axis replicas.

    Args:
        day: The result of the simulation.
        target: Number of jobs for each replica.
    """
    lines = day.line[::_EVERY]
    end = lines[-1][0]
    replicas = max(line[3] for line in lines) + 1
    top = replicas * target

    def x(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / end

    def y(jobs: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(jobs, top) / top

    room = _steps([(x(at), y(count * target)) for at, _, _, count in lines])
    running = [(x(at), y(count)) for at, _, count, _ in lines]
    load = [(x(at), y(waiting + count)) for at, waiting, count, _ in lines]
    floor = f" L{x(end):.1f},{y(0):.1f} L{x(0):.1f},{y(0):.1f} Z"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *_grid(x, y, end, replicas, target),
        f'<path d="{_path(load)}{floor}" fill="#d1495b" fill-opacity="0.55"/>',
        f'<path d="{_path(running)}{floor}" fill="#9fc5e8"/>',
        f'<path d="{_path(room)}" fill="none" stroke="#0b6bcb" stroke-width="2"/>',
        _text(_LEFT, 22, "running", "#4a86b8"),
        _text(_LEFT + 64, 22, "waiting", "#d1495b"),
        _text(_LEFT + 128, 22, f"replicas (right), each meant for {target:g} jobs", "#0b6bcb"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(x: Scale, y: Scale, end: float, replicas: int, target: float) -> list[str]:
    parts = []
    for hour in range(0, int(end / _HOUR) + 1, 2):
        at = x(hour * _HOUR)
        parts.append(f'<path d="M{at:.1f},{y(0):.1f} v4" stroke="#888"/>')
        parts.append(_text(at - 14, _HEIGHT - 14, f"{hour:02}:00", "#555"))
    for count in range(0, replicas + 1, 2):
        height = y(count * target)
        parts.append(f'<path d="M{_LEFT},{height:.1f} H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(8, height + 4, f"{count * target:g}", "#555"))
        parts.append(_text(_WIDTH - _RIGHT + 8, height + 4, str(count), "#0b6bcb"))
    return parts


def _steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of a step line: each value lasts until the next point."""
    stepped = [points[0]]
    for (_, before), (at, after) in pairwise(points):
        stepped += [(at, before), (at, after)]
    return stepped


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{across:.1f},{down:.1f}" for across, down in points)


def _text(across: float, down: float, text: str, colour: str) -> str:
    return f'<text x="{across:.1f}" y="{down:.1f}" fill="{colour}">{escape(text)}</text>'
