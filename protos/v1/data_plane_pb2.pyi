from protos.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RAW: _ClassVar[Codec]
    LZ4: _ClassVar[Codec]
    SHUFFLE_LZ4: _ClassVar[Codec]
    HALF: _ClassVar[Codec]
    ZFP: _ClassVar[Codec]
    ZFP_ACCURACY: _ClassVar[Codec]
    QUANTIZED_8: _ClassVar[Codec]
    QUANTIZED_4: _ClassVar[Codec]
RAW: Codec
LZ4: Codec
SHUFFLE_LZ4: Codec
HALF: Codec
ZFP: Codec
ZFP_ACCURACY: Codec
QUANTIZED_8: Codec
QUANTIZED_4: Codec

class Frame(_message.Message):
    __slots__ = ("header", "padding", "payload")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    header: Header
    padding: bytes
    payload: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., padding: _Optional[bytes] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("request_id", "open", "opened", "error", "tensors", "timings", "left_ns", "cancelled_ids", "transfer")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    LEFT_NS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_IDS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    open: OpenStream
    opened: Opened
    error: Error
    tensors: _containers.RepeatedCompositeFieldContainer[TensorHeader]
    timings: _containers.RepeatedCompositeFieldContainer[StageTiming]
    left_ns: int
    cancelled_ids: _containers.RepeatedScalarFieldContainer[int]
    transfer: int
    def __init__(self, request_id: _Optional[int] = ..., open: _Optional[_Union[OpenStream, _Mapping]] = ..., opened: _Optional[_Union[Opened, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., tensors: _Optional[_Iterable[_Union[TensorHeader, _Mapping]]] = ..., timings: _Optional[_Iterable[_Union[StageTiming, _Mapping]]] = ..., left_ns: _Optional[int] = ..., cancelled_ids: _Optional[_Iterable[int]] = ..., transfer: _Optional[int] = ...) -> None: ...

class TensorHeader(_message.Message):
    __slots__ = ("dtype", "shape", "codec", "offset", "length")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    dtype: _tensor_pb2.DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    codec: Codec
    offset: int
    length: int
    def __init__(self, dtype: _Optional[_Union[_tensor_pb2.DType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., codec: _Optional[_Union[Codec, str]] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class CodecSetting(_message.Message):
    __slots__ = ("codec", "tolerance")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    codec: Codec
    tolerance: float
    def __init__(self, codec: _Optional[_Union[Codec, str]] = ..., tolerance: _Optional[float] = ...) -> None: ...

class OpenStream(_message.Message):
    __slots__ = ("protocol_version", "deployment_id", "hops", "codecs", "dispatcher_decodes", "timeout_s", "join", "probe")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    DISPATCHER_DECODES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    deployment_id: str
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    codecs: _containers.RepeatedCompositeFieldContainer[CodecSetting]
    dispatcher_decodes: _containers.RepeatedScalarFieldContainer[Codec]
    timeout_s: float
    join: JoinGroup
    probe: bool
    def __init__(self, protocol_version: _Optional[int] = ..., deployment_id: _Optional[str] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., codecs: _Optional[_Iterable[_Union[CodecSetting, _Mapping]]] = ..., dispatcher_decodes: _Optional[_Iterable[_Union[Codec, str]]] = ..., timeout_s: _Optional[float] = ..., join: _Optional[_Union[JoinGroup, _Mapping]] = ..., probe: bool = ...) -> None: ...

class JoinGroup(_message.Message):
    __slots__ = ("session", "sender", "receiver", "boards")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    BOARDS_FIELD_NUMBER: _ClassVar[int]
    session: int
    sender: int
    receiver: int
    boards: _containers.RepeatedCompositeFieldContainer[Hop]
    def __init__(self, session: _Optional[int] = ..., sender: _Optional[int] = ..., receiver: _Optional[int] = ..., boards: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("board", "address", "stage_index", "probe_bytes", "certificate_name", "others")
    BOARD_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    PROBE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NAME_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    board: str
    address: str
    stage_index: int
    probe_bytes: int
    certificate_name: str
    others: _containers.RepeatedCompositeFieldContainer[Hop]
    def __init__(self, board: _Optional[str] = ..., address: _Optional[str] = ..., stage_index: _Optional[int] = ..., probe_bytes: _Optional[int] = ..., certificate_name: _Optional[str] = ..., others: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("boards", "decodes", "cores", "takes_cancellations")
    BOARDS_FIELD_NUMBER: _ClassVar[int]
    DECODES_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    TAKES_CANCELLATIONS_FIELD_NUMBER: _ClassVar[int]
    boards: _containers.RepeatedScalarFieldContainer[str]
    decodes: _containers.RepeatedScalarFieldContainer[Codec]
    cores: float
    takes_cancellations: bool
    def __init__(self, boards: _Optional[_Iterable[str]] = ..., decodes: _Optional[_Iterable[_Union[Codec, str]]] = ..., cores: _Optional[float] = ..., takes_cancellations: bool = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "board", "stage_index")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CODE_UNSPECIFIED: _ClassVar[Error.Code]
        BAD_FRAME: _ClassVar[Error.Code]
        NOT_LOADED: _ClassVar[Error.Code]
        WRONG_VERSION: _ClassVar[Error.Code]
        PEER_UNAVAILABLE: _ClassVar[Error.Code]
        COMPUTE_FAILED: _ClassVar[Error.Code]
        REFUSED: _ClassVar[Error.Code]
        INTERNAL: _ClassVar[Error.Code]
        STALLED: _ClassVar[Error.Code]
        DEADLINE_EXCEEDED: _ClassVar[Error.Code]
        CANCELLED: _ClassVar[Error.Code]
        OVERLOADED: _ClassVar[Error.Code]
    CODE_UNSPECIFIED: Error.Code
    BAD_FRAME: Error.Code
    NOT_LOADED: Error.Code
    WRONG_VERSION: Error.Code
    PEER_UNAVAILABLE: Error.Code
    COMPUTE_FAILED: Error.Code
    REFUSED: Error.Code
    INTERNAL: Error.Code
    STALLED: Error.Code
    DEADLINE_EXCEEDED: Error.Code
    CANCELLED: Error.Code
    OVERLOADED: Error.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    BOARD_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    code: Error.Code
    message: str
    board: str
    stage_index: int
    def __init__(self, code: _Optional[_Union[Error.Code, str]] = ..., message: _Optional[str] = ..., board: _Optional[str] = ..., stage_index: _Optional[int] = ...) -> None: ...

class StageTiming(_message.Message):
    __slots__ = ("stage_index", "wait_ns", "decode_ns", "compute_ns", "encode_ns", "send_ns", "received_bytes", "sent_bytes", "service_cpu_ns", "invoke_cpu_ns", "sent_raw_bytes", "sent_codecs", "codec_reason", "arrived_ns", "ready_ns", "pieces_sent_bytes", "pieces_received_bytes", "pieces_wait_ns", "member")
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    WAIT_NS_FIELD_NUMBER: _ClassVar[int]
    DECODE_NS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_NS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_NS_FIELD_NUMBER: _ClassVar[int]
    SEND_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CPU_NS_FIELD_NUMBER: _ClassVar[int]
    INVOKE_CPU_NS_FIELD_NUMBER: _ClassVar[int]
    SENT_RAW_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_CODECS_FIELD_NUMBER: _ClassVar[int]
    CODEC_REASON_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_NS_FIELD_NUMBER: _ClassVar[int]
    READY_NS_FIELD_NUMBER: _ClassVar[int]
    PIECES_SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PIECES_RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    PIECES_WAIT_NS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    stage_index: int
    wait_ns: int
    decode_ns: int
    compute_ns: int
    encode_ns: int
    send_ns: int
    received_bytes: int
    sent_bytes: int
    service_cpu_ns: int
    invoke_cpu_ns: int
    sent_raw_bytes: int
    sent_codecs: _containers.RepeatedScalarFieldContainer[Codec]
    codec_reason: str
    arrived_ns: int
    ready_ns: int
    pieces_sent_bytes: int
    pieces_received_bytes: int
    pieces_wait_ns: int
    member: int
    def __init__(self, stage_index: _Optional[int] = ..., wait_ns: _Optional[int] = ..., decode_ns: _Optional[int] = ..., compute_ns: _Optional[int] = ..., encode_ns: _Optional[int] = ..., send_ns: _Optional[int] = ..., received_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., service_cpu_ns: _Optional[int] = ..., invoke_cpu_ns: _Optional[int] = ..., sent_raw_bytes: _Optional[int] = ..., sent_codecs: _Optional[_Iterable[_Union[Codec, str]]] = ..., codec_reason: _Optional[str] = ..., arrived_ns: _Optional[int] = ..., ready_ns: _Optional[int] = ..., pieces_sent_bytes: _Optional[int] = ..., pieces_received_bytes: _Optional[int] = ..., pieces_wait_ns: _Optional[int] = ..., member: _Optional[int] = ...) -> None: ...
