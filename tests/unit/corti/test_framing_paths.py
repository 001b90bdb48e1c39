"""The framing has a fast path for whole text messages; its results must be those of the library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

from worker.corti.stream.frames import (
    MAX_MESSAGE_BYTES,
    Alive,
    Closed,
    Framing,
    Received,
    TextMessage,
)


def frame(first: int, data: bytes = b"", *, fin: bool = True, mask: bool = False) -> bytes:
    """A frame that may break any rule about its first byte, and may be masked with zeros."""
    size = len(data)
    short, long = (size, 0) if size < 126 else (126, 2) if size < 65_536 else (127, 8)
    head = bytes((first | fin << 7, short | mask << 7)) + (size.to_bytes(long, "big") if long else b"")
    return head + bytes(4 * mask) + data


def text(data: bytes, *, fin: bool = True) -> bytes:
    """A text frame."""
    return frame(Opcode.TEXT, data, fin=fin)


def read(framing: Framing, data: bytes, step: int) -> list[Received]:
    """What the framing makes of these bytes when they arrive in reads of `step` bytes."""
    return [item for at in range(0, len(data), step) for item in framing.receive(data[at : at + step])]


def answers(data: bytes) -> list[tuple[Opcode, bytes]]:
    """The frames in these bytes, which the peer receives."""
    peer = Protocol(SERVER, state=OPEN, max_size=None)
    peer.receive_data(data)
    assert peer.parser_exc is None
    frames = [event for event in peer.events_received() if isinstance(event, Frame)]
    return [(one.opcode, bytes(one.data)) for one in frames]


def by_the_library(data: bytes) -> tuple[list[Received], list[tuple[Opcode, bytes]]]:
    """What `websockets` alone makes of all these bytes, and the frames with which it answers."""
    protocol = Protocol(CLIENT, state=OPEN, max_size=MAX_MESSAGE_BYTES)
    protocol.receive_data(data)
    received: list[Received] = []
    parts: list[bytes] = []
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode is Opcode.PONG:
            received.append(Alive())
        elif event.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            parts.append(bytes(event.data))
            if event.fin:
                received.append(TextMessage(b"".join(parts)))
                parts.clear()
    if protocol.close_rcvd or protocol.parser_exc:
        received.append(Closed(protocol.close_rcvd.code if protocol.close_rcvd else None))
    return received, answers(b"".join(protocol.data_to_send()))


payloads = st.sampled_from([0, 0, 1, 2, 3, 125, 126, 300]).map(lambda size: (b"0123456789" * 30)[:size])
fragmented = st.tuples(payloads, payloads, payloads).map(
    lambda part: (
        text(part[0], fin=False) + frame(Opcode.CONT, part[1], fin=False) + frame(Opcode.CONT, part[2])
    )
)
controls = st.sampled_from([frame(Opcode.PING, b"a"), frame(Opcode.PONG), frame(Opcode.CLOSE, b"\x03\xe8")])
anything = st.builds(
    frame,
    # Any opcode, even a reserved one, and sometimes a reserved bit.
    st.integers(0, 15) | st.sampled_from([0x11, 0x21, 0x41]),
    payloads,
    fin=st.booleans(),
    mask=st.sampled_from([False, False, False, True]),
)
#: Mostly valid frames, so that several come before one that breaks the protocol.
frames = st.sampled_from([payloads.map(text)] * 3 + [fragmented] * 2 + [controls, anything]).flatmap(
    lambda kind: kind
)


@given(st.lists(frames, min_size=3, max_size=12).map(b"".join), st.integers(1, 500))
def test_any_frames_in_any_pieces_mean_what_the_library_says(data: bytes, step: int) -> None:
    expected = by_the_library(data)
    for pieces in (1, step, len(data)):
        framing = Framing()
        assert (read(framing, data, pieces), answers(framing.to_send())) == expected


@pytest.mark.parametrize("size", [0, 1, 125, 126, 300])
def test_a_text_message_may_be_cut_at_any_byte(size: int) -> None:
    message = bytes(index % 251 for index in range(size))
    data = text(message) + text(b"next")
    for at in range(len(data) + 1):
        framing = Framing()
        pieces = [piece for piece in (data[:at], data[at:]) if piece]
        received = [item for piece in pieces for item in framing.receive(piece)]
        assert received == [TextMessage(message), TextMessage(b"next")], at


@pytest.mark.parametrize("at", [1, 2, 5, 9, 10, 11, 65_545])
def test_a_text_message_with_a_long_head_may_be_cut_within_it(at: int) -> None:
    message = bytes(65_536)
    framing = Framing()
    assert framing.receive(text(message)[:at]) == []
    assert framing.receive(text(message)[at:]) == [TextMessage(message)]


def test_several_messages_in_one_read_come_out_in_order_and_the_rest_waits() -> None:
    framing, messages = Framing(), [b"one", b"", b"3" * 200, b"four"]
    data = b"".join(map(text, messages))
    assert framing.receive(data + text(b"five")[:3]) == [*map(TextMessage, messages)]
    assert framing.receive(text(b"five")[3:]) == [TextMessage(b"five")]


@pytest.mark.parametrize("first", [b"", b"it "])
def test_a_new_message_within_a_fragmented_one_breaks_the_protocol(first: bytes) -> None:
    framing = Framing()
    assert framing.receive(text(first, fin=False)) == []
    assert framing.receive(text(b"hurts") + text(b"more")) == [Closed(None)]
    ((opcode, data),) = answers(framing.to_send())
    assert (opcode, data[:2]) == (Opcode.CLOSE, (1002).to_bytes(2, "big"))


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_a_masked_message_breaks_the_protocol_however_it_comes(step: int) -> None:
    framing = Framing()
    data = text(b"fine") + frame(Opcode.TEXT, b"\x81\x02hi" * 40, mask=True) + text(b"more")
    assert read(framing, data, step) == [TextMessage(b"fine"), Closed(None)]
    ((opcode, data),) = answers(framing.to_send())
    assert (opcode, data[:2]) == (Opcode.CLOSE, (1002).to_bytes(2, "big"))


@pytest.mark.parametrize("step", [1, 9, 10, 11, 1000])
def test_a_message_that_is_too_long_is_refused_by_its_head(step: int) -> None:
    head = b"\x81\x7f" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big")
    framing = Framing()
    assert read(framing, text(b"fine") + head + b"\x81\x02hi" * 50, step) == [
        TextMessage(b"fine"),
        Closed(None),
    ]
    ((opcode, data),) = answers(framing.to_send())
    assert (opcode, data[:2]) == (Opcode.CLOSE, (1009).to_bytes(2, "big"))


def test_frames_after_a_close_are_ignored() -> None:
    close = frame(Opcode.CLOSE, b"\x03\xe8")
    framing = Framing()
    assert framing.receive(text(b"last words") + close + text(b"too late")) == [
        TextMessage(b"last words"),
        Closed(1000),
    ]
    assert framing.receive(text(b"too late")) == framing.receive(close) == framing.receive(b"") == []


def test_messages_that_arrive_after_our_own_close_are_read() -> None:
    framing = Framing()
    framing.close()
    assert framing.receive(text(b"last words")) == [TextMessage(b"last words")]
    assert framing.receive(frame(Opcode.CLOSE, b"\x03\xe8")) == [Closed(1000)]
