"""What this version writes, kept for the next one to read: descriptors, a message of every kind, a bundle.

`python -m release.written MODEL DIR` replaces tests/release/previous when a release is made.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import typer
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

from protos.v1 import control_plane_pb2, data_plane_pb2, manifest_pb2, tensor_pb2

DESCRIPTORS = "protos.binpb"
MESSAGES = "messages"
BUNDLE = "bundle"
_FILES = (tensor_pb2, manifest_pb2, data_plane_pb2, control_plane_pb2)  # each after those that it imports
_DEPTH = 4
_TIMEOUT_S = 120


def descriptors() -> FileDescriptorSet:
    """Of this version's protos."""
    found = FileDescriptorSet()
    for module in _FILES:
        module.DESCRIPTOR.CopyToProto(found.file.add())
    return found


def samples() -> dict[str, Message]:
    """A message of every kind by its full name, with a value in every field; of a oneof, in its last one."""
    kinds = [kind for module in _FILES for kind in module.DESCRIPTOR.message_types_by_name.values()]
    return {kind.full_name: _filled(kind, _DEPTH) for kind in kinds}


def _filled(kind: Descriptor, depth: int) -> Message:
    message = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue  # no message has one; the test of descriptors would say so
        many = field.is_repeated
        if field.message_type is not None:
            if depth > 0:
                inner = getattr(message, field.name)
                (inner.add() if many else inner).CopyFrom(_filled(field.message_type, depth - 1))
        elif many:
            getattr(message, field.name).append(_value(field))
        else:
            setattr(message, field.name, _value(field))
    return message


def _value(field: FieldDescriptor) -> object:
    """One that no default equals, and that tells fields apart."""
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    return {
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_DOUBLE: field.number + 0.5,
        FieldDescriptor.CPPTYPE_FLOAT: field.number + 0.25,
        FieldDescriptor.CPPTYPE_STRING: b"\x00\xff"
        if field.type == FieldDescriptor.TYPE_BYTES
        else f"{field.name} \u00e9",
    }.get(field.cpp_type, 100 + field.number)


def main(model: Path, directory: Path) -> None:
    """Args: model: a small .tflite, of which a bundle of two parts is made."""
    shutil.rmtree(directory, ignore_errors=True)
    (directory / MESSAGES).mkdir(parents=True)
    (directory / DESCRIPTORS).write_bytes(descriptors().SerializeToString(deterministic=True))
    for name, message in samples().items():
        (directory / MESSAGES / f"{name}.binpb").write_bytes(message.SerializeToString(deterministic=True))
    split = [sys.executable, "-m", "converter", "split", str(model), "--parts", "2", "--out", str(directory / BUNDLE)]
    subprocess.run(split, check=True, timeout=_TIMEOUT_S)


if __name__ == "__main__":
    typer.run(main)
