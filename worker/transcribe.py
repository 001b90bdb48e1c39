"""The path of one job, told once: token, interaction, audio, stream, fold (design, section 2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from worker.corti import messages
from worker.corti.messages import FactsMessage, TranscriptMessage, Usage
from worker.corti.token import Token
from worker.corti.transcript import Transcript
from worker.errors import TokenRefused
from worker.events import Completed, Data, Facts, Progress, Segments
from worker.job import Job
from worker.ports import AudioLibrary, Interaction, Interactions, Sent, Streams, Tokens

T = TypeVar("T")
Report = Callable[[Data], None]


@dataclass(slots=True)
class Attempt:
    """What one attempt leaves to the next: its number, and the interaction once there is one.

    An interaction is created once per job and used again: a second create with the same identifier
    is refused by the service (protocol 3.2).
    """

    number: int = 1
    interaction: Interaction | None = None


@dataclass(frozen=True, slots=True)
class Transcriber:
    """Runs one attempt at a job on the ports it was given."""

    tokens: Tokens
    interactions: Interactions
    audio: AudioLibrary
    streams: Streams

    def transcribe(self, job: Job, attempt: Attempt, report: Report) -> Completed:
        """Stream a job's audio and fold what comes back.

        Args:
            job: The job.
            attempt: Carries the interaction from one attempt to the next; changed in place.
            report: Takes the data of live events that the job asked for.

        Raises:
            JobError: The attempt failed; its class says whether another one can help.
        """
        with self.audio.open(job.audio) as audio:
            if attempt.interaction is None:
                attempt.interaction = self._authorised(lambda token: self.interactions.create(job, token))
            interaction = attempt.interaction
            configuration = messages.configuration(job, audio.format)
            transcript, usage = Transcript(), None
            opened = self._authorised(lambda token: self.streams.open(interaction, token, configuration))
            with opened as stream:
                for news in stream.converse(audio.chunks(), job.pace, live=bool(job.events)):
                    match news:
                        case TranscriptMessage(segments):
                            transcript.add_segments(segments)
                            if "transcript" in job.events:
                                report(Segments(segments=segments))
                        case FactsMessage(facts):
                            transcript.add_facts(facts)
                            if "facts" in job.events:
                                report(Facts(facts=facts))
                        case Usage():
                            usage = news.credits
                        case Sent(seconds):
                            if "progress" in job.events:
                                report(Progress(audio_seconds=seconds, total_seconds=None))
                figures, warnings = stream.figures()
        return Completed(
            interaction_id=interaction.id,
            segments=transcript.segments,
            facts=transcript.facts,
            audio=figures,
            credits=usage,
            warnings=warnings,
            attempts=attempt.number,
            metadata=job.metadata,
        )

    def _authorised(self, call: Callable[[Token], T]) -> T:
        token = self.tokens.get()
        try:
            return call(token)
        except TokenRefused:
            # Revoked or rotated before its time. One fresh token; if that is refused too, the
            # retry policy decides, so that a broken account cannot make us hammer the endpoint.
            self.tokens.refused(token)
            return call(self.tokens.get())
