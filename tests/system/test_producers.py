"""Jobs as serializers of other languages write them: byte order marks, nulls, CloudEvents, base64."""

import base64
import json
from pathlib import Path

from tests.system.audio import clip
from tests.system.installation import Installation

BOM = b"\xef\xbb\xbf"
UNSET = dict.fromkeys(
    [
        "encounter",
        "patient",
        "assigned_user_id",
        "output",
        "pace",
        "tenant",
        "events",
        "reply_to",
        "not_after",
    ]
)


def test_jobs_of_many_serializers_run_and_dead_letters_of_unreadable_ones_say_why(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    plain = [installation.job(path, pace=20, metadata={"n": n, "unset": None}) for n in range(6)]
    event = {"specversion": "1.0", "id": "1", "source": "/ehr", "type": "visit"}
    messages = [
        BOM + json.dumps(plain[0]).encode(),
        BOM + json.dumps(plain[1], indent=2).encode() + b"\r\n",
        json.dumps({**plain[2], **UNSET, "pace": 20, "traceparent": None}).encode(),
        json.dumps({**event, "data": plain[3], "data_base64": None}).encode(),
        json.dumps(
            {**event, "data_base64": base64.b64encode(json.dumps(plain[4]).encode()).decode()}
        ).encode(),
        BOM
        + json.dumps(
            {**event, "data_base64": base64.b64encode(BOM + json.dumps(plain[5]).encode()).decode()}
        ).encode(),
    ]
    refused = [
        json.dumps({**plain[0], "patient": {"identifier": "1", "birth_date": "19700101"}}).encode(),
        json.dumps({**plain[0], "job_id": "1.2.840^7"}).encode(),
        json.dumps(plain[0]).encode("utf-16"),
    ]
    installation.start_worker().ready()
    installation.put(*messages, *refused)

    finals = installation.finals(len(messages), timeout=60)
    letters = installation.dead(len(refused), timeout=30)

    assert installation.outcomes(finals) == {"completed": len(messages)}
    assert sorted(final["data"]["metadata"]["n"] for final in finals.values()) == [0, 1, 2, 3, 4, 5]
    assert all(final["data"]["metadata"]["unset"] is None for final in finals.values())
    said = {letter["errors"][0]["field"]: letter["errors"][0]["expected"] for letter in letters}
    assert said == {
        "patient.birth_date": 'expected a date, or a time with its offset (RFC 3339), such as "1970-01-31"',
        "job_id": "expected 1 to 128 characters: a letter or digit, then letters, digits and . _ : @ -, "
        'such as "visit-4711"',
        "$": "expected JSON in UTF-8 (RFC 8259)",
    }
