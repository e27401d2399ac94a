"""A gateway before the session's boards, with several models and versions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from bundle import Bundle
from examples.local_boards import LocalBoards
from examples.local_gateway import LocalGateway
from tests.bundles import split_file, zoo_file


@dataclass(frozen=True)
class Serving:
    """A gateway and what it serves. Versions 1 and 3 of `residual` answer with other bytes."""

    gateway: LocalGateway
    residual: Bundle  # version 1: float32
    quantised: Bundle  # version 3: int8
    neck: Bundle  # three outputs, int8
    two_inputs: Bundle

    @property
    def grpc(self) -> str:
        return self.gateway.grpc

    @property
    def http(self) -> str:
        return self.gateway.http


@pytest.fixture(scope="session")
def serving(
    boards: LocalBoards, zoo_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    quantised = zoo_bundle("residual", "int8")
    place = tmp_path_factory.mktemp("gateway")
    file = place / f"{quantised.manifest.model_name}.tflite"  # whose name is the model's
    shutil.copyfile(zoo_file("residual", "float32"), file)
    residual = split_file(place / "parts", file, parts=3)
    assert residual.manifest.model_name == quantised.manifest.model_name
    neck, two_inputs = zoo_bundle("yolo_neck", "int8"), zoo_bundle("two_inputs", "float16")
    names = [str(residual.path), f"3={quantised.path}", str(neck.path), str(two_inputs.path)]
    arguments = ("--timeout-s", "20", "--max-message-mib", "1")
    with LocalGateway(names, ",".join(boards.addresses), boards.credentials, arguments) as gateway:
        yield Serving(gateway, residual, quantised, neck, two_inputs)
        assert gateway.process.poll() is None, "".join(gateway.log)
