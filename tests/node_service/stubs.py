"""A node service spoken to directly, with grpc's ordinary blocking client and protobuf's own serialisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import grpc

from bundle import Bundle
from protos.v1 import control_plane_pb2 as control
from protos.v1 import control_plane_pb2_grpc
from protos.v1.data_plane_pb2 import Codec, CodecSetting, Frame, Header, Hop, OpenStream
from tests.credentials import OPERATOR
from transport.address import Address

TIMEOUT_S = 20


def _credentials() -> grpc.ChannelCredentials:
    pem = OPERATOR.pem
    return grpc.ssl_channel_credentials(pem.authority, pem.key, pem.certificate)


def hop(board: str, address: str, stage_index: int, probe_bytes: int = 0) -> Hop:
    """A hop whose certificate is valid for its host, whatever the test calls the board."""
    host = address.rpartition(":")[0]
    return Hop(board=board, address=address, stage_index=stage_index, probe_bytes=probe_bytes, certificate_name=host)


@contextmanager
def channel_to(address: str) -> Iterator[grpc.Channel]:
    """A plain channel to the control plane; tests build their own stubs on it."""
    with grpc.secure_channel(address, _credentials()) as channel:
        yield channel


@contextmanager
def frames_to(address: str) -> Iterator[grpc.Channel]:
    """A plain channel to the data plane of the board at that address."""
    with grpc.secure_channel(str(Address.parse(address).data_plane), _credentials()) as channel:
        yield channel


def control_stub(channel: grpc.Channel) -> control_plane_pb2_grpc.ControlPlaneStub:
    return control_plane_pb2_grpc.ControlPlaneStub(channel)


def exchange(channel: grpc.Channel, messages: Iterable[bytes]) -> list[Frame]:
    """Sends raw messages on one data-plane stream, half-closes, and returns all replies."""
    stream = channel.stream_stream("/boardline.v1.DataPlane/Stream")
    return [Frame.FromString(reply) for reply in stream(iter(messages), timeout=TIMEOUT_S)]


def opening(deployment_id: str, *hops: tuple[str, str, int], version: int = 1) -> bytes:
    """The first message of a stream."""
    opened = OpenStream(
        protocol_version=version,
        deployment_id=deployment_id,
        hops=[hop(b, a, s) for b, a, s in hops],
        timeout_s=5,
    )
    return Frame(header=Header(open=opened)).SerializeToString()


def probe_opening(*hops: tuple[str, str, int], codec: Codec = Codec.RAW) -> bytes:
    """The first message of a probe: (board, address, bytes that it sends on)."""
    opened = OpenStream(
        protocol_version=1,
        hops=[hop(b, a, s, n) for s, (b, a, n) in enumerate(hops)],
        codecs=[CodecSetting(codec=codec)],
        timeout_s=5,
        probe=True,
    )
    return Frame(header=Header(open=opened)).SerializeToString()


def put(stub: control_plane_pb2_grpc.ControlPlaneStub, sha256: str, data: bytes, size_bytes: int | None = None) -> None:
    """Uploads a partition in chunks of 64 KiB."""
    announced = len(data) if size_bytes is None else size_bytes
    parts = [control.PutPartitionRequest(header=control.PartitionHeader(sha256=sha256, size_bytes=announced))]
    parts += [control.PutPartitionRequest(chunk=data[i : i + 2**16]) for i in range(0, len(data), 2**16)]
    stub.PutPartition(iter(parts), timeout=TIMEOUT_S)


def load_request(bundle: Bundle, stage_index: int) -> control.LoadStageRequest:
    """The request that loads one stage of a bundle."""
    return control.LoadStageRequest(
        deployment_id=bundle.deployment_id,
        stage_index=stage_index,
        partition=bundle.splittings[0].partitions[stage_index],
        runtime_floor=bundle.manifest.runtime_floor,
    )


def serve_stage(address: str, bundle: Bundle, stage_index: int) -> None:
    """Uploads and loads one stage."""
    file = bundle.splittings[0].partitions[stage_index].file
    with channel_to(address) as channel:
        stub = control_stub(channel)
        put(stub, file.sha256, bundle.file_path(file).read_bytes())
        stub.LoadStage(load_request(bundle, stage_index), timeout=TIMEOUT_S)
