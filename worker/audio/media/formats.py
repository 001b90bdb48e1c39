"""Which bytes show which container, and what the service takes (PROTOCOL.md 5). Tables, no I/O.

A container is named as libavformat names its demuxer. The name is always given to libavformat: left to find
out by itself, it would also read playlists, and those name other files and addresses.
"""

from urllib.parse import urlsplit

#: Bytes that `sniff` needs. The magic of WebM names its kind within them.
HEAD_BYTES = 64

#: Offset and value of a container's first bytes, and its demuxer.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"OggS", "ogg"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"fLaC", "flac"),
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (0, b"ID3", "mp3"),
    (0, b"#!AMR", "amr"),
    (8, b"WAVE", "wav"),
    (0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", "w64"),
    (8, b"AVI ", "avi"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
    (0, b".snd", "au"),
    (0, b"caff", "caf"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
)
#: First bytes of files whose content is encrypted: OpenPGP (RFC 9580) and `openssl enc`.
_ENCRYPTED = (b"-----BEGIN PGP MESSAGE", b"Salted__")
#: Demuxers by media type and by file extension, for bytes that show nothing: a damaged beginning, say.
_BY_TYPE = {
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/vorbis": "ogg",
    "audio/webm": "matroska",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mpeg3": "mp3",
    "audio/flac": "flac",
    "audio/mp4": "mov",
    "audio/m4a": "mov",
    "audio/aac": "aac",
    "audio/amr": "amr",
}
_BY_EXTENSION = {
    "ogg": "ogg",
    "oga": "ogg",
    "opus": "ogg",
    "webm": "matroska",
    "mka": "matroska",
    "mp3": "mp3",
    "flac": "flac",
    "m4a": "mov",
    "mp4": "mov",
    "aac": "aac",
    "amr": "amr",
}
_SYNC, _SYNC_REST, _LAYER = 0xFF, 0xE0, 0x06

#: How the service is told of a container that it takes.
MEDIA_TYPES = {
    "ogg": "audio/ogg",
    "matroska": "audio/webm",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "mov": "audio/mp4",
}
#: Containers with codecs in them that the service takes as they are.
TAKEN = frozenset(
    {
        ("ogg", "opus"),
        ("ogg", "vorbis"),
        ("matroska", "opus"),
        ("matroska", "vorbis"),
        ("mp3", "mp3"),
        ("flac", "flac"),
        ("mov", "aac"),
    }
)
#: For a codec that the service takes, the container that it is repackaged into: our name, and the muxer's.
PACKAGES = {
    "opus": ("ogg", "ogg"),
    "vorbis": ("ogg", "ogg"),
    "mp3": ("mp3", "mp3"),
    "flac": ("flac", "flac"),
    "aac": ("mov", "mp4"),
}
#: What people call a container.
NAMES = {
    "ogg": "Ogg",
    "matroska": "WebM or Matroska",
    "flac": "FLAC",
    "mov": "MP4",
    "mp3": "MP3",
    "aac": "ADTS",
    "amr": "AMR",
    "wav": "WAV",
    "w64": "Wave64",
    "avi": "AVI",
    "aiff": "AIFF",
    "au": "AU",
    "caf": "CAF",
    "asf": "ASF",
}


def name_of(demuxer: str) -> str:
    """What people call a container."""
    return NAMES.get(demuxer, "raw PCM")


def essence(media_type: str | None) -> str:
    """The type/subtype of a MIME string, in lower case; empty for None."""
    return (media_type or "").partition(";")[0].strip().lower()


def sniff(head: bytes) -> str | None:
    """The demuxer for what the first bytes show, or None."""
    for offset, magic, demuxer in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return demuxer
    return None


def sniff_frames(head: bytes) -> str | None:
    """The demuxer for a file that begins with a frame of MPEG audio, or None.

    Only two bytes show it, and samples of raw PCM can have the same value by chance.
    """
    if len(head) > 1 and head[0] == _SYNC and head[1] >= _SYNC_REST:
        return "mp3" if head[1] & _LAYER else "aac"
    return None


def supposed(*hints: str | None) -> str | None:
    """The demuxer for the first media type or URI among `hints` that has one, or None."""
    for hint in hints:
        if (demuxer := _BY_TYPE.get(essence(hint))) is not None:
            return demuxer
        name = urlsplit(hint or "").path.rpartition("/")[2]
        if "." in name and (demuxer := _BY_EXTENSION.get(name.rpartition(".")[2].lower())) is not None:
            return demuxer
    return None


def contradiction(demuxer: str, told: str | None) -> str | None:
    """A sentence for the result, if the bytes show another container than the job's media type; else None."""
    said = essence(told)
    supposed_by_it = "raw PCM" if said == "audio/pcm" else _BY_TYPE.get(said)
    if supposed_by_it in {None, demuxer}:
        return None
    return (
        f"audio.media_type says {said}, but the bytes are {NAMES[demuxer]}: they were read as what they are"
    )


def is_encrypted(head: bytes) -> bool:
    """Whether the first bytes are those of an encrypted file."""
    return head.startswith(_ENCRYPTED)
