from protos.v1 import data_plane_pb2 as _data_plane_pb2
from protos.v1 import manifest_pb2 as _manifest_pb2
from protos.v1 import tensor_pb2 as _tensor_pb2
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
    __slots__ = ("protocol_version", "software_version", "name", "runtime", "threads", "cores", "memory_total_bytes", "memory_available_bytes", "stages", "draining", "max_frame_bytes", "codecs", "usable_cores", "delegate", "certificate_ends_s", "energy_j", "power_w", "temperature_c", "throttled", "service_cpu_s")
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
    USABLE_CORES_FIELD_NUMBER: _ClassVar[int]
    DELEGATE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_ENDS_S_FIELD_NUMBER: _ClassVar[int]
    ENERGY_J_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_C_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CPU_S_FIELD_NUMBER: _ClassVar[int]
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
    usable_cores: float
    delegate: str
    certificate_ends_s: float
    energy_j: float
    power_w: float
    temperature_c: float
    throttled: _containers.RepeatedScalarFieldContainer[str]
    service_cpu_s: float
    def __init__(self, protocol_version: _Optional[int] = ..., software_version: _Optional[str] = ..., name: _Optional[str] = ..., runtime: _Optional[_Union[_manifest_pb2.RuntimeIdentity, _Mapping]] = ..., threads: _Optional[int] = ..., cores: _Optional[int] = ..., memory_total_bytes: _Optional[int] = ..., memory_available_bytes: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[LoadedStage, _Mapping]]] = ..., draining: bool = ..., max_frame_bytes: _Optional[int] = ..., codecs: _Optional[_Iterable[_Union[_data_plane_pb2.Codec, str]]] = ..., usable_cores: _Optional[float] = ..., delegate: _Optional[str] = ..., certificate_ends_s: _Optional[float] = ..., energy_j: _Optional[float] = ..., power_w: _Optional[float] = ..., temperature_c: _Optional[float] = ..., throttled: _Optional[_Iterable[str]] = ..., service_cpu_s: _Optional[float] = ...) -> None: ...

class LoadedStage(_message.Message):
    __slots__ = ("deployment_id", "stage_index", "partition_sha256", "partition_bytes", "frames", "failed_frames", "streams", "wait_s", "decode_s", "compute_s", "encode_s", "send_s", "invoke_cpu_s", "received_bytes", "sent_bytes", "sent_raw_bytes", "frames_left", "pieces_wait_s", "delegate")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    PARTITION_SHA256_FIELD_NUMBER: _ClassVar[int]
    PARTITION_BYTES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    FAILED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    DECODE_S_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    ENCODE_S_FIELD_NUMBER: _ClassVar[int]
    SEND_S_FIELD_NUMBER: _ClassVar[int]
    INVOKE_CPU_S_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_RAW_BYTES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_LEFT_FIELD_NUMBER: _ClassVar[int]
    PIECES_WAIT_S_FIELD_NUMBER: _ClassVar[int]
    DELEGATE_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    stage_index: int
    partition_sha256: str
    partition_bytes: int
    frames: int
    failed_frames: int
    streams: int
    wait_s: float
    decode_s: float
    compute_s: float
    encode_s: float
    send_s: float
    invoke_cpu_s: float
    received_bytes: int
    sent_bytes: int
    sent_raw_bytes: int
    frames_left: int
    pieces_wait_s: float
    delegate: str
    def __init__(self, deployment_id: _Optional[str] = ..., stage_index: _Optional[int] = ..., partition_sha256: _Optional[str] = ..., partition_bytes: _Optional[int] = ..., frames: _Optional[int] = ..., failed_frames: _Optional[int] = ..., streams: _Optional[int] = ..., wait_s: _Optional[float] = ..., decode_s: _Optional[float] = ..., compute_s: _Optional[float] = ..., encode_s: _Optional[float] = ..., send_s: _Optional[float] = ..., invoke_cpu_s: _Optional[float] = ..., received_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., sent_raw_bytes: _Optional[int] = ..., frames_left: _Optional[int] = ..., pieces_wait_s: _Optional[float] = ..., delegate: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("deployment_id", "stage_index", "partition", "runtime_floor", "threads", "manifest", "manifest_signature", "delegate")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FLOOR_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    DELEGATE_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    stage_index: int
    partition: _manifest_pb2.Partition
    runtime_floor: str
    threads: int
    manifest: bytes
    manifest_signature: bytes
    delegate: str
    def __init__(self, deployment_id: _Optional[str] = ..., stage_index: _Optional[int] = ..., partition: _Optional[_Union[_manifest_pb2.Partition, _Mapping]] = ..., runtime_floor: _Optional[str] = ..., threads: _Optional[int] = ..., manifest: _Optional[bytes] = ..., manifest_signature: _Optional[bytes] = ..., delegate: _Optional[str] = ...) -> None: ...

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

class DrainRequest(_message.Message):
    __slots__ = ("undo",)
    UNDO_FIELD_NUMBER: _ClassVar[int]
    undo: bool
    def __init__(self, undo: bool = ...) -> None: ...

class DrainReply(_message.Message):
    __slots__ = ("kept", "why_not_kept")
    KEPT_FIELD_NUMBER: _ClassVar[int]
    WHY_NOT_KEPT_FIELD_NUMBER: _ClassVar[int]
    kept: bool
    why_not_kept: str
    def __init__(self, kept: bool = ..., why_not_kept: _Optional[str] = ...) -> None: ...

class ProfileKey(_message.Message):
    __slots__ = ("sha256", "threads", "delegate")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    DELEGATE_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    threads: int
    delegate: str
    def __init__(self, sha256: _Optional[str] = ..., threads: _Optional[int] = ..., delegate: _Optional[str] = ...) -> None: ...

class FindProfilesRequest(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[ProfileKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[ProfileKey, _Mapping]]] = ...) -> None: ...

class FindProfilesReply(_message.Message):
    __slots__ = ("profiles",)
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    profiles: _containers.RepeatedCompositeFieldContainer[Profile]
    def __init__(self, profiles: _Optional[_Iterable[_Union[Profile, _Mapping]]] = ...) -> None: ...

class ProfileRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: ProfileHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[ProfileHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ProfileHeader(_message.Message):
    __slots__ = ("key", "size_bytes", "runtime_floor", "confidence", "budget_s")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FLOOR_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_S_FIELD_NUMBER: _ClassVar[int]
    key: ProfileKey
    size_bytes: int
    runtime_floor: str
    confidence: float
    budget_s: float
    def __init__(self, key: _Optional[_Union[ProfileKey, _Mapping]] = ..., size_bytes: _Optional[int] = ..., runtime_floor: _Optional[str] = ..., confidence: _Optional[float] = ..., budget_s: _Optional[float] = ...) -> None: ...

class ProfileReply(_message.Message):
    __slots__ = ("profile",)
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    profile: Profile
    def __init__(self, profile: _Optional[_Union[Profile, _Mapping]] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("key", "board", "runtime", "delegate", "runs", "run_s", "run_half_width_s", "median_run_s", "run_cpu_s", "load_s", "resident_bytes", "working_bytes", "peak_bytes", "temperature_before_c", "temperature_after_c", "run_j", "flags", "measured_at_s")
    KEY_FIELD_NUMBER: _ClassVar[int]
    BOARD_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    DELEGATE_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    RUN_S_FIELD_NUMBER: _ClassVar[int]
    RUN_HALF_WIDTH_S_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_RUN_S_FIELD_NUMBER: _ClassVar[int]
    RUN_CPU_S_FIELD_NUMBER: _ClassVar[int]
    LOAD_S_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKING_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_BEFORE_C_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_AFTER_C_FIELD_NUMBER: _ClassVar[int]
    RUN_J_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_AT_S_FIELD_NUMBER: _ClassVar[int]
    key: ProfileKey
    board: str
    runtime: _manifest_pb2.RuntimeIdentity
    delegate: str
    runs: int
    run_s: float
    run_half_width_s: float
    median_run_s: float
    run_cpu_s: float
    load_s: float
    resident_bytes: int
    working_bytes: int
    peak_bytes: int
    temperature_before_c: float
    temperature_after_c: float
    run_j: float
    flags: _containers.RepeatedScalarFieldContainer[str]
    measured_at_s: float
    def __init__(self, key: _Optional[_Union[ProfileKey, _Mapping]] = ..., board: _Optional[str] = ..., runtime: _Optional[_Union[_manifest_pb2.RuntimeIdentity, _Mapping]] = ..., delegate: _Optional[str] = ..., runs: _Optional[int] = ..., run_s: _Optional[float] = ..., run_half_width_s: _Optional[float] = ..., median_run_s: _Optional[float] = ..., run_cpu_s: _Optional[float] = ..., load_s: _Optional[float] = ..., resident_bytes: _Optional[int] = ..., working_bytes: _Optional[int] = ..., peak_bytes: _Optional[int] = ..., temperature_before_c: _Optional[float] = ..., temperature_after_c: _Optional[float] = ..., run_j: _Optional[float] = ..., flags: _Optional[_Iterable[str]] = ..., measured_at_s: _Optional[float] = ...) -> None: ...

class MeasureCodecsRequest(_message.Message):
    __slots__ = ("budget_s",)
    BUDGET_S_FIELD_NUMBER: _ClassVar[int]
    budget_s: float
    def __init__(self, budget_s: _Optional[float] = ...) -> None: ...

class MeasureCodecsReply(_message.Message):
    __slots__ = ("speeds",)
    SPEEDS_FIELD_NUMBER: _ClassVar[int]
    speeds: _containers.RepeatedCompositeFieldContainer[CodecSpeed]
    def __init__(self, speeds: _Optional[_Iterable[_Union[CodecSpeed, _Mapping]]] = ...) -> None: ...

class CodecSpeed(_message.Message):
    __slots__ = ("codec", "dtype", "encode_bytes_per_s", "decode_bytes_per_s", "size_ratio")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    ENCODE_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    DECODE_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    SIZE_RATIO_FIELD_NUMBER: _ClassVar[int]
    codec: _data_plane_pb2.Codec
    dtype: _tensor_pb2.DType
    encode_bytes_per_s: float
    decode_bytes_per_s: float
    size_ratio: float
    def __init__(self, codec: _Optional[_Union[_data_plane_pb2.Codec, str]] = ..., dtype: _Optional[_Union[_tensor_pb2.DType, str]] = ..., encode_bytes_per_s: _Optional[float] = ..., decode_bytes_per_s: _Optional[float] = ..., size_ratio: _Optional[float] = ...) -> None: ...
