"""Writes docs/reference/protocol.md from the protos and their comments: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

_HEAD = """# Messages

Made from the comments of `protos/v1/*.proto` by `make docs`; do not edit it. The data plane's streams are gRPC of our own making
([ADR 0011](../adr/0011-message-streams.md)), and any client of gRPC and protobuf can take part. What a new version may change:
[versions](../project/versions.md).
"""
# Numbers of the fields of descriptor.proto, of which a comment's path consists.
_FILE_MESSAGES, _FILE_ENUMS, _FILE_SERVICES = 4, 5, 6
_MESSAGE_FIELDS, _MESSAGE_MESSAGES, _MESSAGE_ENUMS = 2, 3, 4
_VALUES = _METHODS = 2
_SYNTAX = 12

Path_ = tuple[int, ...]


class _Page:
    """One file's part of the page."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(place.path): (place.leading_comments or place.trailing_comments).strip()
            for place in file.source_code_info.location
        }

    def lines(self) -> Iterator[str]:
        yield f"\n## {Path(self._file.name).name}\n\n{self._comments.get((_SYNTAX,), '')}\n"
        for index, service in enumerate(self._file.service):
            yield from self._service(service, (_FILE_SERVICES, index))
        for index, message in enumerate(self._file.message_type):
            yield from self._message(message, message.name, (_FILE_MESSAGES, index))
        for index, enum in enumerate(self._file.enum_type):
            yield from self._enum(enum, enum.name, (_FILE_ENUMS, index))

    def _service(self, service: ServiceDescriptorProto, path: Path_) -> Iterator[str]:
        yield from self._heading(service.name, path)
        yield from _table(
            ("call", "takes", "gives", ""),
            [
                (
                    f"`{method.name}`",
                    _stream(method.client_streaming) + _link(method.input_type),
                    _stream(method.server_streaming) + _link(method.output_type),
                    self._said((*path, _METHODS, index)),
                )
                for index, method in enumerate(service.method)
            ],
        )

    def _message(self, message: DescriptorProto, name: str, path: Path_) -> Iterator[str]:
        yield from self._heading(name, path)
        fields = enumerate(message.field)
        rows = [
            (f"`{f.name}`", str(f.number), _type(f, message), self._said((*path, _MESSAGE_FIELDS, i)))
            for i, f in fields
        ]
        yield from _table(("field", "number", "type", ""), rows)
        for index, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                yield from self._message(nested, f"{name}.{nested.name}", (*path, _MESSAGE_MESSAGES, index))
        for index, enum in enumerate(message.enum_type):
            yield from self._enum(enum, f"{name}.{enum.name}", (*path, _MESSAGE_ENUMS, index))

    def _enum(self, enum: EnumDescriptorProto, name: str, path: Path_) -> Iterator[str]:
        yield from self._heading(name, path)
        rows = [(f"`{v.name}`", str(v.number), self._said((*path, _VALUES, i))) for i, v in enumerate(enum.value)]
        yield from _table(("value", "number", ""), rows)

    def _heading(self, name: str, path: Path_) -> Iterator[str]:
        yield f"\n### {name}\n"
        if self._comments.get(path):
            yield f"{_one_line(self._comments[path])}\n"

    def _said(self, path: Path_) -> str:
        return _one_line(self._comments.get(path, ""))


def _one_line(comment: str) -> str:
    return " ".join(comment.split()).replace("|", "\\|").replace("<", "&lt;")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(head)} |"
        yield f"|{' --- |' * len(head)}"
        yield from (f"| {' | '.join(row)} |" for row in rows)


def _stream(streams: bool) -> str:
    return "a stream of " if streams else ""


def _link(type_name: str) -> str:
    name = type_name.removeprefix(".boardline.v1.")
    return (
        f"[{name}](#{name.lower().replace('.', '')})"
        if type_name.startswith(".boardline.v1.")
        else f"`{type_name[1:]}`"
    )


def _type(field: FieldDescriptorProto, owner: DescriptorProto) -> str:
    for nested in owner.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            key, value = nested.field
            return f"map of {_type(key, nested)} to {_type(value, nested)}"
    name = _link(field.type_name) if field.type_name else f"`{FieldDescriptorProto.Type.Name(field.type)[5:].lower()}`"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def main(descriptors: Path, page: Path) -> None:
    """Writes the page. Args: descriptors: as protos/describe.sh writes it."""
    files = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    own = sorted((file for file in files if file.package.startswith("boardline.")), key=lambda file: file.name)
    page.write_text(
        "\n".join([_HEAD, *(line for file in own for line in _Page(file).lines())]) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    typer.run(main)
