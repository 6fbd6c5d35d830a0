"""A training that goes on from a state ends with the weights of one that was never stopped, to the bit."""

import io
import zipfile
from functools import partial

import mindspore as ms
import numpy as np
import pytest

from esr_ray.config.schema import CosineSchedule, FullTrainingConfig
from esr_ray.data.crops import PicturePair
from esr_ray.errors import UserError
from esr_ray.networks.checkpoint import checkpoint_from_bytes
from esr_ray.networks.target import use_target
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.final import Onlooker, train_fully
from esr_ray.training.loop import CurvePoint, Progress
from esr_ray.training.native import NativeNetwork
from esr_ray.training.plain import PlainNetwork
from esr_ray.training.settings import LATER, completed, deciding_settings
from esr_ray.training.state import TrainingState, pack_state, state_bytes, state_from_bytes

SPEC = NetworkSpec(("S_1_4_8", "C_1_4_4"), 8, 2, "nearest")
STEPS = 14


def config(**keys):
    return FullTrainingConfig(
        steps=STEPS,
        batch_size=2,
        crop_size=8,
        learning_rate=2e-3,
        schedule=CosineSchedule(type="cosine", warmup_steps=2),
        checkpoint_steps=5,
        validation_steps=6,
        **keys,
    )


def picture(seed):
    hr = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8).repeat(6, 0).repeat(6, 1)
    return PicturePair(str(seed), hr, hr[::2, ::2].copy())


PAIRS = [picture(seed) for seed in range(3)]


class Keeps(Onlooker):
    def __init__(self):
        self.states, self.measured = [], []

    def state(self, state):
        self.states.append(state_bytes(state))

    def validated(self, step, measured):
        # A state of this step would be gone on from without this validation.
        assert all(state_from_bytes(one, "x").progress.steps < step for one in self.states)
        self.measured.append((step, measured[0].quality.psnr_y))


@pytest.fixture(params=["native", "plain graph", "plain pynative"])
def make(request):
    if request.param == "native":
        yield partial(NativeNetwork, library=request.getfixturevalue("library"))
        return
    before = ms.get_context("mode")
    use_target("CPU", request.param.removeprefix("plain "))
    yield PlainNetwork
    ms.set_context(mode=before)


def weights(trained):
    return checkpoint_from_bytes(trained.weights)[0]


@pytest.mark.parametrize("keys", [{"average_weights": 0.9, "clip_norm": 0.5}], ids=["averaged"])
def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(make, keys):
    watched = Keeps()
    whole = train_fully(SPEC, config(**keys), PAIRS, 1, make, watched, PAIRS[:1])
    assert [state_from_bytes(one, "x").progress.steps for one in watched.states] == [5, 10, STEPS]
    assert [step for step, _ in watched.measured] == [6, 12, STEPS]
    # Neither who watches nor what is measured on the way changes anything.
    alone = train_fully(SPEC, config(**keys), PAIRS, 1, make)
    for kept in watched.states[:2]:
        state = state_from_bytes(kept, "x")
        resumed = train_fully(SPEC, config(**keys), PAIRS, 1, make, begun=state)
        for other in (resumed, alone):
            assert other.curve == whole.curve
            for name, value in weights(whole).items():
                np.testing.assert_array_equal(weights(other)[name], value, err_msg=name)


def test_a_state_of_one_path_is_gone_on_from_by_the_other(library):
    watched = Keeps()
    native = partial(NativeNetwork, library=library)
    whole = train_fully(SPEC, config(average_weights=0.9), PAIRS, 1, native, watched)
    state = state_from_bytes(watched.states[0], "x")
    other = train_fully(SPEC, config(average_weights=0.9), PAIRS, 1, PlainNetwork, begun=state)
    for name, value in weights(whole).items():
        np.testing.assert_allclose(weights(other)[name], value, atol=2e-4, err_msg=name)


def test_a_state_of_another_network_is_refused(library):
    make, watched = partial(NativeNetwork, library=library), Keeps()
    train_fully(SPEC, config(), PAIRS, 1, make, watched)
    state = state_from_bytes(watched.states[0], "x")
    with pytest.raises(ValueError, match="another training"):
        train_fully(NetworkSpec(("S_1_4_4",), 8, 2, "nearest"), config(), PAIRS, 1, make, begun=state)
    with pytest.raises(ValueError, match="another training"):
        train_fully(SPEC, config(average_weights=0.9), PAIRS, 1, make, begun=state)


def test_a_training_of_before_a_setting_was_there_is_the_same_training():
    now = deciding_settings(FullTrainingConfig(steps=9))
    before = {key: value for key, value in now.items() if key not in LATER}
    assert before != now
    assert completed(before) == now
    assert completed({**before, "initial_variance": 1.0}) != now
    assert completed({**before, "steps": 8}) != now
    assert completed(before) != deciding_settings(FullTrainingConfig(steps=9, initial_variance=1.0))


def test_a_damaged_state_is_told_by_its_name(library):
    watched = Keeps()
    train_fully(SPEC, config(), PAIRS, 1, partial(NativeNetwork, library=library), watched)
    content = watched.states[0]
    state = state_from_bytes(content, "net.state.npz")
    assert isinstance(state, TrainingState)
    assert (state.spec, state.settings["steps"]) == (SPEC, STEPS)
    for damaged in (content[:-200], content[: len(content) // 2], b"", b"nothing", content[300:]):
        with pytest.raises(UserError, match=r"net\.state\.npz: is not a readable training state"):
            state_from_bytes(damaged, "net.state.npz")


def small_state():
    arrays = pack_state({"weights": {"a": np.zeros((2, 3), np.float32)}}, 7)
    return state_bytes(TrainingState(SPEC, {"steps": 9}, arrays, Progress(7, (CurvePoint(7, 0.5),), (0.5,), 1.0)))


def with_member(content, name, change, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(file, "w", compression) as after:
        for member in before.namelist():
            after.writestr(member, change(before.read(member)) if member == name else before.read(member))
    return file.getvalue()


def test_a_small_state_is_read():
    state = state_from_bytes(small_state(), "x")
    assert state.progress == Progress(7, (CurvePoint(7, 0.5),), (0.5,), 1.0)
    assert state.arrays["weights/a"].shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        # A head that asks for 24 terabytes.
        ("weights/a.npy", lambda part: part.replace(b"(2, 3)", b"(2, 3000000000000)")),
        ("weights/a.npy", lambda part: b"no array"),
        ("weights/a.npy", lambda part: part.replace(b"<f4", b"|O8")),
        ("weights/a.npy", lambda part: part.replace(b"'descr'", b"(((((((")),
        ("esr_ray.state.npy", lambda part: part.replace(*(one.encode("utf-32-le") for one in ("steps", "stops")))),
        (
            "esr_ray.state.npy",
            lambda part: part.replace(*(one.encode("utf-32-le") for one in ('"losses": [', '"losses": 3'))),
        ),
    ],
)
def test_an_array_that_is_none_is_told_before_it_takes_memory(name, change):
    content = with_member(small_state(), name, change)
    assert content != small_state()
    with pytest.raises(
        UserError, match=r"^net\.state\.npz: is not a readable training state \(\w+\); it may be truncated"
    ):
        state_from_bytes(content, "net.state.npz")


def test_a_state_that_was_compressed_to_nothing_is_not_unpacked():
    content = with_member(small_state(), "", None, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"is not a readable training state"):
        state_from_bytes(content, "net.state.npz")
