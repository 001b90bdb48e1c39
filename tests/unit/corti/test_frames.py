"""WebSocket frames, checked by the server's side of the `websockets` library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from worker.corti.stream.frames import (
    MAX_MESSAGE_BYTES,
    Alive,
    Closed,
    Framing,
    TextMessage,
    audio_frame,
)


class Peer:
    """The server's side of an open WebSocket."""

    def __init__(self) -> None:
        self.protocol = Protocol(SERVER, state=OPEN, max_size=None)

    def takes(self, data: bytes) -> list[Frame]:
        """The frames in these bytes, unmasked; no frame may be incomplete."""
        self.protocol.receive_data(data)
        assert self.protocol.parser_exc is None
        return [event for event in self.protocol.events_received() if isinstance(event, Frame)]

    def sent(self) -> bytes:
        """The bytes that the peer sends."""
        return b"".join(self.protocol.data_to_send())

    def message(self, data: bytes, *sizes: int) -> bytes:
        """A text message in fragments of these sizes and a last fragment with the rest."""
        fragments = []
        for size in sizes:
            fragments.append(data[:size])
            data = data[size:]
        fragments.append(data)
        for number, fragment in enumerate(fragments):
            fin = number == len(fragments) - 1
            if number == 0:
                self.protocol.send_text(fragment, fin=fin)
            else:
                self.protocol.send_continuation(fragment, fin=fin)
        return self.sent()


def frame_of_the_library(data: bytes, mask: bytes) -> bytes:
    """The same message as `websockets` writes it, but with a mask that we choose."""
    unmasked = Frame(Opcode.BINARY, data).serialize(mask=False)
    head = bytes([unmasked[0], unmasked[1] | 0x80]) + unmasked[2 : len(unmasked) - len(data)]
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 127, 8000, 64_000, 65_535, 65_536])
def test_an_audio_frame_is_read_by_a_server_as_one_binary_message(size: int) -> None:
    data = bytes(index * 7 % 251 for index in range(size))
    (frame,) = Peer().takes(audio_frame(data))
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.BINARY, True, data)
    assert (frame.rsv1, frame.rsv2, frame.rsv3) == (False, False, False)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 300, 65_535, 65_536])
def test_an_audio_frame_is_what_the_library_writes_for_the_same_mask(size: int) -> None:
    data = bytes(index * 7 % 251 for index in range(size))
    ours = audio_frame(data)
    mask = ours[len(ours) - size - 4 : len(ours) - size]
    assert ours == frame_of_the_library(data, mask)


def test_each_frame_has_a_mask_of_its_own() -> None:
    assert len({audio_frame(bytes(4))[-4:] for _ in range(50)}) > 45


def test_text_ping_and_close_reach_the_peer_in_order() -> None:
    framing, peer = Framing(), Peer()
    framing.text('{"type": "Blåbær"}')
    framing.ping()
    framing.close()
    text, ping, close = peer.takes(framing.to_send())
    assert (text.opcode, bytes(text.data).decode()) == (Opcode.TEXT, '{"type": "Blåbær"}')
    assert ping.opcode is Opcode.PING
    assert (close.opcode, bytes(close.data)) == (Opcode.CLOSE, (1000).to_bytes(2, "big"))
    assert framing.to_send() == b""


def test_nothing_goes_out_after_our_close() -> None:
    framing = Framing()
    framing.close()
    framing.to_send()
    framing.close()
    framing.text("late")
    framing.ping()
    assert framing.to_send() == b""


@given(st.text(max_size=300), st.lists(st.integers(0, 200), max_size=4), st.integers(1, 400))
def test_a_message_comes_out_whole_however_it_was_cut(text: str, fragments: list[int], step: int) -> None:
    data = Peer().message(text.encode(), *fragments)
    framing = Framing()
    received = [item for at in range(0, len(data), step) for item in framing.receive(data[at : at + step])]
    assert received == [TextMessage(text.encode())]


def test_a_control_frame_between_fragments_does_not_disturb_the_message() -> None:
    peer, framing = Peer(), Framing()
    peer.protocol.send_text(b"it ", fin=False)
    peer.protocol.send_pong(b"corti-worker")
    peer.protocol.send_continuation(b"hurts", fin=True)
    peer.protocol.send_text(b"where?")
    assert framing.receive(peer.sent()) == [Alive(), TextMessage(b"it hurts"), TextMessage(b"where?")]


def test_a_ping_is_answered_with_its_own_data() -> None:
    peer, framing = Peer(), Framing()
    peer.protocol.send_ping(b"are you there")
    framing.receive(peer.sent())
    (pong,) = peer.takes(framing.to_send())
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"are you there")


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4000])
def test_a_close_is_told_once_and_echoed(code: int) -> None:
    peer, framing = Peer(), Framing()
    peer.protocol.send_text(b"last words")
    peer.protocol.send_close(code, "Ada Example")
    assert framing.receive(peer.sent()) == [TextMessage(b"last words"), Closed(code)]
    (close,) = peer.takes(framing.to_send())
    assert (close.opcode, bytes(close.data)[:2]) == (Opcode.CLOSE, code.to_bytes(2, "big"))
    assert framing.receive(b"") == []


def test_a_close_without_a_code_says_so() -> None:
    peer, framing = Peer(), Framing()
    peer.protocol.send_close()
    assert framing.receive(peer.sent()) == [Closed(1005)]


def test_the_end_of_the_connection_is_a_close_without_a_frame() -> None:
    framing = Framing()
    assert framing.receive(b"") == [Closed(None)]
    assert framing.receive(b"") == []


def test_a_message_up_to_the_limit_is_taken_and_a_longer_one_ends_the_stream() -> None:
    assert Framing().receive(Peer().message(bytes(MAX_MESSAGE_BYTES))) == [
        TextMessage(bytes(MAX_MESSAGE_BYTES))
    ]
    for fragments in [], [MAX_MESSAGE_BYTES]:
        framing, peer = Framing(), Peer()
        assert framing.receive(peer.message(bytes(MAX_MESSAGE_BYTES + 1), *fragments)) == [Closed(None)]
        (close,) = peer.takes(framing.to_send())
        assert bytes(close.data)[:2] == (1009).to_bytes(2, "big")


def test_no_frame_is_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    framing, message = Framing(), Peer().message(b"it hurts")
    caplog.clear()
    framing.text("it hurts")
    framing.receive(message)
    framing.receive(b"\xff")
    assert caplog.records == []


@given(st.binary(max_size=40))
def test_no_bytes_make_the_framing_raise(data: bytes) -> None:
    framing = Framing()
    framing.receive(b"\x81\x02hi" + data)
    framing.text("still there?")
    framing.to_send()
    framing.receive(b"")
