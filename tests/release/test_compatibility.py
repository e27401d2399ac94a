"""This version understands what the one before it says and has written: tests/release/previous."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from bundle import open_bundle
from converter.verification import verify_bundle
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoards
from release.compatibility import breaks
from release.written import BUNDLE, DESCRIPTORS, MESSAGES, descriptors, samples
from runtime import load_runtime

PREVIOUS = Path(__file__).with_name("previous")


def previous() -> FileDescriptorSet:
    return FileDescriptorSet.FromString((PREVIOUS / DESCRIPTORS).read_bytes())


@functools.cache
def previous_classes() -> dict[str, type[Message]]:
    """The kinds of messages as the previous version has them, by full name."""
    return dict(message_factory.GetMessages(list(previous().file), descriptor_pool.DescriptorPool()))


def test_nothing_of_the_previous_version_is_misunderstood() -> None:
    assert breaks(previous(), descriptors()) == []


@pytest.mark.parametrize("path", sorted((PREVIOUS / MESSAGES).glob("*.binpb")), ids=lambda path: path.stem)
def test_bytes_of_the_previous_version_say_the_same_now(path: Path) -> None:
    then = previous_classes()[path.stem].FromString(path.read_bytes())
    now = type(samples()[path.stem]).FromString(path.read_bytes())
    assert MessageToDict(now) == MessageToDict(then)
    assert now.SerializeToString(deterministic=True) == path.read_bytes()


def test_bytes_of_this_version_are_read_by_the_previous_one() -> None:
    """As an old board reads a new client: what it does not know it leaves alone, and passes on."""
    for name, message in samples().items():
        if (PREVIOUS / MESSAGES / f"{name}.binpb").exists():
            old = previous_classes()[name].FromString(message.SerializeToString())
            assert type(message).FromString(old.SerializeToString()) == message, name


def test_bundle_of_the_previous_version_is_verified_and_served(boards: LocalBoards) -> None:
    bundle = open_bundle(PREVIOUS / BUNDLE)
    assert verify_bundle(bundle, load_runtime()).is_identical
    inputs, answer = bundle.load_sample()
    (x,), (expected,) = inputs.values(), answer.values()
    with Dispatcher(bundle, boards.named[:2], credentials=boards.credentials) as chain:
        assert np.array_equal(np.asarray(chain.infer(x)), expected)


def renumbered(files: FileDescriptorSet) -> None:
    _frame(files).number = 60


def retyped(files: FileDescriptorSet) -> None:
    _frame(files).type = FieldDescriptorProto.TYPE_UINT32


def renamed(files: FileDescriptorSet) -> None:
    _frame(files).name = "frame_id"


def repeated(files: FileDescriptorSet) -> None:
    _frame(files).label = FieldDescriptorProto.LABEL_REPEATED


def optional(files: FileDescriptorSet) -> None:
    _frame(files).proto3_optional = True


def gone(files: FileDescriptorSet) -> None:
    header = _header(files)
    del header.field[0]


def gone_by_number_only(files: FileDescriptorSet) -> None:
    gone(files)
    _header(files).reserved_range.add(start=1, end=2)


def message_gone(files: FileDescriptorSet) -> None:
    _file(files, "data_plane").message_type.pop()


def value_gone(files: FileDescriptorSet) -> None:
    _file(files, "tensor").enum_type[0].value.pop()


def value_renamed(files: FileDescriptorSet) -> None:
    _file(files, "tensor").enum_type[0].value[1].name = "FLOAT"


def enum_gone(files: FileDescriptorSet) -> None:
    _file(files, "tensor").enum_type.pop()


def call_gone(files: FileDescriptorSet) -> None:
    _file(files, "control_plane").service[0].method.pop()


def call_streams(files: FileDescriptorSet) -> None:
    _file(files, "control_plane").service[0].method[0].server_streaming = True


BREAKING = [
    renumbered, retyped, renamed, repeated, optional, gone, gone_by_number_only, message_gone, value_gone, value_renamed,
    enum_gone, call_gone, call_streams,
]  # fmt: skip


@pytest.mark.parametrize("change", BREAKING, ids=lambda change: change.__name__)
def test_breaking_change_is_found(change: Callable[[FileDescriptorSet], None]) -> None:
    changed = descriptors()
    change(changed)
    assert breaks(descriptors(), changed) != []


def test_field_may_go_when_number_and_name_are_reserved_and_must_stay_away() -> None:
    without = descriptors()
    gone(without)
    _header(without).reserved_range.add(start=1, end=2)
    _header(without).reserved_name.append("request_id")
    assert breaks(descriptors(), without) == []
    assert len(breaks(without, descriptors())) == 3, "number and name are not reserved any more, and it is back"


def test_new_field_message_and_value_break_nothing() -> None:
    more = descriptors()
    _header(more).field.add(name="trace", number=70, type=FieldDescriptorProto.TYPE_STRING)
    _file(more, "data_plane").message_type.add(name="Trace")
    _file(more, "tensor").enum_type[0].value.add(name="BFLOAT16", number=70)
    assert breaks(descriptors(), more) == []


def _file(files: FileDescriptorSet, name: str) -> FileDescriptorProto:
    (found,) = [file for file in files.file if file.name.endswith(f"/{name}.proto")]
    return found


def _header(files: FileDescriptorSet) -> DescriptorProto:
    (found,) = [message for message in _file(files, "data_plane").message_type if message.name == "Header"]
    return found


def _frame(files: FileDescriptorSet) -> FieldDescriptorProto:
    return _header(files).field[0]
