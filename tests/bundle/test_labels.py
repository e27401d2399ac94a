from __future__ import annotations

from pathlib import Path

import pytest

from bundle import BundleError
from bundle.labels import check_labels, count_classes, read_labels
from protos.v1.tensor_pb2 import TensorSpec


def output(*shape: int) -> TensorSpec:
    return TensorSpec(name="y", shape=shape)


def test_labels_are_lines_in_order(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffgroße Katze \r\ndog\r\ncrane\r\ncrane\r\n\r\n".encode())
    assert read_labels(path) == ["große Katze", "dog", "crane", "crane"]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "it is empty"), (b"cat\n\ndog\n", "line 2 is empty"), (b"\xff\xfe\xfd", "cannot be read")],
)
def test_labels_are_refused_when_a_class_would_have_none(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=says):
        read_labels(path)


def test_only_one_output_of_classes_makes_a_classifier() -> None:
    assert count_classes([output(1, 10)]) == 10
    assert [count_classes(o) for o in ([output(1, 10), output(1, 4)], [output(1, 288, 7)], [output(1, -1)])] == [
        None
    ] * 3


def test_labels_are_refused_when_a_classifier_has_another_number() -> None:
    check_labels(["cat", "dog"], [output(4, 2)])
    check_labels([], [output(1, 10)])
    check_labels(["cat", "dog"], [output(1, 288, 7)])
    with pytest.raises(BundleError, match="there are 2 labels, and the model has 10 classes"):
        check_labels(["cat", "dog"], [output(1, 10)])
