"""A session and a model of the service, connected without a socket, a thread or real time."""

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.examples import job
from tests.unit.protocol.service_model import ServiceModel
from tests.unit.protocol.session_steps import TIMINGS
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage, configuration
from worker.protocol.session import Close, Content, SendText, Session, State


class Dialogue:
    """A session, a service and the connection between them; each answer takes `latency` seconds."""

    def __init__(self, chunks: list[bytes], latency: float = 0.3) -> None:
        self.service = ServiceModel()
        self.session = Session(configuration(job(), "audio/pcm; rate=16000; channels=1; bits=16"), TIMINGS)
        self.content: list[Content] = []
        self.now = 0.0
        self._audio = deque(chunks)
        self._latency = latency
        self._wire: deque[tuple[float, str]] = deque()

    def run(self, drop_after: Callable[[int], bool] = lambda _: False) -> None:
        """Play the dialogue to its end, 100 ms at a time; the socket drops once `drop_after` says so."""
        self.session.opened(self.now)
        while self.session.state is not State.CLOSED:
            self._carry_out()
            while self._wire and self._wire[0][0] <= self.now:
                self.session.received(self._wire.popleft()[1], self.now)
            self.content += self.session.messages()
            if self.session.may_send_audio:
                self._send_chunk()
            if drop_after(self.service.heard):
                self.session.closed(None, self.now)
            self.now += 0.1
            deadline = self.session.deadline
            if deadline is not None and deadline <= self.now:
                self.session.tick(self.now)
        self._carry_out()

    def _send_chunk(self) -> None:
        if self._audio:
            data = self._audio.popleft()
            self._answers(self.service.audio(data))
        else:
            self.session.audio_ended(self.now)

    def _carry_out(self) -> None:
        for command in self.session.commands():
            match command:
                case SendText(text):
                    self._answers(self.service.text(text))
                case Close():
                    self.service.closed(1000)

    def _answers(self, texts: list[str]) -> None:
        self._wire += [(self.now + self._latency, text) for text in texts]


def test_a_whole_consultation() -> None:
    dialogue = Dialogue([b"\0" * 8000] * 9)
    dialogue.run()
    assert (dialogue.session.failure, dialogue.session.warnings) == (None, ())
    assert dialogue.service.heard == 72_000
    assert dialogue.service.closed_with == 1000
    *segments, facts, usage = dialogue.content
    words = [
        one.text for message in segments if isinstance(message, TranscriptMessage) for one in message.segments
    ]
    assert words == ["words 0", "words 16000", "words 32000", "words 48000", "words 64000"]
    assert isinstance(facts, FactsMessage)
    assert facts.facts[0].text == "72000 bytes heard"
    assert usage == Usage(72_000 / 32_000 / 60, final=True)
    assert dialogue.service.configuration is not None
    assert dialogue.service.configuration["audioFormat"] == "audio/pcm; rate=16000; channels=1; bits=16"


@given(st.lists(st.integers(1, 64_000), max_size=6), st.sampled_from([0.0, 0.3, 5.0, 13.0]))
def test_any_audio_at_any_latency_comes_to_a_good_end(sizes: list[int], latency: float) -> None:
    dialogue = Dialogue([b"\0" * size for size in sizes], latency)
    dialogue.run()
    assert dialogue.session.failure is None
    assert dialogue.service.heard == sum(sizes)
    ends = [
        one.end
        for message in dialogue.content
        if isinstance(message, TranscriptMessage)
        for one in message.segments
    ]
    assert ends == sorted(ends)
    assert ends[-1:] == [sum(sizes) / 32_000][: len(sizes)]


@pytest.mark.parametrize("size", [0, 8_000, 40_000])
def test_a_socket_that_drops_keeps_what_was_heard_before(size: int) -> None:
    dialogue = Dialogue([b"\0" * 8000] * 9)
    dialogue.run(drop_after=lambda heard: heard >= size)
    assert dialogue.session.failure is not None
    assert dialogue.service.heard == max(size, 0)
    assert all(isinstance(message, TranscriptMessage) for message in dialogue.content)


def test_a_service_that_is_too_slow_to_accept_gets_no_audio() -> None:
    dialogue = Dialogue([b"\0" * 8000], latency=16.0)
    dialogue.run()
    assert dialogue.session.failure is not None
    assert dialogue.session.failure.reason == "config_timeout"
    assert dialogue.service.heard == 0
