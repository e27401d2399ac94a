"""The options of both ends of a hop."""

from __future__ import annotations

from transport.channel import DEFAULT_MAX_FRAME_BYTES, grpc_options
from transport.frame import MAX_HEADER_BYTES


def test_options_leave_room_for_the_largest_frame_both_ways() -> None:
    options = dict(grpc_options(1000))
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"]
    assert 1000 < options["grpc.max_receive_message_length"] < 1000 + MAX_HEADER_BYTES
    assert dict(grpc_options())["grpc.max_send_message_length"] > DEFAULT_MAX_FRAME_BYTES


def test_options_permit_as_a_server_the_pings_they_send_as_a_client() -> None:
    options = dict(grpc_options())
    assert options["grpc.http2.min_ping_interval_without_data_ms"] <= options["grpc.keepalive_time_ms"]
    assert options["grpc.http2.min_recv_ping_interval_without_data_ms"] <= options["grpc.keepalive_time_ms"]
    assert options["grpc.keepalive_permit_without_calls"] == 1


def test_options_name_each_option_once() -> None:
    options = grpc_options()
    assert len(dict(options)) == len(options)
