"""Networks as files: MindSpore's checkpoints, and plain files that are read without it."""

import json
import subprocess
import sys
import tracemalloc

import mindspore as ms
import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint
from safetensors.numpy import save
from test_evaluate_command import SPEC, make_checkpoint

import esr_ray
from esr_ray.errors import UserError
from esr_ray.inference.find import find_networks
from esr_ray.inference.load import load_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.networks.checkpoint import (
    PLAIN,
    card_of,
    checkpoint_bytes,
    checkpoint_from_bytes,
    load_checkpoint,
    plain_bytes,
)
from esr_ray.packaged import packaged_path


@pytest.fixture
def trained(tmp_path):
    return load_checkpoint(make_checkpoint(tmp_path / "net.ckpt"))


def written(path, trained, half=False, card=None):
    path.write_bytes(plain_bytes(*trained, half, card))
    return path


def test_a_plain_file_holds_the_same_network(tmp_path, trained):
    path = written(tmp_path / f"net{PLAIN}", trained, card={"name": "mine"})
    weights, spec = load_checkpoint(path)
    assert spec == trained[1] == SPEC
    assert weights.keys() == trained[0].keys()
    for name, value in weights.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, trained[0][name])
    assert card_of(path) == {"name": "mine"}
    assert card_of(tmp_path / "net.ckpt") is None


def test_half_precision_takes_half_the_room(tmp_path, trained):
    whole, half = written(tmp_path / "a.safetensors", trained), written(tmp_path / "b.safetensors", trained, True)
    count = sum(value.size for value in trained[0].values())
    # The descriptions of the weights are of nearly the same length.
    assert abs(whole.stat().st_size - half.stat().st_size - 2 * count) < 100
    for name, value in load_checkpoint(half)[0].items():
        np.testing.assert_array_equal(value, trained[0][name].astype(np.float16).astype(np.float32))
    picture = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    first, second = (esr_ray.load(path).upscale(picture).astype(int) for path in (whole, half))
    assert np.abs(first - second).max() <= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is not a readable checkpoint"), (b"\x08" + bytes(7) + b"{}      ", "was not written by esr_ray")],
)
def test_files_that_hold_no_network(tmp_path, content, message):
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_checkpoint(tmp_path / "net.safetensors")


def test_a_file_that_is_cut_short(tmp_path, trained):
    path = written(tmp_path / "net.safetensors", trained)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"net\.safetensors: is not a readable checkpoint .*truncated"):
        load_checkpoint(path)


def test_plain_files_in_a_folder_are_found(tmp_path, trained):
    written(tmp_path / "other.safetensors", trained)
    assert [source.name for source in find_networks(tmp_path)] == ["net", "other"]


def test_names_that_are_none(tmp_path):
    assert packaged_path("nothing") is None
    assert packaged_path("../packaged/x2") is None
    with pytest.raises(UserError, match=r"^nowhere: there is no such network; .*a run folder, a checkpoint, or one of"):
        esr_ray.load("nowhere")


@pytest.mark.parametrize("suffix", [".ckpt", PLAIN])
def test_reading_it_imports_no_mindspore(tmp_path, trained, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(plain_bytes(*trained, False) if suffix == PLAIN else checkpoint_bytes(*trained))
    code = (
        f"import sys, esr_ray, numpy as np; network = esr_ray.load({str(path)!r});"
        "network.upscale(np.zeros((8, 8, 3), np.uint8)); sys.exit('mindspore' in sys.modules or 'ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Damage.


def same(one, other):
    return one[1] == other[1] and all(np.array_equal(one[0][name], other[0][name]) for name in one[0] | other[0])


@pytest.mark.parametrize("suffix", [".ckpt", PLAIN])
def test_no_flipped_byte_makes_another_network(tmp_path, trained, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(plain_bytes(*trained, False) if suffix == PLAIN else checkpoint_bytes(*trained))
    whole = path.read_bytes()
    assert same(load_checkpoint(path), trained)
    told = []
    # All of the description, and of the weights each so many.
    description = whole.index(b"sha256" if suffix == PLAIN else "sha256".encode("utf-32-le"))
    places = {*range(0, len(whole), 41), *range(max(0, description - 60), description + 200), len(whole) - 1}
    for place in sorted(places):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            found = load_checkpoint(path)
        except UserError as error:
            told.append(str(error))
        else:
            # What the formats themselves pass over: a blank in the head of a plain file, say.
            assert same(found, trained)
    assert all(one.startswith(f"{path}: ") and "\n" not in one for one in told)
    assert len(told) > 0.95 * len(places)


@pytest.mark.parametrize("suffix", [".ckpt", PLAIN])
def test_files_that_were_written_before_there_was_a_digest_are_read(tmp_path, trained, suffix):
    weights, spec = trained
    path = tmp_path / f"net{suffix}"
    if suffix == PLAIN:
        path.write_bytes(save(weights, {"esr_ray.network": spec.to_json()}))
    else:
        entries = [{"name": name, "data": ms.Tensor(value)} for name, value in weights.items()]
        ms.save_checkpoint(entries, str(path), append_dict={"esr_ray.network": spec.to_json()})
    assert same(load_checkpoint(path), trained)


def test_mindspore_reads_a_checkpoint_too(tmp_path, trained):
    path = tmp_path / "net.ckpt"
    path.write_bytes(checkpoint_bytes(*trained))
    read = ms.load_checkpoint(str(path))
    for name, value in trained[0].items():
        np.testing.assert_array_equal(read[name].asnumpy(), value)


def test_a_checkpoint_is_to_the_byte_what_mindspore_writes(tmp_path, trained):
    ours = checkpoint_bytes(*trained)
    about = Checkpoint.FromString(ours).value[-1]
    entries = [{"name": name, "data": ms.Tensor(value)} for name, value in trained[0].items()]
    text = about.tensor.tensor_content.decode("utf-32-le")
    ms.save_checkpoint(entries, str(tmp_path / "theirs.ckpt"), append_dict={about.tag: text})
    assert ours == (tmp_path / "theirs.ckpt").read_bytes()


@pytest.mark.parametrize("first", ["mindspore", "esr_ray"])
def test_checkpoints_are_read_beside_mindspore_whichever_came_first(tmp_path, trained, first):
    """Both know the same messages of protocol buffers, which may be told to its library twice."""
    path = tmp_path / "net.ckpt"
    path.write_bytes(checkpoint_bytes(*trained))
    lines = [
        f"from esr_ray.networks.checkpoint import load_checkpoint; a = load_checkpoint(Path({str(path)!r}))[0]",
        f"import mindspore; b = mindspore.load_checkpoint({str(path)!r})",
    ]
    code = "\n".join(
        [
            "import sys; from pathlib import Path",
            *(lines if first == "esr_ray" else lines[::-1]),
            "sys.exit(not all((value == b[name].asnumpy()).all() for name, value in a.items()))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("value", [np.float32(3), np.zeros((1,), np.float32), np.array([[True]])])
def test_weights_of_any_shape_and_kind_come_back(value):
    value = np.asarray(value)
    found = checkpoint_from_bytes(checkpoint_bytes({"own.weight": value}, SPEC))[0]["own.weight"]
    assert (found.shape, found.dtype) == (value.shape, value.dtype)
    np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("dims", [[100_000, 100_000], [1 << 62, 4], [-8, -27], [8, 27], []])
def test_a_shape_that_is_not_that_of_the_weights_is_refused_before_it_takes_memory(tmp_path, trained, dims):
    content = Checkpoint.FromString(checkpoint_bytes(*trained))
    del content.value[0].tensor.dims[:]
    content.value[0].tensor.dims.extend(dims)
    path = tmp_path / "net.ckpt"
    path.write_bytes(content.SerializeToString())
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"net\.ckpt: is not a readable checkpoint|net\.ckpt: is damaged"):
            load_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("card", ["[1]", "3", '"text"', "{", "[" * 100_000])
def test_a_card_that_is_none_is_one_line(tmp_path, trained, card):
    path = tmp_path / "net.safetensors"
    path.write_bytes(save(trained[0], {"esr_ray.network": trained[1].to_json(), "esr_ray.card": card}))
    with pytest.raises(UserError, match=r"net\.safetensors: its card is .*; write the file again$") as caught:
        card_of(path)
    assert len(str(caught.value)) < len(str(path)) + 500


# What strangers send.

SOUND = {"arch": ["S_2_4_8"], "base_channels": 8, "scale": 2, "global_skip": "nearest", "task": ""}
HOSTILE = [
    *({"arch": arch} for arch in ("S_2_4_8", None, [1], [], ["Q_1_1_1"], ["S_1_4_" + "9" * 400], ["S_9999_4_8"])),
    {"arch": ["S_256_9999_9999"] * 1000},
    {"arch": ["S_2_4_8"] * 1001},
    *({"base_channels": number} for number in (4096, 10**9, -1, True, 8.0, "8", None)),
    *({"scale": number} for number in (1000, 0, "2", None)),
    *({"global_skip": skip} for skip in ("x", None)),
    *({"in_channels": 0}, {"in_channels": 2}, {"out_channels": 10**6}),
    *(
        {"task": task}
        for task in (5, "{", "[]", "null", '"x"', '{"name":"nothing"}', '{"scale":7}', "[" * 100_000, '{"scale":2}\n ')
    ),
    {"task": '{"name":"user","file":"x.py"}'},
    {"more": 1},
]
TEXTS = [*(json.dumps(SOUND | one) for one in HOSTILE), "", "[]", "null", "{}", "NaN", "[" * 100_000, '{"arch":' * 2000]


@pytest.mark.parametrize("text", TEXTS, ids=[text[:50] for text in TEXTS])
def test_a_description_that_is_none_is_one_line_before_it_takes_memory(tmp_path, text):
    path = tmp_path / "network.safetensors"
    path.write_bytes(save({"sfe1.weight": np.zeros((8, 3, 3, 3), np.float32)}, {"esr_ray.network": text}))
    make = choose_predictor("auto", "CPU")
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            load_network(path, make)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100e6
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told
    assert len(told) < len(str(path)) + 800
