"""Nothing that comes from the network names a file outside the store, and errors name no file of the board."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import node_service
import runtime
import transport
from node_service.errors import BadRequestError, to_frame_error, to_status
from node_service.profile_cache import Configuration
from node_service.store import Store
from protos.v1.control_plane_pb2 import LoadStageRequest, ProfileKey
from runtime import ModelLoadError, Runner, load_runtime

HOSTILE = [
    "../x",
    "/etc/passwd",
    "..",
    ".hidden",
    "a/b",
    "a\\b\n",
    "a\0",
    "",
    "a" * 129,
    "~root",
    "-rf",
    "ä",
    "$(reboot)",
    "a b",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_deployment_ids_and_hashes_touch_no_file(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadRequestError):
        store.save_stage(LoadStageRequest(deployment_id=name))
    with pytest.raises(BadRequestError):
        store.forget_stage(name, 0)
    with pytest.raises(BadRequestError):
        store.intact_partition(name)
    with pytest.raises(BadRequestError):
        store.find_missing([name])
    with pytest.raises(BadRequestError), store.receive(name, 10):
        pass
    assert sorted(tmp_path.rglob("*")) == before
    store.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_profiles_are_named_by_a_hash_of_what_is_asked_for(name: str) -> None:
    runtime_here = load_runtime().identity
    assert Path(Configuration(name, name, runtime_here).file_name(ProfileKey(sha256=name))).name.endswith(".json")
    assert len(Configuration(name, name, runtime_here).file_name(ProfileKey(sha256=name))) == 64 + 5


def test_refusals_of_the_runtime_do_not_say_where_the_store_is(tmp_path: Path) -> None:
    for content in (b"", b"xxxxTFL3" + bytes(100), None):
        path = tmp_path / "model.tflite"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelLoadError) as caught:
            Runner(load_runtime(), path)
        assert str(tmp_path) not in str(caught.value)


def test_errors_to_peers_are_short_and_defects_say_nothing() -> None:
    long = BadRequestError("x" * 10**5)
    assert len(to_status(long)[1]) < 2100
    assert len(to_frame_error(long, "b", 0).message) < 2100
    assert "/secret" not in to_status(OSError(2, "No such file", "/secret"))[1]
    assert "/secret" not in to_frame_error(OSError(2, "No such file", "/secret"), "b", 0).message


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib"}
SHELLS = {"system", "popen", "getoutput", "create_subprocess_shell"}


@pytest.mark.parametrize("package", [node_service, runtime, transport], ids=lambda p: p.__name__)
def test_nothing_is_unpickled_evaluated_or_put_in_a_shell(package: object) -> None:
    found = []
    for path in Path(package.__path__[0]).rglob("*.py"):  # type: ignore[attr-defined]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                is_bare = isinstance(node.func, ast.Name)
                shell = any(k.arg in ("shell", "allow_pickle") and getattr(k.value, "value", 1) for k in node.keywords)
                if (is_bare and name in FORBIDDEN_CALLS) or name in SHELLS or shell:
                    found.append(f"{path.name}:{node.lineno} {name}")
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
                found += [f"{path.name}:{node.lineno} {n}" for n in names if n.split(".")[0] in FORBIDDEN_MODULES]
    assert not found
