"""What profiling found, as flat rows and as tables."""

from __future__ import annotations

import json

import pytest

from partitioning import Graph
from planner.board_profiles import BoardRecord
from planner.links import LinkSpeed, MeasuredLinks
from planner.model import PlannerModel
from planner.profile_report import print_profile, profile_rows
from protos.v1.control_plane_pb2 import CodecSpeed
from protos.v1.data_plane_pb2 import Codec
from protos.v1.manifest_pb2 import RuntimeIdentity
from protos.v1.tensor_pb2 import DType
from tests.partitioning import sample_models
from tests.planner.made_up import links, record


@pytest.fixture
def model() -> PlannerModel:
    return PlannerModel("chain", Graph.from_bytes(sample_models.relu_chain(["a", "b", "c"]).build()), (0, 1, 2))


@pytest.fixture
def records(model: PlannerModel) -> dict[str, BoardRecord]:
    made = {"pi1": record("pi1", model, 0.010, joules=0.5), "pi2": record("pi2", model, 0.020)}
    for name, delegate in (("pi1", "libvx_delegate.so 12ab"), ("pi2", "")):
        identity = RuntimeIdentity(runtime="litert", version="2.1", architecture="aarch64", delegate=delegate)
        for profile in made[name].profiles.values():
            profile.runtime.CopyFrom(identity)
    for profile in made["pi1"].profiles.values():
        profile.temperature_after_c = 61.5
    made["pi2"].profiles[0, 1].flags.append("noisy: 9 % where 2 % were asked for")
    made["pi1"].codec_speeds.append(
        CodecSpeed(
            codec=Codec.SHUFFLE_LZ4, dtype=DType.FLOAT32, encode_bytes_per_s=1e9, decode_bytes_per_s=2e9, size_ratio=0.4
        )
    )
    return made


@pytest.fixture
def measured_links() -> MeasuredLinks:
    made = links(["pi1", "pi2"])
    made.speeds["pi1", "pi2"] = LinkSpeed(12.5e6, 0.0, 0.002, False)
    return made


def test_rows_are_flat_and_any_parser_reads_them(
    model: PlannerModel, records: dict[str, BoardRecord], measured_links: MeasuredLinks
) -> None:
    rows = profile_rows(model, records, measured_links)
    assert list(rows) == ["boards", "pieces", "links", "codecs"]
    json.dumps(rows, allow_nan=False)
    for row in (row for table in rows.values() for row in table):
        assert not any(isinstance(value, dict) for value in row.values())
    one, two = rows["boards"]
    assert (one["board"], one["runtime"], one["threads"]) == ("pi1", "litert 2.1 aarch64", 1)
    assert (one["delegate"], two["delegate"]) == ("libvx_delegate.so 12ab", "")
    assert one["model_ms"] == pytest.approx(20)
    assert one["model_j"] == pytest.approx(1.0)
    assert one["temperature_c"] == 61.5
    assert (two["model_j"], two["temperature_c"]) == (None, None)
    assert two["flags"] == ["noisy: 9 % where 2 % were asked for"]
    assert [(p["board"], p["run_ms"]) for p in rows["pieces"]] == [("pi1", 10), ("pi1", 10), ("pi2", 20), ("pi2", 20)]
    (written,) = [r for r in rows["links"] if not r["measured"]]
    assert (written["from"], written["to"], written["mbit_s"], written["round_trip_ms"]) == ("pi1", "pi2", 100, 2)
    assert len(rows["links"]) == 6
    assert rows["codecs"] == [
        {
            "board": "pi1",
            "codec": "shuffle-lz4",
            "dtype": "float32",
            "encode_gb_s": 1,
            "decode_gb_s": 2,
            "size_ratio": pytest.approx(0.4),
        }
    ]


def test_tables_show_boards_links_codecs_and_what_is_doubtful(
    model: PlannerModel,
    records: dict[str, BoardRecord],
    measured_links: MeasuredLinks,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_links.speeds["pi2", "pi1"] = LinkSpeed(1e8, 0.0, 0.002, True, 0.23)
    print_profile(model, records, measured_links)
    out = capsys.readouterr().out
    assert "chain: 2 pieces on 2 boards" in out
    for words in ("litert 2.1 aarch64", " 20.00 ", " 40.00 ", " 62 ", " (100) ", " 800 ", "shuffle-lz4", " 40% "):
        assert words in out, words
    assert "note: board pi2: 1 of 2 measurements are noisy" in out
    assert "note: link pi2 -> pi1 is known to 23 % only" in out


def test_codecs_that_were_not_measured_have_no_table(
    model: PlannerModel,
    records: dict[str, BoardRecord],
    measured_links: MeasuredLinks,
    capsys: pytest.CaptureFixture[str],
) -> None:
    records["pi1"].codec_speeds.clear()
    print_profile(model, records, measured_links)
    assert "codec" not in capsys.readouterr().out
