"""A new authority, without a moment at which machines refuse each other."""

from __future__ import annotations

import itertools
import shutil
import ssl
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from dispatcher_client.certificates import FleetDirectory, Holder, make_fleet, read_credentials
from dispatcher_client.certificates.authority_change import Step, begin, finish, forget_old, step_of, what_next
from dispatcher_client.certificates.errors import ChangeOrderError, LifeRefusedError
from dispatcher_client.certificates.x509_profile import is_issued_by
from tests.dispatcher_client.certificates.handshakes import shake_hands

MACHINES = ("pi1", "pi2", "laptop")
TIMEOUT_S = 20


@pytest.fixture
def fleet(tmp_path: Path) -> FleetDirectory:
    make_fleet(tmp_path / "fleet", {"pi1": [], "pi2": []}, {"laptop": "operate"}, days=99)
    return FleetDirectory(tmp_path / "fleet")


@pytest.fixture
def stages(fleet: FleetDirectory, tmp_path: Path) -> list[Path]:
    """The fleet's directory before the change, and after each step."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(fleet.path, tmp_path / name))

    stages = [copied("before")]
    for step in (begin, finish, forget_old):
        step(fleet)
        stages.append(copied(step.__name__))
    return stages


def pairs(before: Path, after: Path) -> list[tuple[Path, Path, str]]:
    """Every server with every client, each in the state before or after."""
    ends = itertools.permutations(MACHINES, 2)
    return [
        (server_state / server, client_state / client, server)
        for server, client in ends
        if server != "laptop"
        for server_state, client_state in itertools.product((before, after), repeat=2)
    ]


def test_old_and_new_accept_each_other_at_every_step_in_any_order_of_copying(stages: list[Path]) -> None:
    tried = 0
    for before, after in itertools.pairwise(stages):
        for server, client, name in pairs(before, after):
            shake_hands(server, client, name)
            tried += 1
    assert tried == 3 * 4 * 4


def test_machine_that_was_not_copied_to_before_the_next_step_is_refused(stages: list[Path]) -> None:
    """Why each step waits for the copies of the one before."""
    before, begun, finished, forgotten = stages
    for missed, now in ((before, finished), (begun, forgotten)):
        with pytest.raises(ssl.SSLError):
            shake_hands(now / "pi1", missed / "laptop", "pi1")
        with pytest.raises(ssl.SSLError):
            shake_hands(missed / "pi1", now / "laptop", "pi1")
    shake_hands(forgotten / "pi1", finished / "laptop", "pi1")


def test_grpc_finds_the_issuer_among_two_authorities_of_one_name(stages: list[Path]) -> None:
    _, begun, finished, _ = stages
    for server, client in ((begun, begun), (begun, finished), (finished, begun), (finished, finished)):
        assert _ask_by_grpc(server / "pi1", client / "laptop", "pi1") == b"frame"


def _ask_by_grpc(server_end: Path, client_end: Path, name: str) -> bytes:
    def of(directory: Path) -> tuple[bytes, bytes, bytes]:
        key, certificate, authority = (
            (directory / f"{file}.pem").read_bytes() for file in ("key", "certificate", "authority")
        )
        return key, certificate, authority

    key, certificate, authority = of(server_end)
    echo = grpc.unary_unary_rpc_method_handler(lambda request, call: request)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("a.Service", {"Echo": echo})])
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    )
    server.start()
    key, certificate, authority = of(client_end)
    trust = grpc.ssl_channel_credentials(authority, key, certificate)
    options = [("grpc.ssl_target_name_override", name)]
    try:
        with grpc.secure_channel(f"127.0.0.1:{port}", trust, options) as channel:
            answer: bytes = channel.unary_unary("/a.Service/Echo")(b"frame", timeout=TIMEOUT_S)
            return answer
    finally:
        server.stop(None).wait(TIMEOUT_S)


def test_steps_follow_one_another_and_say_what_is_next(fleet: FleetDirectory) -> None:
    old = fleet.authorities.current.certificate
    assert (step_of(fleet), what_next(fleet)) == (Step.SETTLED, "")
    begin(fleet)
    assert step_of(fleet) is Step.BEGUN
    assert what_next(fleet).endswith(f"certs rotate {fleet.path} --authority --finish")
    begun = fleet.credentials("pi1")
    assert is_issued_by(begun.certificate, old)
    assert len(begun.authorities) == 2
    finish(fleet)
    assert step_of(fleet) is Step.FINISHED
    assert what_next(fleet).endswith(f"certs rotate {fleet.path} --forget-old")
    finished = fleet.credentials("pi1")
    assert not is_issued_by(finished.certificate, old)
    assert (finished.holder, finished.days) == (begun.holder, begun.days)
    assert finished.certificate.public_key() != begun.certificate.public_key()
    assert set(finished.authorities) == set(begun.authorities)
    forget_old(fleet)
    assert (step_of(fleet), what_next(fleet)) == (Step.SETTLED, "")
    assert fleet.credentials("pi1").authorities == (fleet.authorities.current.certificate,)
    assert {path.name for path in (fleet.path / "authority").iterdir()} == {"authority.pem", "authority-key.pem"}


@pytest.mark.parametrize(
    ("done", "step", "words"),
    [
        ([], finish, "no new authority is trusted by every machine yet"),
        ([], forget_old, "no old authority to forget"),
        ([begin], forget_old, "no old authority to forget"),
        ([begin, finish], begin, "has not been ended"),
    ],
)
def test_step_is_refused_before_the_one_it_needs(
    fleet: FleetDirectory,
    done: list[Callable[[FleetDirectory], object]],
    step: Callable[[FleetDirectory], object],
    words: str,
) -> None:
    for earlier in done:
        earlier(fleet)
    was = _contents(fleet.path)
    with pytest.raises(ChangeOrderError, match=words):
        step(fleet)
    assert _contents(fleet.path) == was


def test_step_that_is_done_again_changes_nothing(fleet: FleetDirectory) -> None:
    for step in (begin, finish):
        step(fleet)
        was = _contents(fleet.path)
        step(FleetDirectory(fleet.path))
        assert _contents(fleet.path) == was


def test_certificate_of_the_old_authority_from_a_backup_keeps_it_from_being_forgotten(stages: list[Path]) -> None:
    before, _, finished, _ = stages
    shutil.rmtree(finished / "pi2")
    shutil.copytree(before / "pi2", finished / "pi2")
    fleet = FleetDirectory(finished)
    with pytest.raises(
        ChangeOrderError, match=r"the certificates of pi2 are still by the old authority.* pi2, and copy"
    ):
        forget_old(fleet)
    fleet.renew(["pi2"])
    forget_old(fleet)
    assert step_of(fleet) is Step.SETTLED


def test_directory_that_does_not_trust_the_next_authority_keeps_the_change_from_being_finished(
    stages: list[Path],
) -> None:
    before, begun, _, _ = stages
    shutil.rmtree(begun / "pi2")
    shutil.copytree(before / "pi2", begun / "pi2")
    fleet = FleetDirectory(begun)
    assert step_of(fleet) is Step.BEGINNING
    assert "interrupted" in what_next(fleet)
    with pytest.raises(ChangeOrderError, match="--authority"):
        finish(fleet)
    begin(fleet)
    assert step_of(fleet) is Step.BEGUN


@pytest.mark.parametrize("steps", [[begin], [begin, finish]])
def test_certificate_issued_during_the_change_trusts_both(
    fleet: FleetDirectory, steps: list[Callable[[FleetDirectory], object]], tmp_path: Path
) -> None:
    was = Path(shutil.copytree(fleet.path / "laptop", tmp_path / "laptop"))
    for step in steps:
        step(fleet)
    fleet.issue([Holder.board("pi3", [])])
    fleet.renew(["pi2"])
    for name in ("pi2", "pi3"):
        assert set(read_credentials(fleet.path / name).authorities) == set(fleet.authorities.trusted)
        shake_hands(fleet.path / name, fleet.path / "laptop", name)
    if steps == [begin]:
        shake_hands(fleet.path / "pi3", was, "pi3")


def test_life_beyond_the_new_authority_is_refused_before_anything_is_written(fleet: FleetDirectory) -> None:
    begin(fleet)
    was = _contents(fleet.path)
    with pytest.raises(LifeRefusedError, match="4000 days"):
        finish(fleet, days=4000)
    assert _contents(fleet.path) == was
    finish(fleet, days=5)
    assert fleet.credentials("pi1").days == 5


def _contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
