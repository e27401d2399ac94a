"""A partition is refused by name before the service loads it; what passed once is not tried again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from node_service.checked_partitions import Checked, CheckedPartitions
from node_service.errors import TrialError
from node_service.partition_checks import PartitionChecks
from node_service.partition_policy import require_memory, require_operators
from node_service.trial_worker import limit_cpu
from node_service.worker_process import TRIAL_WORKER, WorkerProcess
from runtime import MalformedModelError, MemoryShortError, ModelLoadError, OperatorRefusedError, load_runtime
from runtime.model_check import Findings
from tests.bundles import zoo_file
from tests.node_service.model_files import crashing_model, custom_model, dense_model, endless_model, failing_model

GOOD = zoo_file("mlp", "float32").read_bytes()


class CountingWorker(WorkerProcess):
    """The real one, which counts."""

    def __init__(self) -> None:
        super().__init__(TRIAL_WORKER, work="trial of the partition", error=TrialError)
        self.asked: list[dict[str, Any]] = []

    async def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        self.asked.append(request)
        return await super().ask(request, timeout_s)


class Checks:
    """Checks with a store of their own, and what they were asked."""

    def __init__(self, place: Path, available_bytes: int = 0, **options: Any) -> None:
        self.place = place
        self.worker = CountingWorker()
        self.runtime = options.pop("runtime", load_runtime())
        self.checks = PartitionChecks(
            "auto", CheckedPartitions(place / "checked"), self.worker, lambda: available_bytes, **options
        )

    def check(self, data: bytes, *, is_new: bool = True) -> None:
        path = self.place / "partition.tflite"
        path.write_bytes(data)
        asyncio.run(self.checks.require_sound({hashlib.sha256(data).hexdigest(): path}, self.runtime, 1, is_new=is_new))
        assert not self.worker.is_running


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", MalformedModelError, "it is empty"),
        (GOOD[:-100], MalformedModelError, "the file ends at"),
        (custom_model("FlexErf"), OperatorRefusedError, "FlexErf.*--allow-operators FlexErf"),
        (crashing_model(), TrialError, "the runtime crashed with SIGSEGV on this partition"),
    ],
    ids=["empty", "truncated", "custom", "crashing"],
)
def test_partition_is_refused_by_name_and_the_next_one_passes(
    tmp_path: Path, data: bytes, error: type[Exception], words: str
) -> None:
    checks = Checks(tmp_path)
    with pytest.raises(error, match=words):
        checks.check(data)
    assert not list(tmp_path.glob("checked/*"))  # what is refused is not remembered
    checks.check(GOOD)
    assert len(checks.worker.asked) == 2


def test_partition_that_never_ends_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"trial of the partition took (longer|more processor time)"):
        Checks(tmp_path, timeout_s=4.0).check(endless_model())


def test_partition_that_refuses_zeros_in_good_order_passes(tmp_path: Path) -> None:
    Checks(tmp_path).check(failing_model())


def test_allowed_operators_go_on_to_the_runtime_which_may_not_have_them(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="FlexErf") as caught:
        Checks(tmp_path, allowed_operators={"FlexErf"}).check(custom_model("FlexErf"))
    assert not isinstance(caught.value, OperatorRefusedError)
    Checks(tmp_path, allowed_operators={"FlexErf"}, trial_load="never").check(custom_model("FlexErf"))


def test_partition_larger_than_memory_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(MemoryShortError, match=r"needs 0\.09\d* MiB at the least, and 0\.0\d* MiB .* are free"):
        Checks(tmp_path, available_bytes=50_000).check(GOOD)


def test_trial_gets_no_more_memory_than_is_free(tmp_path: Path) -> None:
    """Its 4 MiB of weights are packed for each of 12 operators: the estimate passes, the trial does not."""
    data = dense_model(1024, 12, has_one_matrix=True)
    with pytest.raises((MemoryShortError, ModelLoadError, TrialError)):
        Checks(tmp_path, available_bytes=len(data) + 20 * 2**20).check(data)
    Checks(tmp_path, available_bytes=2**30).check(data)


def test_partition_is_tried_once_for_each_runtime(tmp_path: Path) -> None:
    checks = Checks(tmp_path)
    checks.check(GOOD)
    checks.check(GOOD)
    again = Checks(tmp_path)  # after a restart
    again.check(GOOD)
    other = Checks(tmp_path, runtime=dataclasses.replace(load_runtime(), version="99.0"))
    other.check(GOOD)
    assert [len(c.worker.asked) for c in (checks, again, other)] == [1, 0, 1]


@pytest.mark.parametrize(("trial_load", "asked", "runs"), [("always", 2, True), ("new", 1, True), ("never", 1, False)])
def test_trials_are_made_as_asked_for(tmp_path: Path, trial_load: str, asked: int, runs: bool) -> None:
    checks = Checks(tmp_path, trial_load=trial_load)
    checks.check(GOOD)
    checks.check(GOOD)
    assert [request["runs"] for request in checks.worker.asked] == [runs] * asked


def test_partition_that_was_never_tried_is_tried_when_trials_are_asked_for(tmp_path: Path) -> None:
    Checks(tmp_path, trial_load="never").check(crashing_model())
    with pytest.raises(TrialError):
        Checks(tmp_path).check(crashing_model())


def test_what_is_remembered_is_held_against_the_board_as_it_is_now(tmp_path: Path) -> None:
    Checks(tmp_path, allowed_operators={"FlexErf"}, trial_load="never").check(custom_model("FlexErf"))
    with pytest.raises(OperatorRefusedError):
        Checks(tmp_path, trial_load="never").check(custom_model("FlexErf"))
    Checks(tmp_path).check(GOOD)
    small = Checks(tmp_path, available_bytes=1000)
    with pytest.raises(MemoryShortError):
        small.check(GOOD)
    small.check(GOOD, is_new=False)  # it served before the restart
    assert not small.worker.asked


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 0}', b'{"version": 1, "findings": null}'])
def test_damaged_memory_is_no_memory(tmp_path: Path, damage: bytes) -> None:
    sha256 = "0" * 64
    checked = CheckedPartitions(tmp_path)
    known = Checked(Findings(("X",), 5), "runtime 1")
    checked.keep(sha256, known)
    assert checked.find(sha256) == known
    (tmp_path / f"{sha256}.json").write_bytes(damage)
    assert checked.find(sha256) is None


def test_partition_passes_when_it_cannot_be_remembered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "checked").write_text("not a directory")
    Checks(tmp_path).check(GOOD)
    assert "is not remembered" in caplog.text


def test_policy_names_all_operators_and_lets_unknown_memory_pass() -> None:
    findings = Findings(("A", "B", "C"), 2**40)
    with pytest.raises(OperatorRefusedError, match="own: A, C"):
        require_operators(findings, {"B"})
    require_memory(findings, 0)


def test_trial_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    checks = Checks(tmp_path)
    path = tmp_path / "x.tflite"
    path.write_bytes(endless_model())

    async def check(cancel: Callable[[], Awaitable[None]] = checks.checks.close) -> None:
        trying = asyncio.ensure_future(checks.checks.require_sound({"0" * 64: path}, load_runtime(), 1))
        while not checks.worker.is_running:
            await asyncio.sleep(0.01)
        await cancel()
        with pytest.raises(TrialError, match="SIGKILL"):
            await trying

    asyncio.run(check())
    assert not checks.worker.is_running


def test_worker_reads_and_writes_plain_json(tmp_path: Path) -> None:
    checks = Checks(tmp_path)
    checks.check(GOOD)
    assert json.loads(json.dumps(checks.worker.asked)) == checks.worker.asked


def test_files_after_the_first_have_their_time_without_roots_rights() -> None:
    """Boards' services are nobody's in particular: they may not raise a hard limit again."""
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(Exception):
            os.setuid(os.getuid() or 65534)
            limit_cpu(1.0)
            while time.process_time() < 1.1:
                resource.setrlimit(resource.RLIMIT_CPU, (60, resource.getrlimit(resource.RLIMIT_CPU)[1]))
            limit_cpu(1.0)
            status = 0
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def two_files(place: Path) -> dict[str, Path]:
    """A small one and a larger one, by hash."""
    files = {}
    for layers in (1, 2):
        data = dense_model(64, layers)
        path = place / f"{layers}.tflite"
        path.write_bytes(data)
        files[hashlib.sha256(data).hexdigest()] = path
    return files


def test_files_of_one_partition_are_tried_one_after_the_other(tmp_path: Path) -> None:
    checks = Checks(tmp_path)
    assert asyncio.run(checks.checks.require_sound(two_files(tmp_path), load_runtime(), 1)) > 0
    assert len(checks.worker.asked) == 2
    assert not checks.worker.is_running


@pytest.mark.parametrize("are_known", [False, True])
def test_files_of_one_partition_fit_together_or_are_refused(tmp_path: Path, are_known: bool) -> None:
    files = two_files(tmp_path)
    each = [
        asyncio.run(
            Checks(tmp_path / "alone", trial_load="never").checks.require_sound({sha256: path}, load_runtime(), 1)
        )
        for sha256, path in files.items()
    ]
    place = tmp_path / ("alone" if are_known else "together")
    for available_bytes in (sum(each) - 1, sum(each)):
        checks = Checks(place, available_bytes, trial_load="never")
        refused = pytest.raises(MemoryShortError, match=f"needs {sum(each) / 2**20:.4g} MiB")
        with refused if available_bytes < sum(each) else contextlib.nullcontext():
            assert asyncio.run(checks.checks.require_sound(files, load_runtime(), 1)) == sum(each)
        asyncio.run(checks.checks.require_sound(files, load_runtime(), 1, is_new=False))


def test_trial_gets_no_more_memory_than_the_files_before_it_leave(tmp_path: Path) -> None:
    checks = Checks(tmp_path, 2**30)
    asyncio.run(checks.checks.require_sound(two_files(tmp_path), load_runtime(), 1))
    first, second = checks.worker.asked
    assert (first["available_bytes"], first["others_bytes"]) == (2**30, 0)
    assert second["available_bytes"] == 2**30
    known = CheckedPartitions(tmp_path / "checked").find(next(iter(two_files(tmp_path))))
    assert known is not None
    assert second["others_bytes"] == known.findings.need_bytes
