"""A bench for the protocol object: one interaction and its streams, without sockets or a clock."""

from __future__ import annotations

import json
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from ops.sandbox.audio.decoder import PcmDecoder
from ops.sandbox.audio.format import PcmFormat
from ops.sandbox.faults import Fault, Switchboard
from ops.sandbox.rest.interactions import Interaction, InteractionStore
from ops.sandbox.stats import StreamRecord
from ops.sandbox.stream.alignment import Tracker
from ops.sandbox.stream.hearing import Hearing
from ops.sandbox.stream.lines import PlaceholderLines, ScriptLines
from ops.sandbox.stream.messages import Reply, Send
from ops.sandbox.stream.misbehaviour import Misbehaviour
from ops.sandbox.stream.policy import StreamPolicy
from ops.sandbox.stream.protocol import StreamProtocol
from ops.sandbox.stream.script import Script
from tests.sandbox.client import configuration

if TYPE_CHECKING:
    from ops.sandbox.stream.configuration import Configuration

SCRIPT = Script.parse(
    {
        "lines": [
            {"start": 0.5, "end": 2.0, "speaker": "doctor", "text": "Good morning.", "facts": []},
            {
                "start": 2.5,
                "end": 4.0,
                "speaker": "patient",
                "channel": 1,
                "text": "I cough.",
                "facts": [{"group": "chief-complaint", "text": "Cough", "id": "cough"}],
            },
            {
                "start": 4.5,
                "end": 6.0,
                "speaker": "patient",
                "channel": 1,
                "text": "For a week.",
                "facts": [{"group": "chief-complaint", "text": "Cough for a week", "id": "cough"}],
            },
        ]
    }
)


class Bench:
    """One interaction and its streams; the test sends audio and sets the time."""

    def __init__(
        self, script: Script | None = None, faults: list[dict[str, Any]] | None = None, **policy: float
    ) -> None:
        body = {"encounter": {"identifier": str(uuid.uuid4()), "status": "planned", "type": "consultation"}}
        self.interaction: Interaction = InteractionStore().create("base", body, 0.0)
        self.script = script
        self.policy = StreamPolicy(**policy)
        self.switchboard = Switchboard(Fault.parse(fault) for fault in faults or [])

    def open(self, now: float = 0.0) -> StreamProtocol:
        history = self.interaction.history
        history.sockets += 1
        self.record = StreamRecord(
            self.interaction.id,
            self.interaction.encounter,
            "base",
            history.sockets,
            secure=False,
            opened_at=now,
        )
        return StreamProtocol(
            interaction=self.interaction,
            record=self.record,
            misbehaviour=Misbehaviour(self.switchboard, self.record),
            policy=self.policy,
            make_hearing=partial(self.hearing, history.sockets == 1),
            now=now,
        )

    def hearing(self, first: bool, accepted: Configuration) -> Hearing:
        assert isinstance(accepted.audio_format, PcmFormat)
        history = self.interaction.history
        source: PlaceholderLines | ScriptLines
        if self.script is None:
            source = PlaceholderLines(accepted)
        else:
            tracker = Tracker(history.fingerprint, first=first, heard_seconds=history.heard_seconds)
            source = ScriptLines(self.script, tracker, accepted)
        decoder = PcmDecoder(accepted.audio_format)
        return Hearing(decoder=decoder, source=source, configuration=accepted, long_silence=10.0)

    def send(self, protocol: StreamProtocol, audio: bytes, now: float = 0.0, step: int = 8000) -> list[Reply]:
        replies = []
        for at in range(0, len(audio), step):
            piece = audio[at : at + step]
            self.record.received(piece, now)
            replies += protocol.received_audio(piece, now)
        return replies


def config(**changes: Any) -> str:
    return json.dumps({"type": "config", "configuration": configuration(**changes)})


def types(replies: list[Reply]) -> list[str]:
    return [one.message["type"] if isinstance(one, Send) else type(one).__name__ for one in replies]


def said(replies: list[Reply]) -> list[tuple[str, float, float]]:
    return [
        (one["transcript"], one["time"]["start"], one["time"]["end"])
        for reply in replies
        if isinstance(reply, Send) and reply.message["type"] == "transcript"
        for one in reply.message["data"]
    ]
