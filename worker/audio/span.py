"""A span of a file behind a URL, read over as many connections as that takes.

A consultation is streamed for an hour at the pace of speech, and connections that old are cut: by servers
that are replaced, by load balancers, by limits for clients that read slowly. Without going on at the byte
where it stopped, each such cut would cost an attempt of the job, and the audio would be streamed again from
its beginning.
"""

from collections.abc import Callable

import requests
import urllib3

from worker.audio.failures import AttemptOver, cut_short, mapped, too_much
from worker.audio.remote import RemoteFile
from worker.contract.errors import TransientError

#: How much of a download is read at a time.
BLOCK_BYTES = 16 * 1024
#: Seconds before each further request in a row that brought less than a block. The first one waits for
#: nothing: mostly a connection was cut, and the server is well. Longer pauses would leave a stream without
#: audio.
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)

#: Adds bytes that have come to those of before; raises if these are too many.
Count = Callable[[int], None]


class Span:
    """Bytes of a file from one offset to another, in order. Not for two threads at once; to be closed.

    Args:
        file: The file.
        begin: Offset of the first byte.
        end: Offset behind the last byte; None: to the end of the body, wherever that is.
        count: Called with the bytes that have come.
        response: An answer whose body begins at `begin`; without it one is asked for.
    """

    def __init__(
        self,
        file: RemoteFile,
        begin: int,
        end: int | None,
        count: Count,
        response: requests.Response | None = None,
    ) -> None:
        self._file = file
        self._offset = self._broke_at = begin
        self._end = end
        self._count = count
        self._response = response
        self._announced = end  # offset behind the last byte that this answer should bring
        self._tries = 0

    def close(self) -> None:
        """Close the connection if its body was not read to the end. `take` goes on with another one."""
        if self._response is not None:
            # Where the body was not read to its end, this closes the connection. It waits for nothing.
            self._response.close()
            self._response = None

    def take(self) -> bytes:
        """The next bytes, at most a block of them; none at the end.

        Raises:
            JobError: `audio_unreachable`.
            Interrupted: By the interrupt of the download's `Wait`.
        """
        while self._response is not None or self._offset != self._end:
            try:
                with self._file.wait:
                    return self._read(self._response or self._next_answer())
            except AttemptOver:
                raise
            except TransientError as error:
                self.close()
                broken = error
            self._recover(broken)
        return b""

    def _next_answer(self) -> requests.Response:
        state = self._file.state
        if state is None:
            raise cut_short()
        whole = self._end == state.size
        self._response, self._announced = self._file.part(state, self._offset, None if whole else self._end)
        return self._response

    def _read(self, response: requests.Response) -> bytes:
        try:
            # `read1` returns what has arrived, up to a block. `iter_content` waits for whole blocks, and a
            # block can be seconds of a compressed recording: the speed check would learn of it too late.
            block = response.raw.read1(BLOCK_BYTES, decode_content=True) or b""
        except urllib3.exceptions.HTTPError as error:
            raise mapped(error) from None
        self._offset += len(block)
        self._count(len(block))
        if self._announced is not None:
            if self._offset > self._announced:
                raise too_much()
            # If a body that is cut short were taken for the whole, a consultation would end in mid-sentence.
            if not block and self._offset != self._end:
                raise cut_short()
        return block

    def _recover(self, error: TransientError) -> None:
        """Wait before the next answer is asked for, or raise the error."""
        if self._file.state is None:
            raise error
        if self._offset - self._broke_at >= BLOCK_BYTES:
            self._tries = 0
        if self._tries == len(PAUSES):
            raise error
        pause = max(PAUSES[self._tries], error.retry_after or 0.0)
        if pause > PAUSES[-1]:
            raise error
        self._tries += 1
        self._broke_at = self._offset
        self._file.wait.pause(pause)
