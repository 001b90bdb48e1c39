"""A stream's socket, plain and TLS: the peer is slow, breaks off, or sends its messages in pieces."""

import select
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from socket import SHUT_RDWR, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket, socketpair

import pytest
import trustme
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from tests.contract.waiting import eventually
from worker.corti.stream.frames import Alive, Closed, Received, TextMessage, audio_frame
from worker.corti.stream.transport import Transport


class Peer:
    """The server's end of a socket, made with the library's own server class."""

    def __init__(self, sock: socket) -> None:
        self.sock = sock
        self._protocol = Protocol(SERVER, state=OPEN, max_size=None)

    def send(self, *frames: Frame, piece: int = 65536) -> None:
        """Send frames, cut into pieces of this size."""
        raw = b"".join(frame.serialize(mask=False) for frame in frames)
        for at in range(0, len(raw), piece):
            self.sock.sendall(raw[at : at + piece])

    def receive(self, number: int) -> list[Frame]:
        """Read until so many frames have arrived."""
        frames: list[Frame] = []
        while len(frames) < number:
            data = self.sock.recv(65536)
            assert data, f"the socket ended after {len(frames)} of {number} frames"
            self._protocol.receive_data(data)
            frames += [event for event in self._protocol.events_received() if isinstance(event, Frame)]
        return frames


@pytest.fixture(params=["plain", "tls"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Transport, Peer]]:
    """Both ends of a connection with small buffers."""
    here, there = socketpair()
    for end in (here, there):
        end.setsockopt(SOL_SOCKET, SO_SNDBUF, 8192)
        end.setsockopt(SOL_SOCKET, SO_RCVBUF, 8192)
        end.settimeout(10)
    if request.param == "tls":
        here, there = secured(here, there)
    here.setblocking(False)
    yield Transport(here), Peer(there)
    for end in (here, there):
        with suppress(OSError):
            end.shutdown(SHUT_RDWR)
        end.close()


def secured(here: socket, there: socket) -> tuple[socket, socket]:
    """Both ends, after a TLS handshake."""
    authority = trustme.CA()
    of_server, of_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("corti.test").configure_cert(of_server)
    authority.configure_trust(of_client)
    with ThreadPoolExecutor(1) as pool:
        server = pool.submit(of_server.wrap_socket, there, server_side=True)
        client = of_client.wrap_socket(here, server_hostname="corti.test")
        return client, server.result()


def received_by(transport: Transport, number: int) -> list[Received]:
    """Read until so many items have arrived."""
    items: list[Received] = []
    while len(items) < number:
        assert select.select([transport.sock], [], [], 10)[0], f"only {items} came"
        items += transport.receive()
    return items


def test_bytes_that_the_socket_does_not_accept_are_sent_later_in_order(ends: tuple[Transport, Peer]) -> None:
    transport, peer = ends
    messages = [bytes([number]) * (1 + 997 * number) for number in range(60)]
    for message in messages:
        transport.send(audio_frame(message))
    transport.framing.text("the end")
    assert transport.unsent > 500_000
    frames: list[Frame] = []
    reader = threading.Thread(target=lambda: frames.extend(peer.receive(len(messages) + 1)))
    reader.start()
    while transport.unsent:
        assert select.select([], [transport.sock], [], 10)[1], f"{transport.unsent} bytes are stuck"
        transport.flush()
    reader.join(10)
    assert [bytes(frame.data) for frame in frames] == [*messages, b"the end"]
    assert [frame.opcode for frame in frames] == [Opcode.BINARY] * len(messages) + [Opcode.TEXT]
    assert not transport.broken


@pytest.mark.parametrize("piece", [1, 7, 65536])
def test_messages_arrive_whole_however_they_were_cut(ends: tuple[Transport, Peer], piece: int) -> None:
    transport, peer = ends
    frames = (
        Frame(Opcode.TEXT, b"one"),
        Frame(Opcode.TEXT, b"tw", fin=False),
        Frame(Opcode.PONG, b""),
        Frame(Opcode.CONT, b"o"),
        Frame(Opcode.BINARY, b"3" * 130),
        Frame(Opcode.CLOSE, b"\x03\xf3"),
    )
    sender = threading.Thread(target=peer.send, args=frames, kwargs={"piece": piece})
    sender.start()
    items = received_by(transport, 5)
    sender.join()
    assert items == [
        TextMessage(b"one"),
        Alive(),
        TextMessage(b"two"),
        TextMessage(b"3" * 130),
        Closed(1011),
    ]


def test_a_ping_is_answered(ends: tuple[Transport, Peer]) -> None:
    transport, peer = ends
    peer.send(Frame(Opcode.PING, b"are you there"), Frame(Opcode.TEXT, b"x"))
    received_by(transport, 1)
    transport.flush()
    (pong,) = peer.receive(1)
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"are you there")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 400 Bad Request\r\n".ljust(200),
        b"\x83\x00",
        b"\xc1\x01a",
        b"\x81\x7f\x00\x00\x00\x00\x01\x00\x00\x00",
        b"\x88\x01\x03",
    ],
    ids=["http", "unknown opcode", "reserved bit", "16 MiB", "half a close code"],
)
def test_a_peer_that_breaks_the_protocol_is_closed_without_a_code(
    ends: tuple[Transport, Peer], raw: bytes
) -> None:
    transport, peer = ends
    peer.sock.sendall(raw)
    assert received_by(transport, 1) == [Closed(None)]
    transport.flush()
    (close,) = peer.receive(1)
    assert close.opcode is Opcode.CLOSE


def test_text_messages_are_passed_on_unparsed(ends: tuple[Transport, Peer]) -> None:
    transport, peer = ends
    peer.send(Frame(Opcode.TEXT, b"\xff\xfe"))
    assert received_by(transport, 1) == [TextMessage(b"\xff\xfe")]


def test_a_peer_that_is_gone_shows_on_reading_and_on_writing(ends: tuple[Transport, Peer]) -> None:
    transport, peer = ends
    peer.sock.close()
    assert received_by(transport, 1) == [Closed(None)]

    def broken() -> bool:
        transport.send(audio_frame(b"x" * 60_000))
        return transport.broken

    eventually(broken)
    assert transport.unsent == 0
