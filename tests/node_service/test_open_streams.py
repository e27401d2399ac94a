"""All streams hear of a drain and of silences, those that come later too, and what they hear last is true."""

from __future__ import annotations

from node_service.open_streams import OpenStreams


class Stream:
    """As much of a stream as hears."""

    def __init__(self) -> None:
        self.heard: list[str | bool] = []

    def drain(self) -> None:
        self.heard.append("drain")

    def announce_silence(self, seconds: float) -> None:
        self.heard.append(seconds > 0)


def test_streams_hear_of_a_silence_and_of_its_end() -> None:
    streams, before, during, after = OpenStreams(), Stream(), Stream(), Stream()
    with streams.registered(before):  # type: ignore[arg-type]
        with streams.silent(10), streams.registered(during):  # type: ignore[arg-type]
            assert (before.heard, during.heard) == ([True], [True])
        with streams.registered(after):  # type: ignore[arg-type]
            pass
    assert (before.heard, after.heard) == ([True, False], [])


def test_silence_ends_for_streams_when_the_load_fails() -> None:
    streams, stream = OpenStreams(), Stream()
    with streams.registered(stream):  # type: ignore[arg-type]
        try:
            with streams.silent(10):
                raise MemoryError
        except MemoryError:
            pass
    assert stream.heard == [True, False]


def test_stream_that_comes_while_the_board_drains_hears_of_it() -> None:
    streams, before, after = OpenStreams(), Stream(), Stream()
    with streams.registered(before):  # type: ignore[arg-type]
        streams.drain()
        with streams.registered(after):  # type: ignore[arg-type]
            everyone: set[object] = set(streams)
            assert everyone == {before, after}
    assert (before.heard, after.heard, list(streams)) == (["drain"], ["drain"], [])
