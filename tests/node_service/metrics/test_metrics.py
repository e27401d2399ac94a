"""What a real node service tells a scraper: the format's own parser reads it, and the figures are those of the frames sent."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bundle import Bundle
from dispatcher_client import Board, Dispatcher
from dispatcher_client.certificates import make_fleet
from dispatcher_client.status import undeploy_everywhere
from examples.local_boards import LocalBoard, LocalBoards, local_fleet
from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.event_loop import run_in_loop
from node_service.machine import core_frequencies_hz, memory_bytes
from node_service.metrics import FrameStatistics, GrpcCalls, NodeCollector, NodeSources
from node_service.open_streams import OpenStreams
from node_service.power import EnergyMeter, find_sensors
from node_service.process_memory import ProcessMemory
from node_service.thermal import ThermalSensors
from protos.v1.control_plane_pb2 import Description
from tests.credentials import OPERATOR
from tests.dispatcher_client.test_groups import group_bundle, group_plan
from tests.dispatcher_client.whole_model import random_inputs
from tests.node_service.power import trees
from tests.transport.message_stream.by_hand import comes_true
from transport.channel import open_channel
from transport.credentials import AUTHORITY, CERTIFICATE, KEY, Credentials

FRAMES = 25
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def url_of(board: LocalBoard) -> str:
    (found,) = re.findall(r"metrics on (\S+)", "".join(board.log))
    return str(found)


def scrape(url: str, accept: str = "text/plain", context: ssl.SSLContext | None = None) -> str:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10, context=context) as reply:
        return str(reply.read().decode())


def https_client(credentials: Credentials) -> ssl.SSLContext:
    """As Prometheus is set up: tls_config with ca_file, cert_file and key_file."""
    context = ssl.create_default_context(cafile=str(credentials.directory / AUTHORITY))
    context.load_cert_chain(credentials.directory / CERTIFICATE, credentials.directory / KEY)
    return context


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def test_frames_are_counted_on_each_board(store_root: Path, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, check_sample=False) as chain:
        for _ in range(FRAMES):
            chain.infer(x)
        deployment = bundle.deployment_id
        for index, board in enumerate(running.boards):
            found = samples(scrape(url_of(board)))
            stage = frozenset({("deployment", deployment), ("stage", str(index))})
            assert found["boardline_frames_total", stage | {("outcome", "answered")}] == FRAMES
            assert found["boardline_frames_total", stage | {("outcome", "failed")}] == 0
            for name in ("wait", "decode", "compute", "encode", "send", "total"):
                assert found[f"boardline_frame_{name}_seconds_count", stage] == FRAMES
                assert found[f"boardline_frame_{name}_seconds_bucket", stage | {("le", "+Inf")}] == FRAMES
            assert not [name for name, _ in found if "pieces" in name or "share" in name], "no board shares a stage"
            compute_s = found["boardline_frame_compute_seconds_sum", stage]
            assert 0 < compute_s < found["boardline_frame_total_seconds_sum", stage]
            assert (
                0
                < found["boardline_invoke_cpu_seconds_total", stage]
                < found["boardline_cpu_seconds_total", frozenset()]
            )
            assert found["boardline_received_bytes_total", stage] > 0
            raw = stage | {("codec", "raw")}
            assert found["boardline_sent_bytes_total", raw] == found["boardline_sent_raw_bytes_total", raw] > 0
            assert found["boardline_partition_memory_bytes", stage] > found["boardline_partition_bytes", stage] > 0
            (loaded,) = [dict(labels) for name, labels in found if name == "boardline_partition_info"]
            assert loaded["sha256"] == bundle.splittings[0].partitions[index].file.sha256
            assert found["boardline_streams", frozenset()] == 1
            assert found["boardline_frames_waiting", frozenset()] == 0
            assert found["boardline_draining", frozenset()] == 0
            assert found["boardline_resident_bytes", frozenset()] > 2**20
            memory = found["boardline_memory_available_bytes", frozenset()]
            assert 0 < memory < found["boardline_memory_total_bytes", frozenset()]
            call = {("grpc_service", "boardline.v1.ControlPlane"), ("grpc_method", "PutPartition")}
            call.add(("grpc_type", "client_stream"))
            assert found["grpc_server_started_total", frozenset(call)] == 1
            assert found["grpc_server_handled_total", frozenset(call | {("grpc_code", "OK")})] == 1
            assert found["grpc_server_msg_received_total", frozenset(call)] >= 2
            assert found["grpc_server_handling_seconds_count", frozenset(call)] == 1
        chain.close()
        assert comes_true(lambda: all(_endings(board) == {"finished": 1} for board in running.boards))
        text = scrape(url_of(running.boards[0]), _OPENMETRICS)
        families = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]  # this parser has no types
        info = next(f for f in families if f.name == "boardline_node")
        assert info.samples[0].labels["board"] == "board1"


def _endings(board: LocalBoard) -> dict[str, float]:
    found = samples(scrape(url_of(board)))
    counted = {dict(k[1])["how"]: value for k, value in found.items() if k[0] == "boardline_streams_ended_total"}
    return {how: times for how, times in counted.items() if times}


def test_bytes_are_counted_by_codec(store_root: Path, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    with LocalBoards(2, store_root) as running:
        with Dispatcher(bundle, running.named, codec="shuffle-lz4", check_sample=False) as chain:
            for _ in range(5):
                chain.infer(random_inputs(bundle, 0))
        found = samples(scrape(url_of(running.boards[0])))
    coded = frozenset({("deployment", bundle.deployment_id), ("stage", "0"), ("codec", "shuffle-lz4")})
    assert 0 < found["boardline_sent_bytes_total", coded] < found["boardline_sent_raw_bytes_total", coded]
    raw = coded - {("codec", "shuffle-lz4")} | {("codec", "raw")}
    assert found.get(("boardline_sent_bytes_total", raw), 0) == 0


def test_boards_of_a_group_count_their_pieces(store_root: Path, tmp_path: Path) -> None:
    bundle = group_bundle(tmp_path / "parts", "residual", "float32", (1, 1))
    with LocalBoards(2, store_root) as running:
        plan = group_plan(bundle, *(board.name for board in running.named))
        with Dispatcher(bundle, running.named, plan=plan, check_sample=False) as chain:
            for _ in range(FRAMES):
                chain.infer(random_inputs(bundle, 0))
            found = [samples(scrape(url_of(board))) for board in running.boards]
            described = [run_in_loop(_describe(board)) for board in running.named]
    (deployment,) = chain.deployment_ids
    sent, received = [], []
    for index, of_board in enumerate(found):
        stage = frozenset({("deployment", deployment), ("stage", str(index))})
        place = stage | {("leader_stage", "0"), ("member", str(index))}
        assert of_board["boardline_share_info", place] == 1
        assert of_board["boardline_frame_pieces_wait_seconds_count", stage] == FRAMES
        wait_s = of_board["boardline_frame_pieces_wait_seconds_sum", stage]
        (loaded,) = described[index].stages
        assert wait_s > 0
        assert loaded.pieces_wait_s == pytest.approx(wait_s)
        sent.append(of_board["boardline_pieces_sent_bytes_total", stage])
        received.append(of_board["boardline_pieces_received_bytes_total", stage])
    assert sent == received[::-1]
    assert all(total > 0 and total % FRAMES == 0 for total in sent)


def test_calls_that_fail_are_counted_by_status(store_root: Path) -> None:
    with LocalBoards(1, store_root) as running:
        with pytest.raises(BoardError, match="a deployment id is"):
            run_in_loop(_unload(running.named[0], "../nowhere"))

        def codes() -> set[str]:
            found = samples(scrape(url_of(running.boards[0])))
            ended = [dict(labels) for name, labels in found if name == "grpc_server_handled_total"]
            return {call["grpc_code"] for call in ended if call["grpc_method"] == "UnloadDeployment"}

        assert comes_true(lambda: bool(codes()))  # counted once the caller may have its answer already
        assert codes() == {"InvalidArgument"}


def test_health_can_be_watched_and_is_counted(store_root: Path) -> None:
    with LocalBoards(1, store_root) as running:

        async def watch() -> int:
            board = running.named[0]
            async with open_channel(board.address, credentials=OPERATOR, name=board.certificate_name) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                call = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
                first = await call.read()
                call.cancel()
                return int(first.status)

        assert run_in_loop(watch()) == health_pb2.HealthCheckResponse.SERVING

        def started() -> set[str]:
            found = samples(scrape(url_of(running.boards[0])))
            return {dict(k[1])["grpc_method"] for k, n in found.items() if k[0] == "grpc_server_handled_total" and n}

        assert comes_true(lambda: "Watch" in started())


async def _describe(board: Board) -> Description:
    async with BoardControl(board, credentials=OPERATOR, timeout_s=10) as control:
        return await control.describe()


async def _unload(board: Board, deployment_id: str) -> None:
    async with BoardControl(board, credentials=OPERATOR, timeout_s=10) as control:
        await control.unload(deployment_id)


def test_clock_of_each_core(tmp_path: Path) -> None:
    for core, kilohertz in enumerate((600_000, 1_500_000)):
        trees.write(tmp_path, {f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq": kilohertz})
    found = collected(tmp_path)
    assert found["boardline_cpu_frequency_hertz", frozenset({("cpu", "1")})] == 1.5e9
    assert found["boardline_cpu_frequency_hertz", frozenset({("cpu", "0")})] == 0.6e9


def test_unloaded_deployment_has_no_series(store_root: Path, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 1)
    with LocalBoards(1, store_root) as running:
        with Dispatcher(bundle, running.named) as chain:
            chain.infer(random_inputs(bundle, 0))
        assert bundle.deployment_id in scrape(url_of(running.boards[0]))
        run_in_loop(undeploy_everywhere(running.named, [bundle.deployment_id], credentials=OPERATOR, timeout_s=10))
        assert bundle.deployment_id not in scrape(url_of(running.boards[0]))


def test_metrics_may_be_off(store_root: Path) -> None:
    with LocalBoards(1, store_root, ("--threads", "1", "--metrics", "off")) as running:
        assert "metrics on" not in "".join(running.boards[0].log)


def test_address_that_is_taken_is_refused(store_root: Path) -> None:
    with LocalBoards(1, store_root) as running:
        taken = url_of(running.boards[0]).split("/")[2]
        command = [
            sys.executable,
            "-m",
            "node_service",
            "--listen",
            "127.0.0.1:0",
            "--store",
            str(store_root / "other"),
        ]
        ended = subprocess.run([*command, "--metrics", taken], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1
        assert f"cannot serve metrics on {taken}" in ended.stderr
        assert "Choose another --metrics, or 'off'." in ended.stderr


def collected(root: Path) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Of a board whose sensors are files under `root`."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    meter = EnergyMeter(find_sensors(root))
    sources = NodeSources(
        version="1",
        board="pi1",
        runtime="x",
        stages=list,
        streams=OpenStreams(),
        is_draining=lambda: True,
        frames=FrameStatistics(),
        meter=meter,
        thermal=ThermalSensors(root),
        memory=ProcessMemory(),
        machine_memory=lambda: memory_bytes(root),
        certificate_ends_s=lambda: None,
        frequencies=lambda: core_frequencies_hz(root),
        calls=GrpcCalls(),
    )
    registry.register(NodeCollector(sources))
    meter.sample()
    return samples(generate_latest(registry).decode())


def test_board_without_sensors_exports_no_power(tmp_path: Path) -> None:
    names = {name for name, _ in collected(tmp_path)}
    assert not {name for name in names if "joules" in name or "watts" in name or "celsius" in name}
    assert "boardline_draining" in names


def test_power_and_heat_of_a_jetson(tmp_path: Path) -> None:
    trees.jetson_orin_nano(tmp_path)
    zone = "sys/class/thermal/thermal_zone0"
    trees.write(tmp_path, {f"{zone}/type": "CPU-therm", f"{zone}/temp": 61500})
    fan = "sys/class/thermal/cooling_device0"
    trees.write(tmp_path, {f"{fan}/type": "cpufreq-cpu0", f"{fan}/cur_state": 2})
    found = collected(tmp_path)
    rail = frozenset({("source", "ina3221"), ("rail", "VDD_IN")})
    assert found["boardline_power_watts", rail] == pytest.approx(5.88)
    assert found["boardline_energy_joules_total", rail] > 0
    assert found["boardline_board_energy_joules_total", frozenset()] > 0
    assert found["boardline_temperature_celsius", frozenset()] == 61.5
    (reason,) = [labels for name, labels in found if name == "boardline_throttled"]
    assert "cpufreq-cpu0" in str(reason)


def test_metrics_over_tls_are_for_the_fleet_only(store_root: Path, tmp_path: Path) -> None:
    board = LocalBoard("board1", store_root, ["--threads", "1", "--metrics-tls", "--metrics", "127.0.0.1:0"])
    try:
        url = url_of(board)
        assert url.startswith("https://127.0.0.1:")
        found = samples(scrape(url, context=https_client(OPERATOR)))
        ends_s = found["boardline_certificate_expiry_timestamp_seconds", frozenset()]
        assert ends_s == Credentials(local_fleet().board("board1")).identity.ends_s
        assert found["boardline_plaintext", frozenset()] == 0
        stranger = Credentials(make_fleet(tmp_path / "stranger", {}, {"prometheus": "stream"})["prometheus"])
        context = https_client(stranger)
        context.load_verify_locations(OPERATOR.directory / AUTHORITY)
        with pytest.raises(OSError, match=r"(?i)unknown ca|reset|closed|eof"):
            scrape(url, context=context)
        with pytest.raises(OSError, match=r"(?i)reset|closed|remote end"):
            scrape(url.replace("https", "http"))
        assert samples(scrape(url, context=https_client(OPERATOR)))
    finally:
        assert board.stop() == 0


def test_plaintext_is_a_metric(store_root: Path) -> None:
    board = LocalBoard("board1", store_root, ["--threads", "1", "--insecure"])
    try:
        found = samples(scrape(url_of(board)))
    finally:
        assert board.stop() == 0
    assert found["boardline_plaintext", frozenset()] == 1
    assert ("boardline_certificate_expiry_timestamp_seconds", frozenset()) not in found
