from protos.v1 import data_plane_pb2 as _data_plane_pb2
from protos.v1 import manifest_pb2 as _manifest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("protocol_version", "software_version", "name", "runtime", "threads", "cores", "memory_total_bytes", "memory_available_bytes", "stages", "draining", "max_frame_bytes", "codecs")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    software_version: str
    name: str
    runtime: _manifest_pb2.RuntimeIdentity
    threads: int
    cores: int
    memory_total_bytes: int
    memory_available_bytes: int
    stages: _containers.RepeatedCompositeFieldContainer[LoadedStage]
    draining: bool
    max_frame_bytes: int
    codecs: _containers.RepeatedScalarFieldContainer[_data_plane_pb2.Codec]
    def __init__(self, protocol_version: _Optional[int] = ..., software_version: _Optional[str] = ..., name: _Optional[str] = ..., runtime: _Optional[_Union[_manifest_pb2.RuntimeIdentity, _Mapping]] = ..., threads: _Optional[int] = ..., cores: _Optional[int] = ..., memory_total_bytes: _Optional[int] = ..., memory_available_bytes: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[LoadedStage, _Mapping]]] = ..., draining: bool = ..., max_frame_bytes: _Optional[int] = ..., codecs: _Optional[_Iterable[_Union[_data_plane_pb2.Codec, str]]] = ...) -> None: ...

class LoadedStage(_message.Message):
    __slots__ = ("deployment_id", "stage_index", "partition_sha256", "partition_bytes", "frames", "failed_frames", "streams")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    PARTITION_SHA256_FIELD_NUMBER: _ClassVar[int]
    PARTITION_BYTES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    FAILED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    stage_index: int
    partition_sha256: str
    partition_bytes: int
    frames: int
    failed_frames: int
    streams: int
    def __init__(self, deployment_id: _Optional[str] = ..., stage_index: _Optional[int] = ..., partition_sha256: _Optional[str] = ..., partition_bytes: _Optional[int] = ..., frames: _Optional[int] = ..., failed_frames: _Optional[int] = ..., streams: _Optional[int] = ...) -> None: ...

class FindMissingRequest(_message.Message):
    __slots__ = ("sha256",)
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sha256: _Optional[_Iterable[str]] = ...) -> None: ...

class FindMissingReply(_message.Message):
    __slots__ = ("sha256",)
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sha256: _Optional[_Iterable[str]] = ...) -> None: ...

class PutPartitionRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: PartitionHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[PartitionHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class PartitionHeader(_message.Message):
    __slots__ = ("sha256", "size_bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    size_bytes: int
    def __init__(self, sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class PutPartitionReply(_message.Message):
    __slots__ = ("stored_bytes",)
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    stored_bytes: int
    def __init__(self, stored_bytes: _Optional[int] = ...) -> None: ...

class LoadStageRequest(_message.Message):
    __slots__ = ("deployment_id", "stage_index", "partition", "runtime_floor")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FLOOR_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    stage_index: int
    partition: _manifest_pb2.Partition
    runtime_floor: str
    def __init__(self, deployment_id: _Optional[str] = ..., stage_index: _Optional[int] = ..., partition: _Optional[_Union[_manifest_pb2.Partition, _Mapping]] = ..., runtime_floor: _Optional[str] = ...) -> None: ...

class LoadStageReply(_message.Message):
    __slots__ = ("stage",)
    STAGE_FIELD_NUMBER: _ClassVar[int]
    stage: LoadedStage
    def __init__(self, stage: _Optional[_Union[LoadedStage, _Mapping]] = ...) -> None: ...

class UnloadDeploymentRequest(_message.Message):
    __slots__ = ("deployment_id",)
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    def __init__(self, deployment_id: _Optional[str] = ...) -> None: ...

class UnloadDeploymentReply(_message.Message):
    __slots__ = ("unloaded_stages",)
    UNLOADED_STAGES_FIELD_NUMBER: _ClassVar[int]
    unloaded_stages: int
    def __init__(self, unloaded_stages: _Optional[int] = ...) -> None: ...
