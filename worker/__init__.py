"""corti-worker: consultation audio in, transcript and clinical facts out, from queue to queue."""

__version__ = "0.2.0"
