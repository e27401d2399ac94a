"""A group's leader: to the stream of frames it is a stage like any other."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from node_service.errors import BadRequestError, NotLoadedError, PeerUnavailableError, StalledError
from node_service.frame_work import FrameWork, StageOverError
from node_service.group.open_together import open_together
from node_service.group.session import GroupSession
from node_service.group.share_stage import ShareStage
from node_service.next_board import NextBoard
from protos.v1.data_plane_pb2 import Hop, JoinGroup, OpenStream
from runtime import ComputeError
from transport.channel import OPENING_SHARE
from transport.credentials import Credentials
from transport.errors import StreamBrokenError
from transport.frame import EncodedTensor
from transport.message_stream import StreamLimits

_CLOSE_TIMEOUT_S = 5.0


class Leader:
    """The leader's share, with open streams to all other boards of the group; a `FrameStage`."""

    def __init__(self, stage: ShareStage, hop: Hop, *, credentials: Credentials | None, limits: StreamLimits) -> None:
        """Args: hop: the leader's, with the others. Raises: BadRequestError: they are not the group that the share is for."""
        if stage.member != 0 or stage.members != 1 + len(hop.others):
            raise BadRequestError(
                f"stage {stage.stage_index} is share {stage.member} of a group of {stage.members} boards, and was opened as the "
                f"leader of {1 + len(hop.others)}."
            )
        self._stage = stage
        alone = Hop()
        alone.CopyFrom(hop)
        alone.ClearField("others")
        self._hops = [alone, *hop.others]
        self._session = GroupSession(stage.program.expected, [h.board for h in self._hops], self._failed)
        self._peers = {
            member: NextBoard(other, credentials=credentials, limits=limits)
            for member, other in enumerate(hop.others, 1)
        }
        self._readers: dict[int, threading.Thread] = {}  # of the streams that are open
        self._told: Callable[[Exception], None] | None = None
        self._failure: Exception | None = None
        self._telling = threading.Lock()

    @property
    def stage_index(self) -> int:
        """The leader's place among the chain's stages."""
        return self._stage.stage_index

    @property
    def leaving_dtypes(self) -> Sequence[np.dtype[Any]]:
        """Of the tensors that leave, in order."""
        return self._stage.crossing.leaving_dtypes

    @property
    def threads(self) -> int:
        """Cores that the leader computes on."""
        return self._stage.threads

    @property
    def most_message_bytes(self) -> int | None:
        """The largest message that makes sense."""
        return self._stage.crossing.most_message_bytes

    @property
    def boards(self) -> list[str]:
        """The other boards' names."""
        return [hop.board for hop in self._hops[1:]]

    def open(self, opening: OpenStream) -> None:
        """Opens the streams of the whole group. Raises: PeerUnavailableError, RelayedError."""
        session = secrets.randbits(64)
        open_together(self._peers, partial(self._open, opening, session))

    def when_broken(self, told: Callable[[Exception], None]) -> None:
        """Has the callback hear once why the group broke, or at once if it has."""
        with self._telling:
            self._told, failure = told, self._failure
        if failure is not None:
            told(failure)

    def standstill(self) -> StalledError | None:
        """See `Stage`."""
        return self._stage.standstill()

    def excuse(self, since_s: float, until_s: float) -> None:
        """See `Stage`."""
        self._stage.excuse(since_s, until_s)

    def announce_silence(self, seconds: float) -> None:
        """Tells the others that this board may answer nothing for so long; 0: that it is over."""
        self._session.announce_silence(seconds)

    def process(self, arriving: list[EncodedTensor], arrived_ns: int) -> FrameWork:
        """Has the group compute one frame.

        Raises: FrameError: tensors that the deployment does not expect. NotLoadedError: unloaded meanwhile. StageOverError: a board
            is gone or refuses, and nothing can be computed any more.
        """
        started_ns = time.perf_counter_ns()
        values = self._stage.crossing.arrays(arriving)
        decoded_ns = time.perf_counter_ns()
        for place, value in zip(self._stage.arriving, values):
            if value.shape != place.shape:
                raise BadRequestError(
                    f"a group takes tensors of the size it was planned for, {list(place.shape)}; got {list(value.shape)}."
                )
        begun_ns = time.perf_counter_ns()
        arrived = list(zip(self._stage.arriving, values))
        try:
            self._stage.require_open()
            try:
                self._session.begin_frame()
                outputs, work = self._stage.program.follow(self._session, arrived, self._stage.leaving)
                timings = self._session.await_timings(range(1, len(self._hops)))
            except ComputeError as error:  # of this frame, perhaps; the others in the window must not end with it
                raise PeerUnavailableError(self._hops[0].board, f"cannot compute its share: {error}") from error
        except NotLoadedError:
            self._stage.count_frame(failed=True)
            raise
        except Exception as error:  # the other boards are in the midst of the frame
            self._stage.count_frame(failed=True)
            self._session.fail(error)
            raise StageOverError(error) from error
        self._stage.count_frame()
        return FrameWork(
            leaving=self._stage.crossing.leaving(outputs, arriving),
            wait_ns=(started_ns - arrived_ns) + (begun_ns - decoded_ns),
            decode_ns=decoded_ns - started_ns,
            compute_ns=work.compute_ns,
            invoke_cpu_ns=work.invoke_cpu_ns,
            pieces_sent_bytes=work.sent_bytes,
            pieces_received_bytes=work.received_bytes,
            pieces_wait_ns=work.wait_ns,
            other_timings=timings,
        )

    def abort(self) -> None:
        """Nobody waits for the frame in work: whoever has a part in it ends."""
        self._session.fail(StreamBrokenError("the stream of frames is over"))
        self._session.abort()

    def close(self) -> None:
        """Tells the others that no more frames come, and frees the streams."""
        self._session.end()
        for member, reader in self._readers.items() if self._failure is None else ():
            with contextlib.suppress(PeerUnavailableError):
                self._peers[member].finish()
                reader.join(_CLOSE_TIMEOUT_S)
        for peer in self._peers.values():
            peer.abort()
        for reader in self._readers.values():
            reader.join()
        for peer in self._peers.values():
            peer.close()

    def _open(self, opening: OpenStream, session: int, member: int) -> None:
        peer, join = self._peers[member], JoinGroup(session=session, sender=0, receiver=member, boards=self._hops)
        peer.open(joining(opening, self._hops[member], join))
        self._session.attach(member, peer.stream)
        reader = threading.Thread(
            target=self._session.read, args=(member, peer.stream), name="boardline-group", daemon=True
        )
        reader.start()
        self._readers[member] = reader

    def _failed(self, error: Exception) -> None:
        self._session.abort()  # none of the others must wait for this frame
        with self._telling:
            self._failure, told = error, self._told
        if told is not None:
            told(error)


def joining(opening: OpenStream, hop: Hop, join: JoinGroup) -> OpenStream:
    """The opening of a stream between two boards of a group, with less time than the sender itself has."""
    return OpenStream(
        protocol_version=opening.protocol_version,
        deployment_id=opening.deployment_id,
        hops=[hop],
        timeout_s=opening.timeout_s * OPENING_SHARE,
        join=join,
    )
