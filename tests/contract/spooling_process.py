"""A process that has copied audio, and waits to be killed. Its argument is the directory of the copies."""

import sys
import threading
from io import BytesIO
from pathlib import Path

from worker.audio.reading import Source
from worker.audio.spool import Spool

with Spool(Path(sys.argv[1]), 1 << 30).spooled(
    Source(BytesIO(bytes(10_000_000)).read, None, at_hand=True)
) as copy:
    assert copy.read_at is not None
    print(len(copy.read_at(0, 1 << 30)), flush=True)
    threading.Event().wait(60)
