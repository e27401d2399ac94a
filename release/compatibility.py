"""Whether messages of one version mean the same to another: descriptors compared field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)


def breaks(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """What a peer or a file of the old version would be misunderstood in; empty if nothing.

    Names count as numbers do: manifests are JSON. What is only added is no break, unless in a place that is reserved.
    """
    return sorted(
        [
            *_of_messages(_messages(old), _messages(new)),
            *_of_enums(_enums(old), _enums(new)),
            *_of_calls(_calls(old), _calls(new)),
        ]
    )


def _of_messages(old: Mapping[str, DescriptorProto], new: Mapping[str, DescriptorProto]) -> Iterator[str]:
    for name, before in old.items():
        if name not in new:
            yield f"{name} is gone"
            continue
        after = new[name]
        fields = {field.number: field for field in after.field}
        held = {number for kept in after.reserved_range for number in range(kept.start, kept.end)}  # end is exclusive
        for field in before.field:
            now = fields.get(field.number)
            if now is not None:
                yield from _of_field(f"{name}.{field.name}", before, field, after, now)
            elif field.number not in held or field.name not in after.reserved_name:
                yield f"{name}.{field.name} is gone, and not reserved by its number {field.number} and its name"
        yield from _released(name, before, held, after.reserved_name)
        known = {field.number for field in before.field}
        for kept in before.reserved_range:
            for number in sorted(set(range(kept.start, kept.end)) & set(fields) - known):
                yield f"{name}.{fields[number].name} has the number {number}, which was reserved"


def _of_field(
    where: str, old: DescriptorProto, before: FieldDescriptorProto, new: DescriptorProto, after: FieldDescriptorProto
) -> Iterator[str]:
    if before.name != after.name:
        yield f"{where}: its number {before.number} is {after.name}'s now"
    for what in ("type", "type_name", "label", "proto3_optional"):
        if getattr(before, what) != getattr(after, what):
            yield f"{where}: its {what} was {getattr(before, what)!r}, and is {getattr(after, what)!r}"
    if _choice(old, before) != _choice(new, after):
        yield f"{where}: its oneof was {_choice(old, before) or 'none'}, and is {_choice(new, after) or 'none'}"


def _choice(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """The oneof that a field is in; empty if none, or one that only says that the field may be absent."""
    if field.HasField("oneof_index") and not field.proto3_optional:
        return message.oneof_decl[field.oneof_index].name
    return ""


def _of_enums(old: Mapping[str, EnumDescriptorProto], new: Mapping[str, EnumDescriptorProto]) -> Iterator[str]:
    for name, before in old.items():
        if name not in new:
            yield f"{name} is gone"
            continue
        after = new[name]
        values = {value.number: value.name for value in after.value}
        held = {
            n for kept in after.reserved_range for n in range(kept.start, kept.end + 1)
        }  # an enum's end is inclusive
        for value in before.value:
            now = values.get(value.number)
            if now is None and (value.number not in held or value.name not in after.reserved_name):
                yield f"{name}.{value.name} is gone, and not reserved by its number {value.number} and its name"
            elif now is not None and now != value.name:
                yield f"{name}.{value.name}: its number {value.number} is {now}'s now"
        yield from _released(name, before, held, after.reserved_name)


def _released(
    where: str, before: DescriptorProto | EnumDescriptorProto, held: set[int], names: Iterable[str]
) -> Iterator[str]:
    inclusive = isinstance(before, EnumDescriptorProto)
    was = {number for kept in before.reserved_range for number in range(kept.start, kept.end + inclusive)}
    yield from (f"{where}: {number} is not reserved any more" for number in sorted(was - held))
    yield from (f"{where}: {name} is not reserved any more" for name in sorted(set(before.reserved_name) - set(names)))


def _of_calls(old: Mapping[str, MethodDescriptorProto], new: Mapping[str, MethodDescriptorProto]) -> Iterator[str]:
    for name, before in old.items():
        if name not in new:
            yield f"{name} is gone"
            continue
        for what in ("input_type", "output_type", "client_streaming", "server_streaming"):
            if getattr(before, what) != getattr(new[name], what):
                yield f"{name}: its {what} was {getattr(before, what)!r}, and is {getattr(new[name], what)!r}"


def _messages(files: FileDescriptorSet) -> dict[str, DescriptorProto]:
    found: dict[str, DescriptorProto] = {}

    def add(prefix: str, messages: Iterable[DescriptorProto]) -> None:
        for message in messages:
            found[f"{prefix}.{message.name}"] = message
            add(f"{prefix}.{message.name}", message.nested_type)

    for file in files.file:
        add(file.package, file.message_type)
    return found


def _enums(files: FileDescriptorSet) -> dict[str, EnumDescriptorProto]:
    inside = {f"{name}.{enum.name}": enum for name, message in _messages(files).items() for enum in message.enum_type}
    return {**inside, **{f"{file.package}.{enum.name}": enum for file in files.file for enum in file.enum_type}}


def _calls(files: FileDescriptorSet) -> dict[str, MethodDescriptorProto]:
    return {
        f"{file.package}.{service.name}.{method.name}": method
        for file in files.file
        for service in file.service
        for method in service.method
    }
