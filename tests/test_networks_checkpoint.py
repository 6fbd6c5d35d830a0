"""Networks as files: MindSpore's checkpoints, and plain files that are read without it."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import save
from test_evaluate_command import SPEC, make_checkpoint

import esr_ray
from esr_ray.errors import UserError
from esr_ray.inference.find import find_networks
from esr_ray.inference.load import load_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.networks.checkpoint import PLAIN, card_of, load_checkpoint, plain_bytes
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


def test_reading_it_imports_no_mindspore(tmp_path, trained):
    path = written(tmp_path / "net.safetensors", trained)
    code = (
        f"import sys, esr_ray, numpy as np; network = esr_ray.load({str(path)!r});"
        "network.upscale(np.zeros((8, 8, 3), np.uint8)); sys.exit('mindspore' in sys.modules or 'ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
    *({"task": task} for task in (5, "{", "[]", "null", '"x"', '{"name":"nothing"}', '{"scale":7}', "[" * 100_000)),
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
