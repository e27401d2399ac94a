"""The message that opens a stream: read within a time, and checked before anything is done for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from node_service.errors import BadRequestError, WrongVersionError
from node_service.store import check_deployment_id
from protos.v1.data_plane_pb2 import Hop, OpenStream
from transport.channel import PROTOCOL_VERSION
from transport.errors import FrameError
from transport.frame import unpack_frame
from transport.message_stream import MessageStream

_FIRST_MESSAGE_TIMEOUT_S = 10.0
_MAX_TIMEOUT_S = 120.0
_MOST_HOPS = _MOST_CODECS = 64
# A name of the internet has 253 characters; boards may be named by their addresses.
_LONGEST_NAME = 263


def read_opening(upstream: MessageStream) -> OpenStream:
    """What the first message of a stream asks for.

    Raises: BadRequestError: it does not come in time, or asks for what cannot be. FrameError: it is something else.
        WrongVersionError: the peer speaks another version. StreamBrokenError.
    """
    try:
        message = upstream.receive(_FIRST_MESSAGE_TIMEOUT_S)
    except TimeoutError:
        raise BadRequestError(f"no message came within {_FIRST_MESSAGE_TIMEOUT_S:g} s of opening the stream.") from None
    if message is None:
        raise BadRequestError("the stream ended before its first message.")
    header, _ = unpack_frame(message)
    opening = header.open
    if not header.HasField("open"):
        raise FrameError("the first message of a stream must open it (Header.open).")
    if opening.protocol_version != PROTOCOL_VERSION:
        raise WrongVersionError(
            f"the peer speaks protocol version {opening.protocol_version}, this board {PROTOCOL_VERSION}. "
            "Install the same version of boardline on both."
        )
    check_opening(opening)
    return opening


def check_opening(opening: OpenStream) -> None:
    """Raises BadRequestError, naming what cannot be."""
    if not opening.hops or not 0 < opening.timeout_s <= _MAX_TIMEOUT_S:
        raise BadRequestError(f"a stream is opened with at least one hop and a time-out of up to {_MAX_TIMEOUT_S:g} s.")
    boards = [*_all_boards(opening.hops), *opening.join.boards]
    if len(boards) > _MOST_HOPS:
        raise BadRequestError(f"a stream of {len(boards)} hops was asked for; at most {_MOST_HOPS} are taken.")
    if opening.HasField("join"):
        _check_join(opening)
    if max(len(opening.codecs), len(opening.dispatcher_decodes)) > _MOST_CODECS:
        raise BadRequestError(f"a stream with more than {_MOST_CODECS} codecs was asked for.")
    for index, hop in enumerate(boards):
        for what, text in (("board's name", hop.board), ("address", hop.address)):
            if len(text) > _LONGEST_NAME or not text.isprintable():
                raise BadRequestError(
                    f"the {what} of hop {index} has {len(text)} characters; expected up to {_LONGEST_NAME}, all printable."
                )
    if not opening.probe:
        check_deployment_id(opening.deployment_id)


def _all_boards(hops: Iterable[Hop]) -> Iterator[Hop]:
    for hop in hops:
        yield hop
        yield from hop.others


def _check_join(opening: OpenStream) -> None:
    join, n_boards = opening.join, len(opening.join.boards)
    if len(opening.hops) != 1 or not join.sender < join.receiver < n_boards:
        raise BadRequestError(
            f"board {join.sender} of a group of {n_boards} opened a stream to board {join.receiver} with {len(opening.hops)} hops; "
            "expected one hop, and a board behind the sender."
        )
