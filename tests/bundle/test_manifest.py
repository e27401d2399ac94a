"""The manifest as text for people, checked when read; and the deployment id, which names content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle import Bundle, BundleError
from bundle.image_input import PRESETS, complete_image_input
from bundle.manifest import FORMAT_VERSION, parse_manifest, render_manifest
from bundle.splitting import deployment_id, list_splittings
from protos.v1.manifest_pb2 import Manifest, ModelFile, Partition, Share, Splitting
from protos.v1.tensor_pb2 import DType, Quantization, TensorSpec
from tests.bundles import make_bundle


def tensor(name: str, **fields: Any) -> TensorSpec:
    return TensorSpec(name=name, dtype=DType.INT8, shape=[1, 2], **fields)


def partition(start_op: int, stop_op: int, takes: str, gives: str) -> Partition:
    """A partition that takes and gives tensors of these one-letter names; what is in both is carried along."""
    return Partition(
        file=ModelFile(path=f"partitions/{start_op}.tflite", sha256=f"{start_op:064x}", size_bytes=10, time_s=0.5),
        start_op=start_op,
        stop_op=stop_op,
        arriving=map(tensor, takes),
        leaving=map(tensor, gives),
        inputs=[tensor(t) for t in takes if t not in gives],
        outputs=[tensor(t) for t in gives if t not in takes],
    )


def manifest() -> Manifest:
    """Two splittings, the first into two partitions; a tensor is carried along through the second of them.

    a -> [0, 2) -> b, s -> [2, 5) -> c, s
    a -> [0, 5) -> c, s
    """
    return Manifest(
        format_version=FORMAT_VERSION,
        model_name="model",
        inputs=[tensor("a")],
        outputs=[tensor("s"), tensor("c")],
        splittings=[
            Splitting(partitions=[partition(0, 2, "a", "bs"), partition(2, 5, "bs", "cs")]),
            Splitting(partitions=[partition(0, 5, "a", "cs")]),
        ],
    )


def test_manifest_comes_back_when_rendered_and_parsed(whole_bundle: Bundle) -> None:
    for original in (manifest(), whole_bundle.manifest):
        assert parse_manifest(render_manifest(original)) == original


def test_manifest_reads_as_the_contract_names_its_fields(whole_bundle: Bundle) -> None:
    text = render_manifest(whole_bundle.manifest)
    assert text.endswith("}\n")
    fields = json.loads(text)
    assert list(fields)[:4] == ["format_version", "model_name", "source", "whole"]
    assert fields["format_version"] == 2
    assert isinstance(fields["whole"]["size_bytes"], int)
    (image,) = fields["inputs"]
    assert image["dtype"] == "INT8"
    assert set(image["quantization"]) == {"scale", "zero_point"}
    assert "\n  " in text


@pytest.mark.parametrize(
    "text",
    ["", "not json", "null", "5", "[1]", '{"a": 1', "[" * 100_000, '{"format_version": "one"}', '{"splittings": {}}'],
)
def test_manifest_is_refused_when_it_is_not_the_contracts_json(text: str) -> None:
    with pytest.raises(BundleError, match=r"does not follow protos/v1/manifest\.proto.*Split the model again"):
        parse_manifest(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_json_is_refused_with_a_bundle_error(value: Any) -> None:
    with pytest.raises(BundleError):
        parse_manifest(json.dumps({"format_version": 2, "splittings": value}))
    with pytest.raises(BundleError):
        parse_manifest(json.dumps(value))


def test_manifest_is_refused_naming_the_field_when_it_is_unknown() -> None:
    fields = json.loads(render_manifest(manifest()))
    fields["splittings"][0]["partitions"][1]["colour"] = "red"
    with pytest.raises(BundleError, match='no field named "colour"'):
        parse_manifest(json.dumps(fields))


def test_manifest_of_another_program_is_refused() -> None:
    with pytest.raises(BundleError, match='no field named "short_name"'):
        parse_manifest('{"short_name": "app", "icons": []}')


@pytest.mark.parametrize("fields", [{}, {"a_field_of_the_future": 1}])
def test_manifest_is_refused_naming_both_versions_when_its_format_is_another(fields: dict[str, int]) -> None:
    text = json.dumps({**json.loads(render_manifest(manifest())), "format_version": 3, **fields})
    with pytest.raises(BundleError, match=r"has format version 3, this version reads 2\..*the version that made"):
        parse_manifest(text)


def test_manifest_is_refused_when_it_has_no_version() -> None:
    with pytest.raises(BundleError, match="has format version 0"):
        parse_manifest("{}")


def unlinked(broken: Manifest) -> None:
    broken.splittings[0].partitions[1].arriving[0].name = "other"


def swapped(broken: Manifest) -> None:
    broken.splittings[0].partitions[1].arriving.reverse()


def retyped(broken: Manifest) -> None:
    broken.splittings[0].partitions[1].arriving[0].dtype = DType.UINT8


def gap(broken: Manifest) -> None:
    broken.splittings[0].partitions[1].start_op = 3


def empty_part(broken: Manifest) -> None:
    broken.splittings[0].partitions[0].stop_op = 0


def wrong_input(broken: Manifest) -> None:
    broken.inputs[0].name = "other"


def missing_output(broken: Manifest) -> None:
    del broken.outputs[0]


def unknown_argument(broken: Manifest) -> None:
    broken.splittings[0].partitions[1].inputs[0].name = "z"


def lost_carried(broken: Manifest) -> None:
    broken.splittings[0].partitions[0].outputs.pop()


def no_parts(broken: Manifest) -> None:
    del broken.splittings[0].partitions[:]


def no_splittings(broken: Manifest) -> None:
    del broken.splittings[:]


def shorter(broken: Manifest) -> None:
    broken.splittings[1].partitions[0].stop_op = 4


def other_inputs(broken: Manifest) -> None:
    broken.splittings[1].partitions[0].arriving[0].name = "other"


def other_outputs(broken: Manifest) -> None:
    broken.splittings[1].partitions[0].leaving.pop()


def short_order(broken: Manifest) -> None:
    broken.operator_order.extend([1, 0, 2])


def doubled_order(broken: Manifest) -> None:
    broken.operator_order.extend([0, 1, 2, 3, 3])


def odd_batch(broken: Manifest) -> None:
    broken.batch = 4


def batch_without_dimension(broken: Manifest) -> None:
    broken.batch = 2
    for spec in broken.outputs:
        del spec.shape[:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (unlinked, "partition 1 does not take what the one before it sends"),
        (swapped, "partition 1 does not take what the one before it sends"),
        (retyped, "partition 1 does not take what the one before it sends"),
        (wrong_input, "partition 0 does not take what"),
        (gap, "partition 1 holds operators 3 to 5, expected to start at 2"),
        (empty_part, "partition 0 holds operators 0 to 0"),
        (unknown_argument, "partition 1 needs tensors that do not arrive there: z"),
        (lost_carried, "partition 0 needs tensors that do not arrive there: s"),
        (missing_output, "last partition of splitting 0 does not give the model's outputs"),
        (no_parts, "splitting 0 names no partitions"),
        (no_splittings, "names no splittings"),
        (shorter, "cover different numbers of operators: 5, 4"),
        (other_inputs, "splitting 1, partition 0 does not take what"),
        (other_outputs, "last partition of splitting 1 does not give the model's outputs"),
        (short_order, "operator_order has 3 operators, 3 of them distinct, expected 5"),
        (odd_batch, r"the batch is 4, and these do not hold as many: a \[1, 2\], s \[1, 2\], c \[1, 2\]"),
        (batch_without_dimension, r"these do not hold as many: a \[1, 2\], s \[\], c \[\]"),
        (doubled_order, "operator_order has 5 operators, 4 of them distinct, expected 5"),
    ],
)
def test_manifest_is_refused_when_its_chain_is_broken(damage: Callable[[Manifest], None], message: str) -> None:
    broken = manifest()
    parse_manifest(render_manifest(broken))
    damage(broken)
    with pytest.raises(BundleError, match=message):
        parse_manifest(render_manifest(broken))


def test_outputs_are_accepted_in_the_authors_order() -> None:
    reordered = manifest()
    reordered.outputs.reverse()
    assert parse_manifest(render_manifest(reordered)) == reordered


@given(st.lists(st.floats(0, 1e9), min_size=3, max_size=3), st.text(max_size=9))
def test_deployment_id_stays_when_only_measurements_and_origin_differ(times: list[float], file_name: str) -> None:
    measured = manifest()
    measured.whole.time_s = times[0]
    for part, time_s in zip(measured.splittings[0].partitions, times[1:]):
        part.file.time_s = time_s
    measured.source.file_name = file_name
    measured.measured_on.processor = "another"
    assert deployment_id(measured) == deployment_id(manifest())


def test_deployment_id_says_what_boards_compute_and_not_how_that_was_planned() -> None:
    ids = set()
    for shares, peer in (((1.0, 1.0), 1), ((2.0, 2.0), 1), ((1.0, 1.0), 2)):
        shared = manifest()
        for member, part in enumerate(shared.splittings[0].partitions):
            part.ClearField("file")
            part.share.member = member
            part.share.actions.add().send.peer = peer
        shared.splittings[0].partitions[0].share.segments.add(stop_op=2, by="rows", shares=shares)
        ids.add(deployment_id(shared))
    assert len(ids) == 2


def changed_fields() -> list[Callable[[Partition], object]]:
    """One change per field of a partition."""
    extra = tensor("extra")
    scale = Quantization(scale=0.5, zero_point=1)
    return [
        lambda p: setattr(p.file, "path", "elsewhere"),
        lambda p: setattr(p.file, "sha256", "f" * 64),
        lambda p: setattr(p.file, "size_bytes", 11),
        lambda p: setattr(p, "start_op", 1),
        lambda p: setattr(p, "stop_op", 9),
        lambda p: p.inputs.append(extra),
        lambda p: p.outputs.append(extra),
        lambda p: p.arriving.append(extra),
        lambda p: p.leaving.append(extra),
        lambda p: p.leaving[0].shape.append(1),
        lambda p: p.leaving[0].quantization.CopyFrom(scale),
        lambda p: setattr(p.leaving[0], "alias", "answer"),
        lambda p: setattr(p.leaving[0], "dtype", DType.INT16),
    ]


@pytest.mark.parametrize("change", changed_fields())
@pytest.mark.parametrize("index", [0, 1])
def test_deployment_id_changes_when_any_field_of_a_partition_does(
    change: Callable[[Partition], object], index: int
) -> None:
    changed = manifest()
    change(changed.splittings[0].partitions[index])
    assert deployment_id(changed) != deployment_id(manifest())


def test_deployment_id_changes_when_a_partition_is_left_out_or_moved() -> None:
    ids = {deployment_id(manifest())}
    for reorder in (slice(None, None, -1), slice(1), slice(1, None)):
        changed = manifest()
        parts = list(changed.splittings[0].partitions)[reorder]
        del changed.splittings[0].partitions[:]
        changed.splittings[0].partitions.extend(parts)
        ids.add(deployment_id(changed))
    assert len(ids) == 4


def test_every_splitting_is_a_deployment_of_its_own_whatever_stands_beside_it() -> None:
    both, alone = manifest(), manifest()
    del alone.splittings[0]
    assert deployment_id(both, 0) != deployment_id(both, 1) == deployment_id(alone)


def test_operator_order_is_accepted_when_it_names_every_operator_once() -> None:
    ordered = manifest()
    ordered.operator_order.extend([2, 0, 1, 9, 4])  # 9: operators whose inputs are all constant have no position
    assert parse_manifest(render_manifest(ordered)) == ordered


def test_deployment_id_begins_with_the_models_name() -> None:
    name, _, digest = deployment_id(manifest()).rpartition("-")
    assert name == "model"
    assert len(digest) == 12


def test_deployment_id_is_the_same_when_a_model_is_split_again(whole_bundle: Bundle, tmp_path: Path) -> None:
    again = make_bundle(tmp_path / "again", "residual", "int8", cut_lists=[("6", "7")])
    other = make_bundle(tmp_path / "other", "residual", "int8", cut_lists=[("6", "8")])
    assert again.deployment_id == whole_bundle.deployment_id
    assert other.deployment_id != whole_bundle.deployment_id


def grouped() -> Manifest:
    """As `manifest`, the whole shared by three boards in the second splitting."""
    made = manifest()
    shares = [Partition(start_op=0, stop_op=5, share=Share(member=member, members=3)) for member in range(3)]
    shares[0].MergeFrom(partition(0, 5, "a", "cs"))
    shares[0].ClearField("file")
    made.splittings[1].CopyFrom(Splitting(partitions=shares))
    return made


def say_members(partitions: Iterable[Partition], members: int) -> None:
    for part in partitions:
        part.share.members = members


def test_group_is_one_step_of_the_chain() -> None:
    made = parse_manifest(render_manifest(grouped()))
    first, second = list_splittings(made)
    assert (first.group_sizes, second.group_sizes) == ((1, 1), (3,))
    assert (second.cut_indices, [t.name for t in second.leaving]) == ((), ["c", "s"])
    assert second.group_of(second.leaders[0]) == list(made.splittings[1].partitions)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda parts: parts.pop(), "whose others do not follow"),
        (lambda parts: parts.pop(0), "is not where that group's partitions are"),
        (lambda parts: parts[1].share.ClearField("member"), "whose others do not follow"),
        (lambda parts: setattr(parts[2].share, "members", 4), "is not where that group's partitions are"),
        (lambda parts: setattr(parts[2].share, "member", 7), "whose others do not follow"),
        (lambda parts: say_members(parts, 2**32 - 1), "whose others do not follow"),
        (lambda parts: setattr(parts[1], "stop_op", 4), "is not where that group's partitions are"),
        (lambda parts: parts[1].file.CopyFrom(ModelFile(path="x")), "both a file and a share"),
        (lambda parts: parts[1].ClearField("share"), "whose others do not follow"),
    ],
)
def test_group_that_does_not_fit_together_is_refused(change: Callable[[Any], object], words: str) -> None:
    made = grouped()
    change(made.splittings[1].partitions)
    with pytest.raises(BundleError, match=words):
        parse_manifest(render_manifest(made))


def test_time_measured_anew_leaves_a_groups_deployment_id() -> None:
    one, other = grouped(), grouped()
    for made, time_s in ((one, 0.5), (other, 0.7)):
        made.splittings[1].partitions[1].share.actions.add().compute.file.CopyFrom(
            ModelFile(path="p", sha256="0" * 64, time_s=time_s)
        )
    assert deployment_id(one, 1) == deployment_id(other, 1)


def test_manifest_keeps_how_photographs_become_the_input_and_the_labels() -> None:
    original = manifest_of_pictures()
    assert parse_manifest(render_manifest(original)) == original
    bare = manifest_of_pictures()
    bare.ClearField("image_input")
    bare.ClearField("labels")
    assert deployment_id(original) == deployment_id(bare)


def test_manifest_is_refused_when_photographs_or_labels_do_not_fit_the_model() -> None:
    changes: list[tuple[Callable[[Manifest], object], str]] = [
        (lambda m: m.image_input.std.append(0), "std is .*split the model again"),
        (lambda m: m.inputs[0].ClearField("shape"), "input of shape .*split the model again"),
        (lambda m: m.labels.append("more"), "there are 3 labels, and the model has 2 classes.*split the model again"),
    ]
    for change, says in changes:
        broken = manifest_of_pictures()
        change(broken)
        for splitting in broken.splittings:
            splitting.partitions[0].arriving[0].CopyFrom(broken.inputs[0])
        with pytest.raises(BundleError, match=says):
            parse_manifest(render_manifest(broken))


def manifest_of_pictures() -> Manifest:
    made = Manifest(
        format_version=FORMAT_VERSION,
        model_name="model",
        inputs=[TensorSpec(name="a", dtype=DType.INT8, shape=[1, 8, 8, 3])],
        outputs=[tensor("c")],
        splittings=[Splitting(partitions=[partition(0, 2, "a", "c")])],
        labels=["cat", "dog"],
    )
    made.splittings[0].partitions[0].arriving[0].CopyFrom(made.inputs[0])
    made.image_input.CopyFrom(complete_image_input(PRESETS["torch"], made.inputs[0].shape))
    return made
