"""Damaged files are one typed error, soon, with little memory."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import MalformedModelError
from runtime.model_check import examine, examine_file
from runtime.model_check.structure import verified_model
from tests.bundles import zoo_file
from tests.partitioning.graph_builder import ModelBuilder

FILES = [zoo_file("residual", "int8"), zoo_file("gru", "float32"), zoo_file("unet", "float16")]


def refused(data: bytes) -> bool:
    """Whether it is; anything but the typed error fails the test, as does one that takes long."""
    begun_s = time.thread_time()
    message = ""
    try:
        examine(memoryview(data))
    except MalformedModelError as error:
        message = str(error)
    assert time.thread_time() - begun_s < 1
    assert len(message) < 400
    return bool(message)


@pytest.mark.parametrize("name", ["residual", "gru", "attention", "unet", "two_inputs"])
@pytest.mark.parametrize("mode", ["float32", "int8", "dynamic", "float16"])
def test_real_models_are_whole(name: str, mode: str) -> None:
    path = zoo_file(name, mode)
    findings = examine_file(path)
    assert findings.foreign_operators == ()
    assert path.stat().st_size < findings.need_bytes < 10 * path.stat().st_size + 10**6


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_flipped_bits_are_refused_or_harmless(path: object) -> None:
    whole = path.read_bytes()  # type: ignore[attr-defined]
    rng = random.Random(5)
    n_refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        n_refused += refused(bytes(data))
    assert n_refused > 5


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_words_of_offsets_that_are_anything_are_refused_or_harmless(path: object) -> None:
    """Aimed at what leads elsewhere: aligned words with values that small offsets, lengths and distances have, and huge ones."""
    whole = path.read_bytes()  # type: ignore[attr-defined]
    rng = random.Random(6)
    small = [at for at in range(0, len(whole) - 4, 4) if 0 < struct.unpack_from("<I", whole, at)[0] < len(whole)]
    n_refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for at in rng.sample(small, 2):
            struct.pack_into(
                "<I", data, at, rng.choice([0, 4, rng.randrange(len(whole)), 2**31, 2**32 - 1, 2**32 - at])
            )
        n_refused += refused(bytes(data))
    assert n_refused > 20


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_truncated_files_are_refused(path: object) -> None:
    whole = path.read_bytes()  # type: ignore[attr-defined]
    rng = random.Random(7)
    for length in [0, 1, 7, 8, 100, len(whole) - 1, len(whole) // 2, *(rng.randrange(len(whole)) for _ in range(100))]:
        assert refused(whole[:length])


@given(st.binary(max_size=300))
def test_anything_with_the_identifier_is_refused(tail: bytes) -> None:
    assert refused(tail[:4].ljust(4, b"\0") + b"TFL3" + tail[4:])


def test_memory_is_a_few_times_the_files() -> None:
    whole = FILES[1].read_bytes()
    verified_model(memoryview(whole))
    rng = random.Random(8)
    for _ in range(20):
        data = bytearray(whole)
        data[rng.randrange(8, 2000)] ^= 0xFF
        tracemalloc.start()
        try:
            refused(bytes(data))
            assert tracemalloc.get_traced_memory()[1] < 4 * len(whole) + 2**18
        finally:
            tracemalloc.stop()


def bomb(n_entries: int) -> bytes:
    """A model whose list of graphs names one graph over and over, whose lists are all of these lists again."""
    vtable = struct.pack("<HHHHHHHH", 14, 24, 4, 8, 12, 16, 20, 0)[:14].ljust(16, b"\0")
    entries = 8 + 16 + 24  # where the list begins
    table_at = 24
    table = struct.pack("<iIIIII", table_at - 8, *(entries - (table_at + offset) for offset in (4, 8, 12, 16, 20)))
    numbers = [table_at + 2**32 - (entries + 4 + 4 * i) for i in range(n_entries)]
    return (
        struct.pack("<I4s", table_at, b"TFL3") + vtable + table + struct.pack(f"<{n_entries + 1}I", n_entries, *numbers)
    )


@pytest.mark.parametrize("n_entries", [10, 1000, 100_000])
def test_lists_that_lead_to_themselves_are_refused(n_entries: int) -> None:
    assert refused(bomb(n_entries))


def test_lists_that_many_share_are_counted() -> None:
    """300 operators that all have one list of 3000 numbers are 900 000 numbers to look at, in a file of 60 KB."""
    builder = ModelBuilder()
    x = builder.main.tensor([1])
    builder.main.operator("ADD_N", [x] * 3000, [x])
    for _ in range(300):
        builder.main.operator("ADD_N", [x], [x])
    builder.main.ends([x], [x])
    data = bytearray(builder.build())
    (graph,) = verified_model(memoryview(data)).tables("Subgraphs")
    places = [operator._place("Inputs") for operator in graph.tables("Operators")]
    lists = [at + struct.unpack_from("<I", data, at)[0] for at in places]
    largest = max(lists, key=lambda start: struct.unpack_from("<I", data, start)[0])
    assert not refused(bytes(data))
    for at in places:
        if at < largest:
            struct.pack_into("<I", data, at, largest - at)
    with pytest.raises(MalformedModelError, match="shares more numbers"):
        examine(memoryview(bytes(data)))


def test_error_says_what_and_where() -> None:
    with pytest.raises(MalformedModelError, match=r"bytes 4 to 8 are not 'TFL3'.*Convert or copy it again"):
        examine(memoryview(b"x" * 100))
    with pytest.raises(MalformedModelError, match=r"Model at byte 9999 has 4 bytes, and the file ends at 100"):
        examine(memoryview(struct.pack("<I4s", 9999, b"TFL3").ljust(100, b"\0")))
