"""Each fault makes the right alerts fire, in time, and no others.

The committed rules are evaluated on what real workers show at `/metrics`: see tests/system/alerts/replay.py.
"""

import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ops.lib import prometheus_server
from ops.lib.servers import RabbitMqServer, RedisServer
from tests.conftest import require
from tests.system.alerts.faults import BOTH, FAULTS, Fault
from tests.system.alerts.replay import Fired, Replay, Stretch
from tests.system.alerts.rules import ALERTS, CRITICAL, RUNBOOK
from tests.system.alerts.scene import STEADY, staged

#: Seconds that health and the fault each last in the replay; recovery lasts one and a half times as long.
LASTING = 30 * 60.0
AT_ONCE = 8
#: Warnings that are right when the machine that runs the tests, or the test's consumer of results, is slow.
_OF_THE_MACHINE = {"CortiPacingLate", "CortiSlotsFull", "CortiResultsUnread"}
#: Seconds after the end of a fault within which a critical alert must end: the longest window of an objective
#: is half an hour.
_ENDS_WITHIN = 35 * 60.0


def rehearse(name: str, broker: str, rabbitmq: RabbitMqServer | None, folder: Path) -> list[str]:
    """Cause a fault, repair it, replay the recording, and return what is wrong with the alerts."""
    fault = FAULTS[name]
    with staged(
        broker, rabbitmq, folder, token_seconds=fault.token_seconds, settings=fault.settings
    ) as scene:
        recorder = scene.recorder
        scene.interval = fault.interval
        fault.before(scene)
        scene.idle(60)
        broken = recorder.now()
        fault.breaks(scene)
        time.sleep(fault.seconds)
        mended = recorder.now()
        scene.recover()
        fault.mends(scene)
        time.sleep(STEADY)
        scene.idle(150)
        ended = recorder.now()
    stretches = [
        Stretch(broken - STEADY - 1, broken, STEADY, LASTING),
        Stretch(broken, mended, fault.steady, LASTING),
        Stretch(mended, ended, STEADY, 1.5 * LASTING),
    ]
    replay = Replay(recorder.recording, stretches)
    fired = {
        alert: when
        for alert, when in replay.fired(folder).items()
        if alert not in _OF_THE_MACHINE - fault.fires.keys()
    }
    print(_line(f"{broker}: {name}", fired, replay.begin_of(1)))
    return [f"{broker}: {name}: {finding}" for finding in findings(fault, fired, replay)]


def findings(fault: Fault, fired: Mapping[str, Fired], replay: Replay) -> Iterator[str]:
    """What is wrong with the alerts that fired."""
    began, over = replay.begin_of(1), replay.begin_of(2)
    for alert in fault.fires.keys() - fired.keys():
        yield f"{alert} did not fire"
    for alert, when in fired.items():
        minutes = (when.first - began) / 60
        if alert in fault.may - CRITICAL and minutes >= 0:
            continue
        if alert not in fault.fires:
            yield f"{alert} fired from minute {minutes:.1f} to {(when.last - began) / 60:.1f}"
        elif minutes < 0:
            yield f"{alert} fired before the fault"
        elif minutes > fault.fires[alert]:
            yield f"{alert} fired after {minutes:.1f} minutes, not within {fault.fires[alert]}"
        elif alert in CRITICAL and when.last > over + _ENDS_WITHIN:
            yield f"{alert} still fired {(when.last - over) / 60:.1f} minutes after the end of the fault"


def _line(what: str, fired: Mapping[str, Fired], began: float) -> str:
    told = (f"{alert} after {(when.first - began) / 60:.1f} min" for alert, when in fired.items())
    return f"{what}: {', '.join(sorted(told)) or 'quiet'}"


#: Alerts that no fault here fires, with the reason; promtool tests them with made-up series.
NOT_REHEARSED = {
    "CortiTranscriptsSlow": "needs a service that is slower than half a minute, but answers",
}


def test_every_alert_is_fired_by_a_fault() -> None:
    fired = set().union(*(fault.fires.keys() | fault.may for fault in FAULTS.values()))
    assert fired | NOT_REHEARSED.keys() == ALERTS
    assert not fired & NOT_REHEARSED.keys()


def test_the_runbook_says_how_soon_each_critical_alert_fires() -> None:
    rows = re.findall(r"^\|[^|]+\| (Corti\w+) \| (\d+)\b", RUNBOOK.read_text(), re.MULTILINE)
    bounds: dict[str, float] = {}
    for fault in FAULTS.values():
        for alert, minutes in fault.fires.items():
            bounds[alert] = max(minutes, bounds.get(alert, 0.0))
    assert {alert: float(minutes) for alert, minutes in rows} == {
        alert: minutes for alert, minutes in bounds.items() if alert in CRITICAL
    }


def _groups() -> Iterator[tuple[str, list[str]]]:
    """Groups of faults that run at the same time, because nearly all of their time is waiting."""
    for broker in BOTH:
        names = [name for name, fault in FAULTS.items() if broker in fault.brokers]
        for first in range(0, len(names), AT_ONCE):
            yield broker, names[first : first + AT_ONCE]


@pytest.mark.parametrize(
    ("broker", "names"),
    list(_groups()),
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_each_fault_fires_its_alerts_in_their_time_and_no_others(
    broker: str, names: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    require(*prometheus_server.available())
    require(*RedisServer.available())
    rabbitmq = request.getfixturevalue("rabbitmq_server") if broker == "rabbitmq" else None
    with ThreadPoolExecutor(len(names)) as pool:
        futures = [
            pool.submit(rehearse, name, broker, rabbitmq, tmp_path / str(n)) for n, name in enumerate(names)
        ]
    wrong = [finding for future in futures for finding in future.result()]
    assert not wrong, "\n".join(wrong)
