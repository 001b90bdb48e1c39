"""A file behind a URL: asked for by its parts, each of which must be of the same state of the file."""

from http import HTTPStatus

import requests

from worker.audio.failures import changed, no_ranges, refusal, too_large, wrong_part
from worker.audio.parts import State, encoded, part
from worker.audio.requesting import Requester
from worker.audio.sockets import Wait
from worker.clock import Clock

#: Statuses whose body is the whole audio. Any other status is refused, also a redirect without a target.
WHOLE = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
_CHANGED = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})


class RemoteFile:
    """The file behind a URL, as its first answer showed it.

    Args:
        requester: Sends requests.
        url: Of the job. Each request starts there again: where it redirects to may be valid for minutes only.
        state: What tells this file from another that takes its place; None if nothing does. Then there is
            only the first answer.
        wait: The limits of all waits.
        clock: For dates in answers.
    """

    def __init__(self, requester: Requester, url: str, state: State | None, wait: Wait, clock: Clock) -> None:
        self.state = state
        self.wait = wait
        self._requester = requester
        self._url = url
        self._clock = clock

    def part(self, state: State, begin: int, end: int | None) -> tuple[requests.Response, int]:
        """Ask for a part of the file.

        Args:
            state: Of the file.
            begin: Offset of the first byte.
            end: Offset behind the last byte; None: the rest.

        Returns:
            The answer, and the offset behind the last byte that it announces.

        Raises:
            JobError: `audio_unreachable`; AttemptOver if the file has changed or the server has no ranges.
        """
        last = "" if end is None else end - 1
        headers = {"Range": f"bytes={begin}-{last}", "If-Range": state.validator}
        with self.wait.another_answer():
            response = self._requester.get(self._url, headers)
        try:
            return response, self._end_of(response, state, begin, end)
        except BaseException:
            response.close()
            raise

    def _end_of(self, response: requests.Response, state: State, begin: int, end: int | None) -> int:
        status, headers = response.status_code, response.headers
        is_file = status in WHOLE or status == HTTPStatus.PARTIAL_CONTENT
        if status in _CHANGED or (is_file and not state.is_of(headers)):
            raise changed()
        if status in WHOLE:
            raise no_ranges()
        if not is_file:
            raise refusal(response, self._clock.wall())
        got = part(headers)
        if got is None or encoded(headers):
            raise wrong_part()
        first, behind, whole = got
        if whole != state.size:
            raise changed()
        if first != begin or behind > (end or whole):
            raise wrong_part()
        return behind


class Limit:
    """Counts the bytes that come for a download, over all of its connections.

    Args:
        most: How many may come.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def count(self, size: int) -> None:
        """Add bytes. An answer may announce fewer than it sends, or send data that expands a lot."""
        self._left -= size
        if self._left < 0:
            raise too_large()
