from protos.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Manifest(_message.Message):
    __slots__ = ("format_version", "model_name", "source", "whole", "runtime_floor", "inputs", "outputs", "splittings", "sample", "measured_on", "operator_order", "batch", "image_input", "labels", "taps")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FLOOR_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SPLITTINGS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    MEASURED_ON_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ORDER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INPUT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TAPS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    model_name: str
    source: Source
    whole: ModelFile
    runtime_floor: str
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    splittings: _containers.RepeatedCompositeFieldContainer[Splitting]
    sample: Sample
    measured_on: RuntimeIdentity
    operator_order: _containers.RepeatedScalarFieldContainer[int]
    batch: int
    image_input: ImageInput
    labels: _containers.RepeatedScalarFieldContainer[str]
    taps: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    def __init__(self, format_version: _Optional[int] = ..., model_name: _Optional[str] = ..., source: _Optional[_Union[Source, _Mapping]] = ..., whole: _Optional[_Union[ModelFile, _Mapping]] = ..., runtime_floor: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ..., splittings: _Optional[_Iterable[_Union[Splitting, _Mapping]]] = ..., sample: _Optional[_Union[Sample, _Mapping]] = ..., measured_on: _Optional[_Union[RuntimeIdentity, _Mapping]] = ..., operator_order: _Optional[_Iterable[int]] = ..., batch: _Optional[int] = ..., image_input: _Optional[_Union[ImageInput, _Mapping]] = ..., labels: _Optional[_Iterable[str]] = ..., taps: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ...) -> None: ...

class ImageInput(_message.Message):
    __slots__ = ("height", "width", "fit", "crop_share", "resample", "colours", "mean", "std")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    CROP_SHARE_FIELD_NUMBER: _ClassVar[int]
    RESAMPLE_FIELD_NUMBER: _ClassVar[int]
    COLOURS_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STD_FIELD_NUMBER: _ClassVar[int]
    height: int
    width: int
    fit: str
    crop_share: float
    resample: str
    colours: str
    mean: _containers.RepeatedScalarFieldContainer[float]
    std: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, height: _Optional[int] = ..., width: _Optional[int] = ..., fit: _Optional[str] = ..., crop_share: _Optional[float] = ..., resample: _Optional[str] = ..., colours: _Optional[str] = ..., mean: _Optional[_Iterable[float]] = ..., std: _Optional[_Iterable[float]] = ...) -> None: ...

class Splitting(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[Partition]
    def __init__(self, partitions: _Optional[_Iterable[_Union[Partition, _Mapping]]] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("file_name", "kind", "sha256", "quantize")
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    QUANTIZE_FIELD_NUMBER: _ClassVar[int]
    file_name: str
    kind: str
    sha256: str
    quantize: str
    def __init__(self, file_name: _Optional[str] = ..., kind: _Optional[str] = ..., sha256: _Optional[str] = ..., quantize: _Optional[str] = ...) -> None: ...

class ModelFile(_message.Message):
    __slots__ = ("path", "sha256", "size_bytes", "time_s")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    path: str
    sha256: str
    size_bytes: int
    time_s: float
    def __init__(self, path: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., time_s: _Optional[float] = ...) -> None: ...

class Partition(_message.Message):
    __slots__ = ("file", "start_op", "stop_op", "inputs", "outputs", "arriving", "leaving", "share")
    FILE_FIELD_NUMBER: _ClassVar[int]
    START_OP_FIELD_NUMBER: _ClassVar[int]
    STOP_OP_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ARRIVING_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    file: ModelFile
    start_op: int
    stop_op: int
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    arriving: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    leaving: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    share: Share
    def __init__(self, file: _Optional[_Union[ModelFile, _Mapping]] = ..., start_op: _Optional[int] = ..., stop_op: _Optional[int] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ..., arriving: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ..., leaving: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ..., share: _Optional[_Union[Share, _Mapping]] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("member", "members", "tensors", "actions", "segments")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    member: int
    members: int
    tensors: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    actions: _containers.RepeatedCompositeFieldContainer[ShareAction]
    segments: _containers.RepeatedCompositeFieldContainer[SharedSegment]
    def __init__(self, member: _Optional[int] = ..., members: _Optional[int] = ..., tensors: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ..., actions: _Optional[_Iterable[_Union[ShareAction, _Mapping]]] = ..., segments: _Optional[_Iterable[_Union[SharedSegment, _Mapping]]] = ...) -> None: ...

class SharedSegment(_message.Message):
    __slots__ = ("stop_op", "by", "shares")
    STOP_OP_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    stop_op: int
    by: str
    shares: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, stop_op: _Optional[int] = ..., by: _Optional[str] = ..., shares: _Optional[_Iterable[float]] = ...) -> None: ...

class ShareAction(_message.Message):
    __slots__ = ("receive", "send", "compute")
    RECEIVE_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    receive: Passing
    send: Passing
    compute: Strip
    def __init__(self, receive: _Optional[_Union[Passing, _Mapping]] = ..., send: _Optional[_Union[Passing, _Mapping]] = ..., compute: _Optional[_Union[Strip, _Mapping]] = ...) -> None: ...

class Piece(_message.Message):
    __slots__ = ("tensor", "dimension", "start", "stop")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    tensor: int
    dimension: int
    start: int
    stop: int
    def __init__(self, tensor: _Optional[int] = ..., dimension: _Optional[int] = ..., start: _Optional[int] = ..., stop: _Optional[int] = ...) -> None: ...

class Passing(_message.Message):
    __slots__ = ("pieces", "peer", "transfer")
    PIECES_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    pieces: _containers.RepeatedCompositeFieldContainer[Piece]
    peer: int
    transfer: int
    def __init__(self, pieces: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ..., peer: _Optional[int] = ..., transfer: _Optional[int] = ...) -> None: ...

class Strip(_message.Message):
    __slots__ = ("file", "inputs", "outputs")
    FILE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    file: ModelFile
    inputs: _containers.RepeatedCompositeFieldContainer[Piece]
    outputs: _containers.RepeatedCompositeFieldContainer[Piece]
    def __init__(self, file: _Optional[_Union[ModelFile, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("path", "sha256")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    path: str
    sha256: str
    def __init__(self, path: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class RuntimeIdentity(_message.Message):
    __slots__ = ("runtime", "version", "architecture", "processor", "delegate")
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    DELEGATE_FIELD_NUMBER: _ClassVar[int]
    runtime: str
    version: str
    architecture: str
    processor: str
    delegate: str
    def __init__(self, runtime: _Optional[str] = ..., version: _Optional[str] = ..., architecture: _Optional[str] = ..., processor: _Optional[str] = ..., delegate: _Optional[str] = ...) -> None: ...
