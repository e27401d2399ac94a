"""The profiler with a pretended worker: what it says of the figures, and what it keeps."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from node_service import profiler as profiler_module
from node_service import uploads
from node_service.config import NodeConfig
from node_service.errors import BadRequestError, MeasurementError, WrongVersionError
from node_service.measuring_turn import MeasuringTurn
from node_service.profile_cache import Configuration, ProfileCache
from node_service.profiler import Profiler
from node_service.runtime_choice import choose_threads
from node_service.store import Store
from node_service.thermal import ThermalSensors
from node_service.worker_process import WorkerProcess
from protos.v1.control_plane_pb2 import Profile, ProfileHeader, ProfileKey
from runtime import ComputeError, ModelLoadError, TfliteRuntime
from transport.address import Address

DATA = b"partition" * 1000
KEY = ProfileKey(sha256=hashlib.sha256(DATA).hexdigest())
TIMES = {"runs": 10, "run_s": 0.1, "run_half_width_s": 0.001, "median_run_s": 0.1, "run_cpu_s": 0.2}
MEASURED = {
    "times": TIMES,
    "waited_share": 0.04,
    "load_s": 0.5,
    "resident_bytes": 7,
    "working_bytes": 8,
    "peak_bytes": 9,
    "run_j": 0.25,
}
# Gives one answer to all requests, after doing something.
CHILD = "import sys\nfor line in sys.stdin:\n    {do}\n    print({answer!r}, flush=True)"
RUNTIME = TfliteRuntime("tflite-runtime", "2.14.0", None)
_Found = TypeVar("_Found")


def header(**fields: Any) -> ProfileHeader:
    return ProfileHeader(**{"key": KEY, "size_bytes": len(DATA), "confidence": 0.02, "budget_s": 1.0, **fields})


async def chunks(data: bytes = DATA) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


class Bench:
    """A profiler over a directory, with a worker that always gives the same answer."""

    def __init__(self, directory: Path, answer: dict[str, Any], do: str = "pass", frames: int = 0) -> None:
        self.directory = directory
        self._worker = [sys.executable, "-c", CHILD.format(do=do, answer=json.dumps(answer))]
        self._frames = iter((10, 10 + frames))

    def run(self, test: Callable[[Profiler], Awaitable[_Found]]) -> _Found:
        async def run() -> _Found:
            config = NodeConfig(Address("127.0.0.1", 0), self.directory / "store", "pi1", threads=3)
            store = Store(config.store)
            cache = ProfileCache(config.store / "profiles", Configuration("pi1", "machine", RUNTIME.identity))
            turn = MeasuringTurn(asyncio.Event())
            sensors = ThermalSensors(self.directory)
            worker = WorkerProcess(self._worker)
            profiler = Profiler(config, RUNTIME, store, cache, turn, worker, sensors, lambda: next(self._frames))
            try:
                return await test(profiler)
            finally:
                await profiler.close()
                store.close()

        return asyncio.run(run())

    def profile(self, **fields: Any) -> Profile:
        return self.run(lambda profiler: profiler.profile(header(**fields), chunks()))

    def kept(self) -> list[Profile]:
        return self.run(lambda profiler: profiler.find([KEY]))


def heat(root: Path, celsius: int) -> None:
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True, exist_ok=True)
    for name, text in {"type": "cpu-thermal", "temp": f"{celsius}000"}.items():
        (zone / name).write_text(text)
    for name, text in {"type": "passive", "temp": "85000"}.items():
        (zone / f"trip_point_0_{name}").write_text(text)


def test_clean_profile_says_everything_and_is_kept(tmp_path: Path) -> None:
    heat(tmp_path, 50)
    bench = Bench(tmp_path, {"measurement": MEASURED})
    profile = bench.profile()
    assert profile.key == ProfileKey(sha256=KEY.sha256, threads=3, delegate="none")
    assert (profile.board, profile.key.delegate, profile.runtime) == ("pi1", "none", RUNTIME.identity)
    assert all(getattr(profile, name) == value for name, value in TIMES.items())
    assert (profile.load_s, profile.resident_bytes, profile.working_bytes, profile.peak_bytes) == (0.5, 7, 8, 9)
    assert (profile.run_j, profile.temperature_before_c, profile.temperature_after_c) == (0.25, 50, 50)
    assert profile.measured_at_s > 1e9
    assert list(profile.flags) == []
    assert bench.kept() == [profile]
    assert list((tmp_path / "store" / "partitions").iterdir()) == []


def test_board_without_sensors_gives_none(tmp_path: Path) -> None:
    profile = Bench(tmp_path, {"measurement": {**MEASURED, "run_j": None}}).profile()
    assert not any(profile.HasField(f) for f in ("run_j", "temperature_before_c", "temperature_after_c"))


@pytest.mark.parametrize(
    ("celsius", "half_width_s", "do", "frames", "flags"),
    [
        (50, 0.0073, "pass", 0, ["noisy: the mean is known to 7.3% only, 2.0% was asked for (10 runs)"]),
        (50, 0.001, "pass", 12, ["busy: 12 frames were computed meanwhile"]),
        (83, 0.001, "pass", 0, ["hot: 83 C, and the kernel slows the processor down from 85 C on"]),
        (50, 0.001, "open({throttled!r}, 'w').write('4')", 0, ["throttled: the firmware throttles"]),
    ],
)
def test_flagged_profile_is_returned_and_not_kept(
    tmp_path: Path, celsius: int, half_width_s: float, do: str, frames: int, flags: list[str]
) -> None:
    heat(tmp_path, celsius)
    throttled = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    throttled.parent.mkdir(parents=True)
    throttled.write_text("0")
    measured = {**MEASURED, "times": {**TIMES, "run_half_width_s": half_width_s}}
    bench = Bench(tmp_path, {"measurement": measured}, do.format(throttled=str(throttled)), frames)
    assert list(bench.profile().flags) == flags
    assert bench.kept() == []


def test_profile_is_returned_when_it_cannot_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    do = f"import shutil; shutil.rmtree({str(tmp_path / 'store' / 'profiles')!r})"
    bench = Bench(tmp_path, {"measurement": MEASURED}, do)
    assert bench.profile().runs == 10
    assert "is not kept: the store cannot be written" in caplog.text
    assert bench.kept() == []


def test_profile_is_flagged_when_other_programs_take_the_processor(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"measurement": {**MEASURED, "waited_share": 0.31}})
    assert list(bench.profile().flags) == ["busy: other programs on the board took 31% of the time"]
    assert bench.kept() == []


def test_other_programs_may_take_what_the_caller_does_not_care_about(tmp_path: Path) -> None:
    assert (
        list(Bench(tmp_path, {"measurement": {**MEASURED, "waited_share": 0.31}}).profile(confidence=0.5).flags) == []
    )


def test_throttling_that_passes_during_a_long_measurement_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiler_module, "_LOOK_INTERVAL_S", 0.01)
    throttled = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    throttled.parent.mkdir(parents=True)
    throttled.write_text("0")
    path = str(throttled)
    do = f"import time; open({path!r}, 'w').write('8'); time.sleep(0.5); open({path!r}, 'w').write('0')"
    profile = Bench(tmp_path, {"measurement": MEASURED}, do).profile()
    assert list(profile.flags) == ["throttled: the firmware's soft temperature limit is reached"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ModelLoadError", ModelLoadError), ("ComputeError", ComputeError), ("RuntimeMissingError", MeasurementError)],
)
def test_error_of_the_worker_is_typed(tmp_path: Path, name: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="the reason"):
        Bench(tmp_path, {"error": name, "message": "the reason"}).profile()


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"budget_s": 0.0}, BadRequestError, "a budget of 0 s"),
        ({"budget_s": 601.0}, BadRequestError, "up to 600 s"),
        ({"budget_s": float("nan")}, BadRequestError, "a budget of nan s"),
        ({"confidence": 0.0}, BadRequestError, "a share between 0 and 1"),
        ({"confidence": 1.0}, BadRequestError, "a share between 0 and 1"),
        ({"size_bytes": 0}, BadRequestError, "bytes, not 0"),
        ({"size_bytes": 5}, BadRequestError, "more bytes arrive"),
        ({"size_bytes": 10**6}, BadRequestError, "bytes arrived"),
        ({"key": ProfileKey(sha256="0" * 64)}, BadRequestError, "SHA-256"),
        ({"key": ProfileKey(sha256="../x")}, BadRequestError, "hexadecimal"),
        ({"key": ProfileKey(sha256=KEY.sha256, threads=1000)}, BadRequestError, "1000 threads"),
        ({"runtime_floor": "2.99.0"}, WrongVersionError, r"needs TensorFlow Lite 2\.99\.0"),
    ],
)
def test_request_that_cannot_be_served_is_refused_and_nothing_stays(
    tmp_path: Path, fields: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        Bench(tmp_path, {"measurement": MEASURED}).profile(**fields)
    assert list((tmp_path / "store" / "partitions").iterdir()) == []


def test_upload_that_stalls_loses_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_SILENCE_S", 0.05)

    async def stall() -> AsyncIterator[bytes]:
        yield DATA[:10]
        await asyncio.Event().wait()

    with pytest.raises(BadRequestError, match="nothing arrived"):
        Bench(tmp_path, {"measurement": MEASURED}).run(lambda profiler: profiler.profile(header(), stall()))


def test_time_out_covers_the_load_and_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiler_module, "_LOAD_ALLOWANCE_S", 0.1)
    with pytest.raises(MeasurementError, match=r"longer than 0\.9 s"):
        Bench(tmp_path, {"measurement": MEASURED}, "import time; time.sleep(1000)").profile(budget_s=0.1)


def test_find_refuses_what_names_no_partition(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="hexadecimal"):
        Bench(tmp_path, {}).run(lambda profiler: profiler.find([ProfileKey(sha256="x")]))


def test_threads_are_the_boards_own_when_none_are_asked_for() -> None:
    assert (choose_threads(0, 3), choose_threads(2, 3), choose_threads(256, 3)) == (3, 2, 256)
