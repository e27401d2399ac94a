"""Answers on their way into a journal and back: the same bits, dtypes, shapes and names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dispatcher_client.journal_records import AnswerRecord, input_checksum, to_answer, to_record
from dispatcher_client.values import Answer, Values

ANSWERS: dict[str, Answer] = {
    "one array": np.array([[np.nan, -0.0, 1.5]], np.float32),
    "several": {"a": np.arange(6, dtype=np.int8).reshape(2, 3), "b/c:0": np.array([True, False])},
    "no dimension": np.array(3, np.int64),
    "empty": np.zeros((0, 4), np.float16),
    "not contiguous": np.arange(12, dtype=np.uint16).reshape(3, 4).T,
    "none": {},
}


def by_name(answer: Answer) -> dict[str, np.ndarray]:
    return answer if isinstance(answer, dict) else {"": answer}


def contents(answer: Answer) -> list[tuple[object, ...]]:
    return [(name, x.dtype, x.shape, x.tobytes()) for name, x in by_name(answer).items()]


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_comes_back_bit_for_bit(name: str) -> None:
    answer = ANSWERS[name]
    record = to_record(answer)
    assert record.is_intact
    back = to_answer(record)
    assert isinstance(back, dict) == isinstance(answer, dict)
    assert contents(back) == contents(answer)
    assert all(array.flags.writeable for array in by_name(back).values())


def test_record_is_not_intact_when_a_bit_has_changed() -> None:
    record = to_record(np.zeros(4, np.int8))
    assert not replace(record, data=b"\0\0\1\0").is_intact
    assert not replace(record, layout=record.layout.replace("4", "2")).is_intact


@pytest.mark.parametrize(
    "layout",
    [
        "",
        "[" * 100_000,
        "{}x",
        "7",
        "[[1, 2]]",
        '[["", "O", [1]]]',
        '[["", "<f4", [-1]]]',
        '[["", "<f4", [9]]]',
        '[["", "<f4", [1e30]]]',
        '[[[], "<f4", [1]]]',
    ],
)
def test_record_of_another_layout_is_refused(layout: str) -> None:
    with pytest.raises(ValueError, match="layout cannot be read"):
        to_answer(AnswerRecord(layout, b"12345678", 0))


def test_checksum_tells_inputs_apart() -> None:
    x = np.arange(4, dtype=np.float32)
    others: list[Values] = [x + 1, x.astype(np.float64), x.reshape(2, 2), {"x": x}, {"x": x, "y": x}, x.view(np.int32)]
    checksums = [input_checksum(values) for values in [x, *others]]
    assert len(set(checksums)) == len(checksums)
    assert input_checksum(x.copy()) == checksums[0]
    assert input_checksum({"y": x, "x": x}) == input_checksum({"x": x, "y": x})
    assert input_checksum(np.asfortranarray(x.reshape(2, 2))) == input_checksum(x.reshape(2, 2))


@pytest.mark.parametrize("values", [None, [1, 2], {"x": 3}, np.array([object()])])
def test_checksum_is_0_of_what_is_no_input(values: object) -> None:
    assert input_checksum(values) == 0  # type: ignore[arg-type]
