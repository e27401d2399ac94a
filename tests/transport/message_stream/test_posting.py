"""What the application does with its arrays after a message was posted does not change the message."""

from __future__ import annotations

import threading

import numpy as np

from transport.address import Address
from transport.message_stream import MessageStream, StreamLimits, StreamListener, open_stream

LIMITS = StreamLimits(2**25)
PATH = "/boardline.v1.DataPlane/Stream"


def test_rest_of_a_message_is_copied_when_the_socket_does_not_take_it_at_once() -> None:
    may_read = threading.Event()
    received: list[bytes] = []

    def take(stream: MessageStream) -> None:
        assert may_read.wait(20)
        message = stream.receive(20)
        assert message is not None
        received.append(bytes(message))
        stream.finish(20)
        stream.wait_for_end()

    listener = StreamListener(Address("127.0.0.1", 0), PATH, take, LIMITS, None)
    listener.start()
    try:
        stream = open_stream(listener.address, PATH, LIMITS, credentials=None, name="board", timeout_s=5)
        array = np.arange(2_000_000, dtype=np.int64)  # more than the system takes of a peer that does not read
        expected = array.tobytes()
        stream.post([array.data.cast("B")], 5, copies_rest=True)
        array[:] = 7
        may_read.set()
        assert stream.receive(20) is None
        stream.close()
    finally:
        listener.stop()
        assert listener.join(20)
    assert received == [expected]
