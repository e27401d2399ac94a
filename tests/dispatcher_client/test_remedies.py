"""Who takes the stages of boards that are gone: spares that hold them, spares, and then whoever is least busy and has room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bundle import BundleSplitting
from dispatcher_client.placement import ChainPlacement, StagePlacement
from dispatcher_client.remedies import Room, best_remedy, find_remedy, in_smaller_groups
from fleet.inventory import Board
from protos.v1.manifest_pb2 import ModelFile, Partition, Share, ShareAction, Strip
from transport.address import Address

MB = 10**6


def board(name: str) -> Board:
    return Board(name, Address("127.0.0.1", 1))


def chain(names: Sequence[str], times_s: Sequence[float], mb: float = 10) -> ChainPlacement:
    files = [ModelFile(size_bytes=int(mb * MB), time_s=t) for t in times_s]
    splitting = BundleSplitting(0, "model", tuple(Partition(file=file) for file in files))
    return ChainPlacement(splitting, tuple(StagePlacement(0, index, board(n)) for index, n in enumerate(names)))


def route(found: ChainPlacement | None) -> str | None:
    return None if found is None else found.route


def test_nothing_changes_while_nobody_is_gone() -> None:
    placement = chain("abc", (1, 1, 1))
    assert find_remedy(placement, {"d"}, Room([board("d")], {})) == placement


def test_spare_takes_the_stage_and_the_others_stay() -> None:
    assert route(find_remedy(chain("abc", (1, 1, 1)), {"b"}, Room([board("s")], {}))) == "a -> s -> c"


def test_spare_that_holds_the_stage_comes_before_others() -> None:
    room = Room([board("s"), board("t")], {}, {("t", 1)})
    assert route(find_remedy(chain("abc", (1, 1, 1)), {"b"}, room)) == "a -> t -> c"


def test_heaviest_stage_gets_the_spare_and_the_rest_goes_to_the_least_busy() -> None:
    found = find_remedy(chain("abcd", (1, 2, 3, 4)), {"b", "c"}, Room([board("s")], {}))
    assert route(found) == "a -> a -> s -> d"


def test_spare_that_is_gone_too_is_no_help() -> None:
    assert route(find_remedy(chain("abc", (3, 1, 1)), {"b", "s"}, Room([board("s")], {}))) == "a -> c -> c"


def test_memory_is_a_limit_but_not_for_what_is_held() -> None:
    placement = chain("abc", (1, 1, 3))
    assert route(find_remedy(placement, {"b"}, Room([], {"a": 9 * MB}))) == "a -> c -> c"
    assert route(find_remedy(placement, {"b"}, Room([], {"a": 9 * MB}, {("a", 1)}))) == "a -> a -> c"
    assert find_remedy(placement, {"b"}, Room([board("s")], {"a": 0, "c": 0, "s": 0})) is None


def test_two_stages_do_not_share_the_room_of_one() -> None:
    placement = chain("abc", (1, 1, 1))
    assert find_remedy(placement, {"b", "c"}, Room([], {"a": 15 * MB})) is None
    assert route(find_remedy(placement, {"b", "c"}, Room([], {"a": 20 * MB}))) == "a -> a -> a"


def test_nobody_left_is_no_remedy() -> None:
    assert find_remedy(chain("abc", (1, 1, 1)), {"a", "b", "c"}, Room([], {})) is None


@given(
    times_s=st.lists(st.floats(0.1, 10), min_size=1, max_size=6),
    gone=st.sets(st.sampled_from("abcdefst")),
    n_spares=st.integers(0, 2),
    free_mb=st.dictionaries(st.sampled_from("abcdefst"), st.integers(0, 40)),
)
def test_what_is_found_uses_no_board_that_is_gone_and_no_more_room_than_there_is(
    times_s: list[float], gone: set[str], n_spares: int, free_mb: dict[str, int]
) -> None:
    placement = chain("abcdef"[: len(times_s)], times_s)
    spares = [board(n) for n in "st"[:n_spares]]
    found = find_remedy(placement, gone, Room(spares, {n: mb * MB for n, mb in free_mb.items()}))
    if found is None:
        return
    used = [stage.board.name for stage in found.stages]
    assert not gone & set(used)
    for before, after in zip(placement.stages, found.stages):
        assert before.board.name in gone or after == before
        assert after == replace(before, board=after.board)
    for name, mb in free_mb.items():
        moved = sum(b.board.name != name and a.board.name == name for b, a in zip(placement.stages, found.stages))
        assert moved * 10 <= mb


def splitting_in_groups(*groups: Sequence[float], mb: float = 10, cut: int = 1) -> BundleSplitting:
    """Partitions one after the other; those of a group by the time that each board's share takes."""
    partitions = []
    for place, times_s in enumerate(groups):
        for member, time_s in enumerate(times_s):
            file = ModelFile(sha256=f"{place} {member}", size_bytes=int(mb * MB), time_s=time_s)
            about = Partition(stop_op=cut + place)
            if len(times_s) == 1:
                about.file.CopyFrom(file)
            else:
                action = ShareAction(compute=Strip(file=file))
                about.share.CopyFrom(Share(member=member, members=len(times_s), actions=[action]))
            partitions.append(about)
    return BundleSplitting(0, str(groups), tuple(partitions))


def on(splitting: BundleSplitting, names: str) -> ChainPlacement:
    return ChainPlacement.on(splitting, 0, [board(name) for name in names])


def mended(planned: ChainPlacement, others: Sequence[BundleSplitting], gone: str, room: Room) -> str | None:
    ways = [planned, *in_smaller_groups(planned, others, set(gone))]
    return route(best_remedy([(way, room) for way in ways], set(gone)))


def test_group_goes_on_smaller_where_the_bundle_has_that() -> None:
    planned = on(splitting_in_groups((3, 3, 3)), "abc")
    two, one = splitting_in_groups((4, 4)), splitting_in_groups((8,))
    for gone, expected in (("", "a + b + c"), ("b", "a + c"), ("a", "b + c"), ("ab", "c")):
        assert mended(planned, [planned.splitting, two, one], gone, Room([], {})) == expected
    assert mended(planned, [], "b", Room([], {})) in ("a + a + c", "a + c + c")
    # Two shares on one board take less than all of the model on it.
    assert mended(planned, [one], "b", Room([], {})) in ("a + a + c", "a + c + c")


def test_spare_comes_before_a_smaller_group() -> None:
    planned = on(splitting_in_groups((3, 3)), "ab")
    assert mended(planned, [splitting_in_groups((1,))], "b", Room([board("s")], {})) == "a + s"


def test_smaller_group_needs_room_for_what_it_does() -> None:
    planned = on(splitting_in_groups((3, 3)), "ab")
    alone = [splitting_in_groups((5,), mb=30)]
    assert mended(planned, alone, "b", Room([], {"a": 40 * MB}, {("a", 0)})) == "a"
    assert mended(planned, alone, "b", Room([], {"a": 20 * MB}, set())) == "a + a"


def test_groups_of_other_cuts_or_more_boards_are_no_way_out() -> None:
    planned = on(splitting_in_groups((3, 3), (2,)), "abc")
    others = [
        splitting_in_groups((1,), (1,), cut=7),
        splitting_in_groups((1,), (1, 1)),
        splitting_in_groups((1, 1, 1), (1,)),
    ]
    assert mended(planned, others, "b", Room([], {})) in ("a + a -> c", "a + c -> c")
    smaller = splitting_in_groups((4,), (2,))
    assert mended(planned, [*others, smaller], "b", Room([], {})) == "a -> c"
