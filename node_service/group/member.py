"""A board of a group that is not its leader: joins the streams of a session, and does its share of each frame."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from bundle.shares import ShareWork
from node_service.errors import (
    BadRequestError,
    PeerUnavailableError,
    RefusedError,
    StalledError,
    is_expected,
    to_frame_error,
)
from node_service.group.leader import joining
from node_service.group.open_together import open_together
from node_service.group.session import GroupSession, SessionOverError
from node_service.group.share_stage import ShareStage
from node_service.metrics.frame_statistics import FrameFigures
from node_service.next_board import NextBoard
from protos.v1.data_plane_pb2 import Error, Header, JoinGroup, OpenStream, StageTiming
from runtime import ComputeError
from transport.credentials import Credentials
from transport.errors import StreamBrokenError, StreamStalledError
from transport.frame import frame_parts
from transport.message_stream import MessageStream, StreamLimits

_log = logging.getLogger(__name__)
_LEADER = 0
_REPLY_TIMEOUT_S = 5.0


class Member:
    """What one session of a group is to one of its boards. Its streams come from boards before it and go to those behind it."""

    def __init__(
        self,
        stage: ShareStage,
        board: str,
        join: JoinGroup,
        *,
        credentials: Credentials | None,
        limits: StreamLimits,
        on_frame: Callable[[FrameFigures], None],
    ) -> None:
        """Raises: BadRequestError: the group is not the one that the share is for."""
        if stage.member != join.receiver or stage.members != len(join.boards):
            raise BadRequestError(
                f"stage {stage.stage_index} is share {stage.member} of a group of {stage.members} boards, and was opened as "
                f"{join.receiver} of {len(join.boards)}."
            )
        self._stage = stage
        self._board = board
        self._hops = list(join.boards)
        self._credentials = credentials
        self._limits = limits
        self._on_frame = on_frame
        self._session = GroupSession(stage.program.expected, [hop.board for hop in self._hops], self.fail)
        self._behind: dict[int, NextBoard] = {}
        self._threads: list[threading.Thread] = []
        self._leader: MessageStream | None = None
        self._led = threading.Event()
        self._ending = threading.Lock()
        self._is_over = False
        self._has_failed = False
        self._told: Error | None = None
        self._is_claimed = False  # by a leader's stream

    @property
    def has_failed(self) -> bool:
        """Whether it was ended with an error."""
        return self._has_failed

    def open_behind(self, opening: OpenStream) -> None:
        """Opens the streams to boards behind this one, and waits for those of boards before it.

        Raises: PeerUnavailableError, RelayedError. BadRequestError: the leader has a stream here already.
        """
        with self._ending:
            if self._is_claimed:
                raise BadRequestError("the group's leader has a stream of this session to this board already.")
            self._is_claimed = True
        peers = self._stage.program.peers
        for member in sorted(peer for peer in peers if peer > self._stage.member):
            self._behind[member] = NextBoard(self._hops[member], credentials=self._credentials, limits=self._limits)
        open_together(self._behind, partial(self._open, opening))
        self._session.await_streams({p for p in peers if _LEADER < p < self._stage.member}, opening.timeout_s)

    def follow(self, leader: MessageStream) -> None:
        """Serves until the leader half-closes or is gone, the board drains, or something breaks.

        Raises: StreamBrokenError: the leader is gone.
        """
        self._leader = leader
        self._session.attach(_LEADER, leader)
        self._led.set()
        if self._is_over:  # a board behind is gone, or this one drains, since the streams were opened
            self._end(self._told)
        worker = self._start(self._work)
        try:
            leader.run(lambda message: self._session.take(_LEADER, message), self._session.end)
        finally:
            self._give_up()
            worker.join()

    def await_leader(self, timeout_s: float) -> None:
        """Returns once the leader has opened its stream, too. Raises: BadRequestError: not in time."""
        if not self._led.wait(timeout_s):
            raise BadRequestError(f"the group's leader did not open its stream within {timeout_s:.2g} s.")

    def attach(self, sender: int, stream: MessageStream) -> None:
        """The stream of another board before this one is open. Raises: BadRequestError: it has one already."""
        self._session.attach(sender, stream)

    def serve(self, sender: int, stream: MessageStream) -> None:
        """Reads what another board before this one sends, until the session is over."""
        try:
            stream.run(lambda message: self._session.take(sender, message))  # returns once the sender has half-closed
        except StreamBrokenError as error:
            self._session.broken(sender, error)

    def close(self) -> None:
        """Frees what was opened; the leader's stream has ended, or never was."""
        self._led.set()
        self._give_up()
        for thread in self._threads:
            thread.join()
        for behind in self._behind.values():
            behind.close()

    @property
    def waiting(self) -> int:
        """None: pieces wait for each other, not for room."""
        return 0

    def drain(self) -> None:
        """Ends the session: a frame in work is computed anew elsewhere."""
        self.fail(RefusedError("is draining: it shuts down or is taken out of service."))

    def announce_silence(self, seconds: float) -> None:
        """Tells the leader and the boards behind."""
        self._session.announce_silence(seconds)

    def standstill(self) -> StalledError | None:
        """See `Stage`."""
        return None if self._is_over else self._stage.standstill()

    def excuse(self, since_s: float, until_s: float) -> None:
        """See `Stage`."""
        self._stage.excuse(since_s, until_s)

    def fail(self, error: Exception) -> None:
        """Ends the session with an error, of which the leader is told."""
        threading.Thread(target=self._fail, args=(error,), name="boardline-fail", daemon=True).start()

    def _open(self, opening: OpenStream, member: int) -> None:
        hop, behind = self._hops[member], self._behind[member]
        join = JoinGroup(session=opening.join.session, sender=self._stage.member, receiver=member, boards=self._hops)
        behind.open(joining(opening, hop, join))
        self._session.attach(member, behind.stream)
        self._start(partial(self._session.read, member, behind.stream))

    def _work(self) -> None:
        try:
            while True:
                self._session.await_frame()
                self._compute()
        except SessionOverError:
            self._finish()
        except Exception as error:
            self._fail(error)

    def _compute(self) -> None:
        arrived_ns = time.perf_counter_ns()
        try:
            self._stage.require_open()
            _, work = self._stage.program.follow(self._session)
        except ComputeError as error:  # of this frame, perhaps; the others in the window must not end with it
            self._stage.count_frame(failed=True)
            raise PeerUnavailableError(self._board, f"cannot compute its share: {error}") from error
        except BaseException:
            self._stage.count_frame(failed=True)
            raise
        self._stage.count_frame()
        timing = self._timing(work, arrived_ns)
        self._session.tell_timing(_LEADER, timing)
        self._on_frame(FrameFigures.of(timing, timing.ready_ns))

    def _timing(self, work: ShareWork, arrived_ns: int) -> StageTiming:
        return StageTiming(
            stage_index=self._stage.stage_index,
            pieces_wait_ns=work.wait_ns,
            member=self._stage.member,
            compute_ns=work.compute_ns,
            invoke_cpu_ns=work.invoke_cpu_ns,
            send_ns=work.send_ns,
            service_cpu_ns=time.process_time_ns(),
            arrived_ns=arrived_ns,
            ready_ns=time.perf_counter_ns() - arrived_ns,
            pieces_sent_bytes=work.sent_bytes,
            pieces_received_bytes=work.received_bytes,
        )

    def _start(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name="boardline-group", daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _give_up(self) -> None:
        """Whoever waits ends, and every stream."""
        self._claim_end()
        self._session.end()  # what breaks from here on was broken here
        self._session.fail(StreamBrokenError("the session is over"))
        self._session.abort()
        for behind in self._behind.values():
            behind.abort()  # one that is being opened

    def _claim_end(self) -> bool:
        with self._ending:
            was_over, self._is_over = self._is_over, True
            return not was_over

    def _fail(self, error: Exception) -> None:
        if not self._claim_end():
            return
        self._has_failed = True
        if is_expected(error):
            _log.warning("a group's session of stage %d ended: %s", self._stage.stage_index, error)
        else:
            _log.error("a group's session of stage %d ended by a defect", self._stage.stage_index, exc_info=error)
        self._session.fail(error)
        self._told = to_frame_error(error, self._board, self._stage.stage_index)
        self._end(self._told)

    def _finish(self) -> None:
        if not self._claim_end():
            return
        for behind in self._behind.values():
            with contextlib.suppress(PeerUnavailableError):
                behind.finish()
        self._end(None)

    def _end(self, error: Error | None) -> None:
        """Tells the leader, and ends its stream."""
        if self._leader is None:
            return
        try:
            if error is not None:
                self._leader.post(frame_parts(Header(error=error)), _REPLY_TIMEOUT_S)
            self._leader.finish(_REPLY_TIMEOUT_S)
        except StreamBrokenError:
            pass
        except StreamStalledError as stalled:
            self._leader.abort(StreamBrokenError(str(stalled)))


class Members:
    """The sessions that this board takes part in; the first stream of one begins it, the last one's end ends it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, int, int], tuple[Member, int]] = {}  # with the number of its streams

    @contextlib.contextmanager
    def joined(self, key: tuple[str, int, int], make: Callable[[], Member]) -> Iterator[Member]:
        """The session of this (deployment, stage, session), made by who comes first."""
        with self._lock:
            member, streams = self._open.get(key, (None, 0))
            if member is None:
                member = make()
            self._open[key] = member, streams + 1
        try:
            yield member
        finally:
            with self._lock:
                streams = self._open[key][1] - 1
                if streams:
                    self._open[key] = member, streams
                else:
                    del self._open[key]
            if not streams:
                member.close()
