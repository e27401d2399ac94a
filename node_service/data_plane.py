"""The data plane: takes streams on a port of its own, opens a stream's stage or probe and the hops behind it, lets it run."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

from node_service.config import NodeConfig
from node_service.deployments import Deployments
from node_service.errors import BadRequestError, RefusedError, is_expected, to_frame_error
from node_service.frame_work import FrameStage
from node_service.group.leader import Leader
from node_service.group.member import Member, Members
from node_service.group.share_stage import ShareStage
from node_service.machine import usable_cores
from node_service.metrics.frame_statistics import CodedBytes, FrameFigures, FrameStatistics, StageKey
from node_service.next_board import NextBoard
from node_service.open_streams import Ending, OpenStreams
from node_service.opening import read_opening
from node_service.partition_stage import PartitionStage
from node_service.probe_stage import Probes
from node_service.stage import Stage
from node_service.stage_stream import StageStream
from node_service.watchdog import Watchdog
from protos.v1.data_plane_pb2 import Codec, Header, Opened, OpenStream
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM, HEADER_ROOM_BYTES, MAX_OPENING_BYTES, OPENING_SHARE
from transport.coding_costs import BoardLoad
from transport.errors import CodecUnavailableError, StreamBrokenError, StreamStalledError
from transport.frame import frame_parts
from transport.link_coding import LinkCoding
from transport.message_stream import SILENCE_S, ListenerLimits, MessageStream, StreamLimits, StreamListener
from transport.tensor_codec import CodecSetting, available_codecs, codec_name

_log = logging.getLogger(__name__)

_REFUSAL_TIMEOUT_S = 5.0
# Of life, in each silence after which a peer is given up: whoever sent the opening may be less patient than this board.
_SIGNS = 3
# It decodes beside the application's work.
_DISPATCHER = BoardLoad(0.0, 1.0, has_spare_core=True)


class DataPlane:
    """Serves `boardline.v1.DataPlane`: each stream on threads of its own."""

    def __init__(
        self,
        config: NodeConfig,
        deployments: Deployments,
        probes: Probes,
        streams: OpenStreams,
        frames: FrameStatistics,
    ) -> None:
        self._config = config
        self._deployments = deployments
        self._probes = probes
        self._limits = StreamLimits(
            config.max_frame_bytes + HEADER_ROOM_BYTES, config.peer_silence_s, MAX_OPENING_BYTES
        )
        self._streams = streams
        self._statistics = frames
        self._members = Members()
        self._watchdog = Watchdog(streams)
        self._is_draining = False
        self._listener: StreamListener | None = None

    def listen(self, address: Address) -> Address:
        """Listens; where, with the port that the system chose for port 0. Raises: OSError."""
        connections = ListenerLimits(self._config.max_streams, self._config.max_streams_per_address)
        self._listener = StreamListener(
            address, DATA_PLANE_STREAM, self._serve, self._limits, self._config.credentials, connections
        )
        return self._listener.address

    def unlisten(self) -> None:
        """Gives the port back; does nothing if it has none."""
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def start(self) -> None:
        """Takes streams."""
        assert self._listener is not None, "listening"
        self._watchdog.start()
        self._listener.start()

    def pause(self) -> None:
        """Refuses new streams, and lets those that are open answer what was received; stays reachable."""
        self._is_draining = True
        self._streams.drain()

    def resume(self) -> None:
        """Takes streams again after a pause."""
        self._streams.resume()
        self._is_draining = False

    def drain(self, timeout_s: float) -> None:
        """Takes no more streams nor frames, answers what was received, and ends; at the latest after the time-out."""
        self._is_draining = True
        assert self._listener is not None, "listening"
        self._listener.stop()
        self._streams.drain()
        if not self._listener.join(timeout_s):
            self._listener.abort()
        self._watchdog.stop()

    def _serve(self, upstream: MessageStream) -> None:
        board, stage_index, deployment_id = self._config.name, 0, ""
        try:
            opening = read_opening(upstream)
            board, stage_index = opening.hops[0].board, opening.hops[0].stage_index
            deployment_id = opening.deployment_id
            run = self._join if opening.HasField("join") else self._open_and_run
            failed = run(opening, upstream)
            self._streams.note_end(Ending.FAILED if failed else Ending.FINISHED)
        except StreamBrokenError as error:
            self._streams.note_end(Ending.BROKEN)
            about = {"deployment": deployment_id, "stage": stage_index}
            _log.warning("a stream to stage %d was broken by its sender: %s", stage_index, error, extra=about)
        except Exception as error:
            self._streams.note_end(Ending.REFUSED)
            if is_expected(error):
                about = {"deployment": deployment_id, "stage": stage_index}
                _log.warning("a stream to stage %d was not opened: %s", stage_index, error, extra=about)
            else:
                _log.exception("a stream to stage %d was not opened, by a defect", stage_index)
            with contextlib.suppress(StreamBrokenError, StreamStalledError):  # the peer may be gone, or take nothing
                told = frame_parts(Header(error=to_frame_error(error, board, stage_index)))
                upstream.post(told, _REFUSAL_TIMEOUT_S)
                upstream.finish(_REFUSAL_TIMEOUT_S)
                upstream.wait_for_end()

    def _open_and_run(self, opening: OpenStream, upstream: MessageStream) -> bool:
        """Whether the stream was ended with an error."""
        this, next_board = opening.hops[0], self._next_board(opening)
        allowed = _codecs_here(opening)
        with self._stage(opening) as stage:
            upstream.establish(stage.most_message_bytes)
            try:
                cores = usable_cores()
                opened = Opened(boards=[this.board], decodes=available_codecs(), cores=cores, takes_cancellations=True)
                decodable, receiver = opening.dispatcher_decodes, _DISPATCHER
                with self._showing_life(upstream):
                    if isinstance(stage, Leader):
                        stage.open(opening)
                        opened.boards.extend(stage.boards)
                    behind = None if next_board is None else next_board.open(_onward(opening))
                if behind is not None:
                    opened.boards.extend(behind.boards)
                    decodable, receiver = behind.decodes, BoardLoad(0.0, behind.cores or cores, has_spare_core=False)
                upstream.post(frame_parts(Header(opened=opened)), opening.timeout_s)
                coding = LinkCoding(
                    allowed,
                    stage.leaving_dtypes,
                    frozenset(decodable) | {Codec.RAW},
                    cores=min(cores, 1.0),
                    has_spare_core=cores >= stage.threads + 1,
                    receiver=receiver,
                    usage=(upstream if next_board is None else next_board.stream).usage,
                )
                stream = StageStream(
                    stage,
                    this.board,
                    upstream,
                    next_board,
                    coding,
                    max_waiting=self._config.max_waiting_frames,
                    on_frame=self._on_frame(opening),
                )
                if isinstance(stage, Leader):
                    stage.when_broken(stream.fail)
                about = {"deployment": opening.deployment_id, "stage": this.stage_index}
                if not opening.probe:
                    onward = "back" if next_board is None else f"on to {opening.hops[1].board}"
                    _log.info("a stream to stage %d is open, its results go %s", this.stage_index, onward, extra=about)
                with self._streams.registered(stream):
                    stream.run()
                return stream.has_failed
            finally:
                if next_board is not None:
                    next_board.close()

    def _on_frame(self, opening: OpenStream) -> Callable[[FrameFigures, Sequence[CodedBytes]], None]:
        if opening.probe:
            return lambda figures, coded: None
        return partial(self._statistics.note, StageKey(opening.deployment_id, opening.hops[0].stage_index))

    @contextlib.contextmanager
    def _stage(self, opening: OpenStream) -> Iterator[FrameStage]:
        this = opening.hops[0]
        if self._is_draining:
            raise RefusedError("is draining and takes no new streams.")
        if opening.probe:
            with self._probes.open(this) as probe:
                yield probe
            return
        with self._deployments.get(opening.deployment_id, this.stage_index).in_stream() as stage:
            _require_moving(stage)
            if isinstance(stage, PartitionStage) and not this.others:
                yield stage
            elif isinstance(stage, ShareStage):
                with contextlib.closing(
                    Leader(stage, this, credentials=self._config.credentials, limits=self._limits)
                ) as leader:
                    yield leader
            else:
                raise BadRequestError(f"stage {this.stage_index} is served by one board, and was opened for a group.")

    def _join(self, opening: OpenStream, upstream: MessageStream) -> bool:
        """A stream from another board of a group; whether it was ended with an error."""
        this, join = opening.hops[0], opening.join
        if self._is_draining:
            raise RefusedError("is draining and takes no new streams.")
        stage = self._deployments.get(opening.deployment_id, this.stage_index)
        if not isinstance(stage, ShareStage):
            raise BadRequestError(f"stage {this.stage_index} is served by one board, and was opened for a group.")
        _require_moving(stage)
        key = StageKey(opening.deployment_id, this.stage_index)
        with (
            stage.in_stream(),
            self._members.joined((*key, join.session), partial(self._member, stage, opening)) as member,
        ):
            upstream.establish(stage.most_piece_bytes)
            opened = frame_parts(Header(opened=Opened(boards=[this.board])))
            if join.sender != 0:
                member.attach(join.sender, upstream)
                upstream.post(opened, opening.timeout_s)
                with self._showing_life(upstream):
                    member.await_leader(opening.timeout_s)
                member.serve(join.sender, upstream)
                return False
            with self._showing_life(upstream):
                member.open_behind(opening)
                upstream.post(opened, opening.timeout_s)
            with self._streams.registered(member):
                member.follow(upstream)
            return member.has_failed

    def _member(self, stage: ShareStage, opening: OpenStream) -> Member:
        key = StageKey(opening.deployment_id, opening.hops[0].stage_index)
        return Member(
            stage,
            opening.hops[0].board,
            opening.join,
            credentials=self._config.credentials,
            limits=self._limits,
            on_frame=partial(self._statistics.note, key),
        )

    def _showing_life(self, upstream: MessageStream) -> AbstractContextManager[None]:
        return _showing_life(upstream, min(SILENCE_S, self._limits.silence_s) / _SIGNS)

    def _next_board(self, opening: OpenStream) -> NextBoard | None:
        """The hop behind this board, not yet open; None on the last board."""
        if len(opening.hops) == 1:
            return None
        return NextBoard(opening.hops[1], credentials=self._config.credentials, limits=self._limits)


@contextlib.contextmanager
def _showing_life(upstream: MessageStream, every_s: float) -> Iterator[None]:
    """Tells the sender of a stream that this board lives, while the hops behind are opened and nobody reads the stream."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(every_s):
            upstream.show_life()

    thread = threading.Thread(target=tell, name="boardline-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _require_moving(stage: Stage) -> None:
    stalled = stage.standstill()
    if stalled is not None:
        raise stalled


def _codecs_here(opening: OpenStream) -> list[CodecSetting]:
    """Those that the opening allows and this board has. Raises: CodecUnavailableError: none of them."""
    allowed = [CodecSetting.from_message(message) for message in opening.codecs]
    here = [setting for setting in allowed if setting.codec in available_codecs()]
    if allowed and not here:
        names = ", ".join(codec_name(setting.codec) for setting in allowed)
        raise CodecUnavailableError(f"has none of the codecs {names}; use raw.")
    return here


def _onward(opening: OpenStream) -> OpenStream:
    """What the next board is told: one hop less, and less time, so that the board before the one at fault gives up first."""
    onward = OpenStream()
    onward.CopyFrom(opening)
    del onward.hops[0]
    onward.timeout_s *= OPENING_SHARE
    return onward
