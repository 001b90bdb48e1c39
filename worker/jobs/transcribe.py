"""One attempt at a job, from start to end: audio, interaction, stream, result, with a token where needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.contract.events import AudioFigures, Completed, Data, Facts, Progress, ResultAudio, Segments
from worker.contract.job import Job
from worker.jobs.audio import Audio, AudioLibrary
from worker.jobs.ports import Interaction, Interactions, Sent, Stream, Streams, Tokens
from worker.protocol import messages
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage
from worker.protocol.speakers import Roles, plain_text
from worker.protocol.token import Token
from worker.protocol.transcript import Transcript, speech_seconds

T = TypeVar("T")
Report = Callable[[Data], None]

#: A warning in the result of audio of which the transcript is empty.
NO_SPEECH = "no speech was recognised in the audio"


def _forget(_: Interaction) -> None:
    pass


@contextmanager
def _observed(attempt: "Attempt", stream: Stream, interaction: Interaction) -> Iterator[None]:
    attempt.observer.opened()
    failure = None
    try:
        yield
    except JobError as error:
        failure = error
        raise
    finally:
        # A first segment may have arrived that was not taken, before an interrupt or when the stream broke.
        attempt.observer.heard(stream.first_segment())
        attempt.observer.streamed(stream.figures()[0], interaction.id, failure)


@contextmanager
def _converting(attempt: "Attempt", audio: Audio) -> Iterator[None]:
    """Have the next attempt convert audio of which a part cannot be read, by the worker or by the service."""
    try:
        yield
    except JobError as error:
        unreadable = error.reason in {Reason.AUDIO_DAMAGED, Reason.AUDIO_UNSUPPORTED}
        if not unreadable or not audio.convertible or attempt.convert:
            raise
        attempt.convert = True
        raise TransientError(
            Reason.AUDIO_DAMAGED,
            "a part of the audio cannot be read as it is; the next attempt converts it",
            retry_after=0.0,
        ) from None


def _remaining(total: float | None, stream: Stream, pace: float) -> Callable[[], float | None]:
    return lambda: None if total is None else (total - stream.figures()[0].seconds) / pace


@contextmanager
def _expected(interrupt: Interrupt, remaining: Callable[[], float | None]) -> Iterator[None]:
    """Let a drain ask how long the job still takes. If the stream breaks, nobody knows: it begins again."""
    interrupt.expect(remaining)
    try:
        yield
    except BaseException:
        interrupt.expect(lambda: None)
        raise


class AttemptObserver:
    """Told of what happens during an attempt. This base class ignores all of it."""

    def opened(self) -> None:
        """A stream is open."""

    def heard(self, first: float | None) -> None:
        """The job has taken segments; the first one arrived `first` seconds after the stream was open."""

    def streamed(self, figures: AudioFigures, interaction_id: str, failure: JobError | None) -> None:
        """A stream is over, with a failure or without; `figures` says how much audio was sent on it."""


@dataclass(slots=True)
class Attempt:
    """What one attempt leaves to the next, on this worker or another.

    An interaction is created once per job and used again: a second create with the same identifier
    is refused by the service (PROTOCOL.md 3.2).

    Attributes:
        number: Of the attempt, from 1.
        interaction: The job's interaction, once there is one.
        remember: Told of an interaction as soon as it exists.
        convert: Whether the audio is to be converted, because the service did not take it as it was.
        asked: Whether this worker has asked the service to create it; the answer may have got lost.
        observer: Told of what happens on the way.
    """

    number: int = 1
    interaction: Interaction | None = None
    remember: Callable[[Interaction], None] = _forget
    convert: bool = False
    asked: bool = False
    observer: AttemptObserver = field(default_factory=AttemptObserver)


@dataclass(frozen=True, slots=True)
class Transcriber:
    """Runs one attempt at a job on the ports it was given."""

    tokens: Tokens
    interactions: Interactions
    audio: AudioLibrary
    streams: Streams

    def transcribe(self, job: Job, attempt: Attempt, interrupt: Interrupt, report: Report) -> Completed:
        """Stream a job's audio and put the service's messages together into a result.

        Args:
            job: The job.
            attempt: Carries the interaction from one attempt to the next; changed in place.
            interrupt: Ends the attempt early.
            report: Takes the data of live events that the job asked for.

        Raises:
            JobError: The attempt failed; its class says whether another one can help.
            Interrupted: By `interrupt`.
        """
        with self.audio.open(job, interrupt, convert=attempt.convert) as audio, _converting(attempt, audio):
            if attempt.interaction is None:
                attempt.interaction = self._interaction(job, attempt)
                attempt.remember(attempt.interaction)
            interrupt.check()
            interaction = attempt.interaction
            configuration = messages.configuration(job, audio.format)
            transcript, roles, usage = Transcript(), Roles(job.transcription), None
            opened = self._authorised(lambda token: self.streams.open(interaction, token, configuration))
            with (
                opened as stream,
                _observed(attempt, stream, interaction),
                _expected(interrupt, _remaining(audio.total_seconds, stream, job.pace)),
            ):
                conversation = stream.converse(
                    audio.chunks(),
                    job.pace,
                    live=bool(job.events),
                    interrupt=interrupt,
                    at_hand=audio.at_hand,
                )
                for message in conversation:
                    match message:
                        case TranscriptMessage(segments):
                            attempt.observer.heard(stream.first_segment())
                            transcript.add_segments(segments)
                            if "transcript" in job.events:
                                report(Segments(segments=roles.give(segments)))
                        case FactsMessage(facts):
                            transcript.add_facts(facts)
                            if "facts" in job.events:
                                report(Facts(facts=facts))
                        case Usage():
                            usage = message.credits
                        case Sent(seconds):
                            if "progress" in job.events:
                                report(Progress(audio_seconds=seconds, total_seconds=audio.total_seconds))
                figures, warnings = stream.figures()
        segments = roles.give(transcript.segments)
        text = plain_text(segments)
        return Completed(
            interaction_id=interaction.id,
            segments=segments,
            text=text,
            facts=transcript.facts,
            audio=ResultAudio.of(
                figures,
                speech_seconds(segments, figures.seconds),
                audio.source_format,
                audio.sent_format,
            ),
            credits=usage,
            warnings=(*warnings, *audio.warnings(), *(() if text else (NO_SPEECH,))),
            attempts=attempt.number,
            metadata=job.metadata,
        )

    def _interaction(self, job: Job, attempt: Attempt) -> Interaction:
        asked_before, attempt.asked = attempt.asked, True
        try:
            return self._authorised(lambda token: self.interactions.create(job, token))
        except PermanentError as error:
            # The interaction is ours if an earlier attempt may have created it and lost the answer, or if its
            # identifier is this job's id. Any other one belongs to the producer or to others: do not use it.
            ours = asked_before or attempt.number > 1 or job.encounter.identifier is None
            if error.reason is not Reason.DUPLICATE_ENCOUNTER or not ours:
                raise
            found = self._authorised(lambda token: self.interactions.find(job, token))
            if found is None:
                raise
            return found

    def _authorised(self, call: Callable[[Token], T]) -> T:
        token = self.tokens.get()
        try:
            return call(token)
        except TokenRefused:
            # The token was revoked or rotated before its time. Try one fresh token; if that is refused, too,
            # the retry policy decides, so that a broken account cannot make us flood the endpoint.
            self.tokens.refused(token)
            return call(self.tokens.get())
