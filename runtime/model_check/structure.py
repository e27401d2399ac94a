"""Whether a file is a TFLite flatbuffer: all that the schema reaches lies inside of it, and is no more than it can hold.

What is found is only read from a file that was verified: each `Table` then gives its fields without further checks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from runtime.errors import MalformedModelError
from runtime.model_check.layout import TABLES, UNIONS, Field

IDENTIFIER = b"TFL3"
# Of tables and of entries of their lists: as flatbuffers' own verifiers have it.
_MOST_OBJECTS = 10**6
_LEAST_OBJECTS = 64
_OFFSET_BYTES = 4
# Lists of numbers may be shared; of those that are not, all together are smaller than the file.
_MOST_SHARED = 4
_LEAST_NUMBER_BYTES = 2**16
_U16, _I32, _U32 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I")
_FIELDS = {name: {field.name: field for field in fields} for name, fields in TABLES.items()}
_INDICES = {name: index for index, name in enumerate(TABLES)}

Buffer = memoryview


class Table:
    """A table of a file that was verified."""

    __slots__ = ("_at", "_data", "_fields", "_vtable", "_vtable_bytes", "name")

    def __init__(self, data: Buffer, name: str, at: int) -> None:
        self.name = name
        self._data = data
        self._at = at
        self._fields = _FIELDS[name]
        self._vtable = at - _I32.unpack_from(data, at)[0]
        self._vtable_bytes = _U16.unpack_from(data, self._vtable)[0]

    def number(self, field: str) -> int:
        """A number; 0 where the file leaves it out, as the schema's defaults are where it matters here."""
        where = self._place(field)
        code = self._fields[field].target
        return int(struct.unpack_from(f"<{code}", self._data, where)[0]) if where else 0

    def count(self, field: str) -> int:
        """The length of a list."""
        start = self._target(field)
        return int(_U32.unpack_from(self._data, start)[0]) if start else 0

    def numbers(self, field: str) -> tuple[int, ...]:
        """A list of numbers; empty where the file leaves it out."""
        start, n = self._target(field), self.count(field)
        return struct.unpack_from(f"<{n}{self._fields[field].target}", self._data, start + _OFFSET_BYTES) if n else ()

    def text(self, field: str) -> str:
        """A string; what is no UTF-8 in it is replaced."""
        start, n = self._target(field), self.count(field)
        return bytes(self._data[start + _OFFSET_BYTES : start + _OFFSET_BYTES + n]).decode(errors="replace")

    def tables(self, field: str) -> Iterator[Table]:
        """A list of tables."""
        start = self._target(field)
        for index in range(self.count(field)):
            place = start + _OFFSET_BYTES * (index + 1)
            yield Table(self._data, self._fields[field].target, place + _U32.unpack_from(self._data, place)[0])

    def union(self, field: str) -> Table | None:
        """The table that a union holds; None for none."""
        member = UNIONS[self._fields[field].target].get(self.number(f"{field}Type"))
        start = self._target(field)
        return Table(self._data, member, start) if member is not None and start else None

    def indices(self, ending: str) -> Iterator[int]:
        """The numbers whose names end so."""
        for field in self._fields.values():
            if field.name.endswith(ending) and field.kind == "number":
                yield self.number(field.name)
            elif field.name.endswith(ending) and field.kind == "numbers":
                yield from self.numbers(field.name)

    def _place(self, field: str) -> int:
        return _place(self._data, self._at, self._vtable, self._vtable_bytes, self._fields[field].slot)

    def _target(self, field: str) -> int:
        where = self._place(field)
        return where + int(_U32.unpack_from(self._data, where)[0]) if where else 0


def verified_model(data: Buffer) -> Table:
    """The root table of a TFLite file.

    Time and memory are bounded by the file's size: no part is looked at twice, and parts that overlap are counted.
    Raises: MalformedModelError: not a TFLite file, or one that is damaged or made to harm.
    """
    if len(data) < 2 * _OFFSET_BYTES or bytes(data[4:8]) != IDENTIFIER:
        raise MalformedModelError.because("its bytes 4 to 8 are not 'TFL3', as a TFLite file's are.")
    root = int(_U32.unpack_from(data, 0)[0])
    _Verifier(data).verify("Model", root)
    return Table(data, "Model", root)


class _Verifier:
    def __init__(self, data: Buffer) -> None:
        self._data = data
        self._size = len(data)
        self._objects_left = min(_MOST_OBJECTS, _LEAST_OBJECTS + self._size // _OFFSET_BYTES)
        self._number_bytes_left = _LEAST_NUMBER_BYTES + _MOST_SHARED * self._size
        self._seen: set[int] = set()
        self._waiting: list[tuple[str, int]] = []

    def verify(self, name: str, at: int) -> None:
        # A list instead of recursion: no depth to be exceeded. Offsets lead forwards only, and what was seen is not seen again.
        self._waiting.append((name, at))
        while self._waiting:
            self._table(*self._waiting.pop())

    def _table(self, name: str, at: int) -> None:
        key = at * len(_INDICES) + _INDICES[name]
        if key in self._seen:
            return
        self._seen.add(key)
        self._spend(1, name, at)
        self._require(at, _OFFSET_BYTES, _OFFSET_BYTES, name)
        vtable = at - _I32.unpack_from(self._data, at)[0]
        self._require(vtable, 4, 2, name)
        vtable_bytes = _U16.unpack_from(self._data, vtable)[0]
        if vtable_bytes < 4 or vtable_bytes % 2:
            raise _malformed(name, vtable, f"has a vtable of {vtable_bytes} bytes")
        self._require(vtable, vtable_bytes, 2, name)
        for field in TABLES[name]:
            where = _place(self._data, at, vtable, vtable_bytes, field.slot)
            if where:
                self._require(where, field.size, min(field.size, _OFFSET_BYTES), name, field.name)
                if field.kind != "number":
                    self._field(name, field, where, (at, vtable, vtable_bytes))

    def _field(self, name: str, field: Field, where: int, table: tuple[int, int, int]) -> None:
        target = where + int(_U32.unpack_from(self._data, where)[0])
        if field.kind == "table":
            self._waiting.append((field.target, target))
        elif field.kind == "union":
            self._union(name, field, target, table)
        elif field.kind == "tables":
            self._tables(name, field, target)
        elif field.kind == "numbers":
            self._numbers(name, field, target)
        elif field.kind == "string":
            n = self._length(name, field, target)
            self._require(target + _OFFSET_BYTES, n + 1, 1, name, field.name)
            if self._data[target + _OFFSET_BYTES + n]:
                raise _malformed(f"{name}.{field.name}", target, "is a string without an end")
        else:
            raise AssertionError(f"the schema has {field.kind}")

    def _union(self, name: str, field: Field, target: int, table: tuple[int, int, int]) -> None:
        kind_at = _place(self._data, *table, field.slot - 2)  # of one byte, which was required
        number = self._data[kind_at] if kind_at else 0
        member = UNIONS[field.target].get(number)
        if member is not None:
            self._waiting.append((member, target))
        elif number:
            raise _malformed(f"{name}.{field.name}", target, f"is of kind {number}, which this version does not know")

    def _tables(self, name: str, field: Field, target: int) -> None:
        key = -1 - (target * len(_INDICES) + _INDICES[field.target])
        if key in self._seen:
            return
        self._seen.add(key)
        n = self._length(name, field, target)
        self._require(target + _OFFSET_BYTES, n * _OFFSET_BYTES, _OFFSET_BYTES, name, field.name)
        self._spend(n, f"{name}.{field.name}", target)
        start = target + _OFFSET_BYTES
        for place in range(start, start + n * _OFFSET_BYTES, _OFFSET_BYTES):
            self._waiting.append((field.target, place + int(_U32.unpack_from(self._data, place)[0])))

    def _numbers(self, name: str, field: Field, target: int) -> None:
        size = struct.calcsize(f"<{field.target}")
        n_bytes = self._length(name, field, target) * size
        # Converters align numbers of eight bytes to four only, which every processor here reads.
        self._require(target + _OFFSET_BYTES, n_bytes, min(size, _OFFSET_BYTES), name, field.name)
        self._number_bytes_left -= n_bytes
        if self._number_bytes_left < 0:
            raise _malformed(f"{name}.{field.name}", target, "shares more numbers with others than a file has by right")

    def _length(self, name: str, field: Field, target: int) -> int:
        self._require(target, _OFFSET_BYTES, _OFFSET_BYTES, name, field.name)
        return int(_U32.unpack_from(self._data, target)[0])

    def _require(self, start: int, n_bytes: int, alignment: int, *what: str) -> None:
        if start < 0 or start + n_bytes > self._size:
            raise _malformed(".".join(what), start, f"has {n_bytes} bytes, and the file ends at {self._size}")
        if start % alignment:
            raise _malformed(".".join(what), start, f"is not at a multiple of {alignment} bytes")

    def _spend(self, n: int, what: str, at: int) -> None:
        self._objects_left -= n
        if self._objects_left < 0:
            raise _malformed(what, at, "is one table more than a file of this size can hold")


def _place(data: Buffer, at: int, vtable: int, vtable_bytes: int, slot: int) -> int:
    """Where a field is; 0 if the table does not have it."""
    if slot + 2 > vtable_bytes:
        return 0
    offset = int(_U16.unpack_from(data, vtable + slot)[0])
    return at + offset if offset else 0


def _malformed(what: str, at: int, fault: str) -> MalformedModelError:
    return MalformedModelError.because(f"{what} at byte {at} {fault}.")
