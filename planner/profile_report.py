"""What profiling found, as rows and on the terminal: boards, pieces of the model, links, codecs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.inventory import DISPATCHER
from planner.board_profiles import BoardRecord, flag_notes
from planner.links import MeasuredLinks, link_notes
from planner.model import PlannerModel
from protos.v1.control_plane_pb2 import Profile
from protos.v1.tensor_pb2 import DType
from terminal import print_table
from transport.tensor_codec import codec_name

_MS = 1e3
_MIB = 2**20
_MBIT = 8 / 1e6
_GB = 1e9


def profile_rows(
    model: PlannerModel, records: Mapping[str, BoardRecord], links: MeasuredLinks
) -> dict[str, list[dict[str, Any]]]:
    """Everything that was measured, as flat rows: `boards`, `pieces`, `links`, `codecs`."""
    return {
        "boards": [_board_row(model, record, links) for record in records.values()],
        "pieces": [_piece_row(name, p) for name, r in records.items() for p in (r.profiles[x] for x in model.pieces)],
        "links": [
            {
                "from": sender,
                "to": receiver,
                "mbit_s": speed.bytes_per_s * _MBIT,
                "frame_ms": speed.frame_s * _MS,
                "round_trip_ms": speed.round_trip_s * _MS,
                "measured": speed.is_measured,
            }
            for (sender, receiver), speed in links.speeds.items()
        ],
        "codecs": [
            {
                "board": name,
                "codec": codec_name(speed.codec),
                "dtype": DType.Name(speed.dtype).lower(),
                "encode_gb_s": speed.encode_bytes_per_s / _GB,
                "decode_gb_s": speed.decode_bytes_per_s / _GB,
                "size_ratio": speed.size_ratio,
            }
            for name, record in records.items()
            for speed in record.codec_speeds
        ],
    }


def print_profile(model: PlannerModel, records: Mapping[str, BoardRecord], links: MeasuredLinks) -> None:
    """The same as tables on stdout; of the pieces the sums only."""
    rows = profile_rows(model, records, links)
    print_table(
        f"{model.name}: {len(model.pieces)} pieces on {len(records)} boards",
        ("board", "runtime", "threads", "cores", "model ms", "CPU ms", "kept MiB", "C", "move ms/MB", "frame ms"),
        (
            (
                row["board"],
                row["runtime"],
                row["threads"],
                f"{row['cores']:.2g}",
                f"{row['model_ms']:.2f}",
                f"{row['model_cpu_ms']:.2f}",
                f"{row['resident_mib']:.1f}",
                "-" if row["temperature_c"] is None else f"{row['temperature_c']:.0f}",
                f"{row['receive_cpu_ms_per_mb']:.2f} + {row['send_cpu_ms_per_mb']:.2f}",
                f"{row['frame_cpu_ms']:.2f}",
            )
            for row in rows["boards"]
        ),
        text_columns=2,
    )
    _print_links(list(records), links)
    if rows["codecs"]:
        print_table(
            "codecs on activations after a ReLU",
            ("board", "codec", "dtype", "encode GB/s", "decode GB/s", "size"),
            (
                (
                    row["board"],
                    row["codec"],
                    row["dtype"],
                    f"{row['encode_gb_s']:.2f}",
                    f"{row['decode_gb_s']:.2f}",
                    f"{row['size_ratio']:.0%}",
                )
                for row in rows["codecs"]
            ),
            text_columns=3,
        )
    for note in [*flag_notes(records), *link_notes(links)]:
        print(f"note: {note}")


def _print_links(names: list[str], links: MeasuredLinks) -> None:
    ends = [*names, DISPATCHER]
    print_table(
        "links under gRPC, Mbit/s from the board at the left; in brackets: from boards.yaml",
        ("from", *ends),
        ([one, *(_speed(links, one, other) for other in ends)] for one in ends),
    )


def _speed(links: MeasuredLinks, one: str, other: str) -> str:
    if one == other:
        return ""
    speed = links.speeds[one, other]
    text = f"{speed.bytes_per_s * _MBIT:.0f}"
    return text if speed.is_measured else f"({text})"


def _board_row(model: PlannerModel, record: BoardRecord, links: MeasuredLinks) -> dict[str, Any]:
    profiles = [record.profiles[piece] for piece in model.pieces]
    transport = links.transport[record.board.name]
    runtime = profiles[0].runtime  # with the delegate that was measured
    temperatures = [p.temperature_after_c for p in profiles if p.HasField("temperature_after_c")]
    return {
        "board": record.board.name,
        "runtime": f"{runtime.runtime} {runtime.version} {runtime.architecture}",
        "processor": runtime.processor,
        "delegate": runtime.delegate,
        "threads": profiles[0].key.threads,
        "cores": record.description.usable_cores,
        "model_ms": sum(p.run_s for p in profiles) * _MS,
        "model_cpu_ms": sum(p.run_cpu_s for p in profiles) * _MS,
        "resident_mib": sum(p.resident_bytes for p in profiles) / _MIB,
        "working_mib": max(p.working_bytes for p in profiles) / _MIB,
        "model_j": sum(p.run_j for p in profiles) if all(p.HasField("run_j") for p in profiles) else None,
        "temperature_c": max(temperatures, default=None),
        "receive_cpu_ms_per_mb": transport.receive_cpu_s_per_byte * _MS * 1e6,
        "send_cpu_ms_per_mb": transport.send_cpu_s_per_byte * _MS * 1e6,
        "frame_cpu_ms": transport.frame_cpu_s * _MS,
        "flags": sorted({flag for p in profiles for flag in p.flags}),
    }


def _piece_row(board: str, profile: Profile) -> dict[str, Any]:
    return {
        "board": board,
        "sha256": profile.key.sha256,
        "threads": profile.key.threads,
        "runs": profile.runs,
        "run_ms": profile.run_s * _MS,
        "half_width_ms": profile.run_half_width_s * _MS,
        "median_ms": profile.median_run_s * _MS,
        "cpu_ms": profile.run_cpu_s * _MS,
        "resident_bytes": profile.resident_bytes,
        "working_bytes": profile.working_bytes,
        "peak_bytes": profile.peak_bytes,
        "flags": list(profile.flags),
    }
