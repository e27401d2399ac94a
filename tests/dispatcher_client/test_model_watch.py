"""What a watch deploys, and what it leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Board, Dispatcher, WatchEvent
from dispatcher_client.errors import BitIdentityError, VersionMisfitError
from dispatcher_client.model_watch import ModelWatch
from dispatcher_client.status import read_status
from examples.local_boards import LocalBoards
from fleet.errors import BoardUnavailableError
from fleet.event_loop import run_in_loop
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole, with_a_wrong_answer
from tests.node_service.stubs import TIMEOUT_S
from tests.transport.message_stream.by_hand import comes_true

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def one(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float32")


@pytest.fixture
def two(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float16")


class Watched:
    """A watch on a clock of its own, over something that deploys or fails as told."""

    def __init__(self, directory: Path, serving: Bundle | None = None) -> None:
        self.now_s = 0.0
        self.deployed: list[str] = []
        self.events: list[WatchEvent] = []
        self.error: Exception | None = None
        self.watch = ModelWatch(
            directory,
            self._deploy,
            serving=None if serving is None else serving.manifest,
            on_event=self.events.append,
            clock=lambda: self.now_s,
        )

    def _deploy(self, bundle: Bundle) -> None:
        if self.error is not None:
            raise self.error
        self.deployed.append(bundle.path.name)

    def look(self, times: int = 3) -> list[str]:
        """What is deployed meanwhile."""
        before = len(self.deployed)
        for _ in range(times):
            self.watch.look()
        return self.deployed[before:]


def test_each_newer_version_is_deployed_once_and_a_removed_one_is_gone_back_from(
    tmp_path: Path, one: Bundle, two: Bundle
) -> None:
    watched = Watched(tmp_path)
    assert watched.look() == []
    shutil.copytree(one.path, tmp_path / "1")
    assert watched.look() == ["1"]
    shutil.copytree(two.path, tmp_path / "2")
    assert watched.look() == ["2"]
    shutil.rmtree(tmp_path / "2")
    assert watched.look() == ["1"]
    assert [(e.number, e.error) for e in watched.events] == [(1, ""), (2, ""), (1, "")]


def test_version_that_serves_already_is_not_deployed_again(tmp_path: Path, one: Bundle, two: Bundle) -> None:
    shutil.copytree(one.path, tmp_path / "1")
    watched = Watched(tmp_path, serving=one)
    assert watched.look() == []
    shutil.copytree(two.path, tmp_path / "2")
    assert watched.look() == ["2"]
    shutil.rmtree(tmp_path / "2")
    assert watched.look() == ["1"]


@pytest.mark.parametrize("error", [BitIdentityError("wrong"), VersionMisfitError("other inputs")])
def test_version_that_fails_is_left_out_until_it_changes(
    tmp_path: Path, one: Bundle, two: Bundle, error: Exception
) -> None:
    shutil.copytree(one.path, tmp_path / "1")
    watched = Watched(tmp_path)
    watched.look()
    shutil.copytree(two.path, tmp_path / "2")
    watched.error = error
    watched.look()
    watched.now_s = 1e6
    watched.error = None
    assert watched.look() == []
    assert [(e.number, e.error, e.is_final) for e in watched.events[1:]] == [(2, str(error), True)]
    (tmp_path / "2" / "plan.yaml").write_text("")
    assert watched.look() == ["2"]


def test_version_is_tried_again_after_a_boards_failure_later_each_time(tmp_path: Path, one: Bundle) -> None:
    shutil.copytree(one.path, tmp_path / "1")
    watched = Watched(tmp_path)
    watched.error = BoardUnavailableError("pi1", "is gone")
    tried_s: list[float] = []
    for second in range(40):
        watched.now_s = second
        watched.look(2)
        if len(watched.events) > len(tried_s):
            tried_s.append(second)
    assert tried_s == [0, 5, 15, 35]
    assert not watched.events[0].is_final
    watched.now_s, watched.error = 100, None
    assert watched.look() == ["1"]


def test_defect_in_a_look_does_not_end_the_watch(tmp_path: Path, one: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(one.path, tmp_path / "1")
    watched = Watched(tmp_path)
    watched.error = RuntimeError("a bug")
    watch = ModelWatch(tmp_path, watched._deploy, every_s=0.01)
    with watch:
        assert comes_true(lambda: "a bug" in caplog.text)
        watched.error = None
        assert comes_true(lambda: watched.deployed == ["1"])


def test_application_goes_over_to_the_versions_that_appear(
    store_root: Path, tmp_path: Path, one: Bundle, two: Bundle
) -> None:
    models = tmp_path / "models"
    events: list[WatchEvent] = []
    shutil.copytree(one.path, models / "1")
    x = random_inputs(one, 0)
    old, new = run_whole(one, x), run_whole(two, x)
    with LocalBoards(3, store_root) as running, Dispatcher(models, running.named) as chain:
        with chain.watch(models, every_s=0.02, on_event=events.append):
            assert named(chain, chain.infer(x)) == old
            shutil.copytree(two.path, models / "2")
            seen = []
            for answer in chain.stream(iter(lambda: x if len(events) < 1 else None, None)):
                seen.append(named(chain, answer))
            assert named(chain, chain.infer(x)) == new
            assert set(map(str, seen)) <= {str(old), str(new)}
            with_a_wrong_answer(one, models / "3")
            assert comes_true(lambda: len(events) == 2)
        assert [(e.number, e.error[:20]) for e in events] == [(2, ""), (3, "the answer of the ch")]
        assert named(chain, chain.infer(x)) == new


def loaded(boards: list[Board]) -> list[set[str]]:
    rows = run_in_loop(read_status(boards, credentials=OPERATOR, timeout_s=5))
    return [{stage["deployment_id"] for stage in row["stages"]} for row in rows]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dispatcher_client", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_watch_command_and_deploy_command_switch_what_runs(
    store_root: Path, tmp_path: Path, one: Bundle, two: Bundle
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    wrong = with_a_wrong_answer(two, tmp_path / "wrong")
    x = random_inputs(one, 0)
    with LocalBoards(3, store_root) as running:
        addresses = ",".join(running.addresses)
        command = [sys.executable, "-m", "dispatcher_client", "watch", str(models), "--boards", addresses]
        watching = subprocess.Popen([*command, "--every-s", "0.05", "--json"], stdout=subprocess.PIPE, text=True)
        assert watching.stdout is not None
        try:
            deployed = run("deploy", str(one.path), "--boards", addresses, "--to", str(models), "--json")
            assert json.loads(deployed.stdout)["version"] == 1, deployed.stderr
            assert json.loads(watching.stdout.readline())["serving"] == [one.deployment_id]
            with Dispatcher(models, addresses.split(",")) as chain, chain.watch(models, every_s=0.05):
                refused = run("deploy", str(wrong.path), "--boards", addresses, "--to", str(models))
                assert refused.returncode == 1
                assert "differs from the whole model's" in refused.stderr.replace("\n", " ")
                assert loaded(running.named) == [{one.deployment_id}] * 3
                done = run("deploy", str(two.path), "--boards", addresses, "--to", str(models))
                assert f"version: 2 in {models}" in done.stdout
                event = json.loads(watching.stdout.readline())
                assert (event["version"], event["error"], event["serving"]) == (2, "", [two.deployment_id])
                assert comes_true(lambda: chain.deployment_ids == (two.deployment_id,))
                assert named(chain, chain.infer(x)) == run_whole(two, x)
                assert comes_true(lambda: loaded(running.named) == [{two.deployment_id}] * 3)
            with_a_wrong_answer(one, models / "3")
            event = json.loads(watching.stdout.readline())
            assert (event["version"], event["serving"]) == (3, [two.deployment_id])
            assert "differs" in event["error"]
        finally:
            watching.terminate()
            assert watching.wait(TIMEOUT_S) == 0
            watching.stdout.close()


def test_commands_refuse_what_makes_no_sense(tmp_path: Path, one: Bundle) -> None:
    done = run("watch", str(tmp_path / "none"), "--boards", "127.0.0.1:1")
    assert done.returncode != 0
    assert "MODEL_DIR" in done.stderr
    both = ["--to", str(tmp_path), "--plan", "plan.yaml"]
    done = run("deploy", str(one.path), "--boards", "127.0.0.1:1", *both)
    assert done.returncode == 1
    assert "--plan and --to cannot be given together" in done.stderr


def test_watch_command_says_what_fails_and_goes_on(tmp_path: Path, one: Bundle) -> None:
    shutil.copytree(one.path, tmp_path / "1")
    command = [sys.executable, "-m", "dispatcher_client", "watch", str(tmp_path), "--boards", "127.0.0.1:1"]
    watching = subprocess.Popen([*command, "--every-s", "0.05"], stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    line = watching.stdout.readline()
    assert "version 1: not deployed, nothing serves" in line
    assert np.char.count(line, "3 partitions") == 1
    watching.terminate()
    assert watching.wait(TIMEOUT_S) == 0
    watching.stdout.close()
