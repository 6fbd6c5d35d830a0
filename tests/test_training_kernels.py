"""`runtime.kernels`: which path a process takes and why, and which networks it takes it for."""

import logging

import numpy as np
import pytest
from test_space_user_block import SIMPLE, write

from esr_ray.config.load import check_config
from esr_ray.config.schema import RuntimeConfig
from esr_ray.errors import UserError
from esr_ray.native.library import NativeUnavailable
from esr_ray.networks.target import use_target
from esr_ray.runtime.placement import decide_placement
from esr_ray.space.spec import NetworkSpec
from esr_ray.space.user_block import load_user_block
from esr_ray.training.kernels import choose_kernels
from esr_ray.training.native import NativeNetwork
from esr_ray.training.plain import PlainNetwork

SPEC = NetworkSpec(("C_1_4_4", "G_2_4_8"), 8, 2, "nearest")


def config(kernels="auto", scale=2, **space):
    return check_config(
        {
            "task": {"scale": scale},
            "space": space,
            "data": {"hr": "sample:scikit-image"},
            "runtime": {"kernels": kernels},
        },
        "test",
    )


def told(caplog):
    """What our own loggers said: MindSpore warns of itself when a process first builds an optimizer."""
    return [record for record in caplog.records if record.name.split(".")[0] == "esr_ray"]


@pytest.fixture
def no_library(monkeypatch):
    def unavailable():
        raise NativeUnavailable("libesrn_best.so was not built. Install esr_ray with pip to build it")

    monkeypatch.setattr("esr_ray.native.choice.load_library", unavailable)


@pytest.fixture(autouse=True)
def set_up(monkeypatch):
    """How MindSpore was set up, (target, mode) each time; on CPUs it is."""
    found = []

    def noted(target, mode):
        found.append((target, mode))
        if target == "CPU":
            use_target(target, mode)

    monkeypatch.setattr("esr_ray.training.kernels.use_target", noted)
    return found


def make_network(kernels, spec=SPEC):
    return kernels.make(spec, config().fast_training, seed=1)


# ------------------------------------------------------------------------------------------------------ which, and why


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("target", ["CPU", "Ascend"])
def test_plain_kernels_are_had_where_they_are_asked_for(target, set_up):
    kernels = choose_kernels(config("plain"), target)
    # At once: where there is no Ascend, this says so.
    assert set_up == [(target, "graph")]
    assert (kernels.name, kernels.reason) == ("plain", "plain kernels, as runtime.kernels says")
    assert isinstance(make_network(kernels), PlainNetwork)


@pytest.mark.parametrize("wanted", ["auto", "native"])
def test_native_kernels_are_had_where_there_is_a_library_and_need_no_mindspore(library, wanted, set_up):
    kernels = choose_kernels(config(wanted), "CPU")
    assert kernels.name == f"native {library.instruction_set}"
    assert kernels.reason == f"native kernels ({library.instruction_set})"
    network = make_network(kernels)
    assert isinstance(network, NativeNetwork)
    assert network.kernels == kernels.name
    assert set_up == []


def test_plain_kernels_are_had_where_they_are_asked_for_though_there_is_a_library(library):
    assert isinstance(make_network(choose_kernels(config("plain"), "CPU")), PlainNetwork)


@pytest.mark.usefixtures("no_library")
def test_without_a_library_auto_is_plain_and_says_why():
    kernels = choose_kernels(config("auto"), "CPU")
    assert kernels.name == "plain"
    assert kernels.reason.startswith("plain kernels, many times slower: libesrn_best.so was not built.")
    assert isinstance(make_network(kernels), PlainNetwork)


@pytest.mark.usefixtures("no_library")
def test_without_a_library_native_is_an_error_that_says_what_to_do():
    with pytest.raises(UserError) as caught:
        choose_kernels(config("native"), "CPU")
    message = str(caught.value)
    assert message.startswith("runtime.kernels: there are no native ones: libesrn_best.so was not built.")
    assert "set it to auto" in message
    assert "\n" not in message


def test_on_ascend_auto_is_plain():
    kernels = choose_kernels(config("auto"), "Ascend")
    assert (kernels.name, kernels.reason) == ("plain", "plain kernels: Ascend has MindSpore's own")
    assert isinstance(make_network(kernels), PlainNetwork)


def test_on_ascend_native_is_an_error_that_says_what_to_do():
    with pytest.raises(UserError, match=r"runtime\.kernels: native ones are for CPUs, not for Ascend; set it to auto"):
        choose_kernels(config("native"), "Ascend")


def test_native_kernels_on_ascend_are_refused_before_anything_is_placed():
    npus = {"CPU": 16.0, "NPU": 8.0}
    # The target is found, or said.
    for runtime in (RuntimeConfig(kernels="native"), RuntimeConfig(kernels="native", target="ascend")):
        with pytest.raises(UserError, match=r"^runtime\.kernels: native ones are for CPUs, and the target is ascend"):
            decide_placement(runtime, npus)
    for kernels in ("auto", "plain"):
        assert decide_placement(RuntimeConfig(kernels=kernels), npus).target == "Ascend"
    # NPUs that are only imitated compute on a CPU.
    for target in ("cpu", "auto"):
        placement = decide_placement(RuntimeConfig(kernels="native", target=target), {"CPU": 4.0})
        assert placement.target == "CPU"
    assert decide_placement(RuntimeConfig(kernels="native", resource="NPU", target="cpu"), npus).target == "CPU"


# ------------------------------------------------------------------------------------------------------ a user's block


@pytest.fixture
def users_block(tmp_path, block_types):
    """Block type R of a user's file."""
    load_user_block(write(tmp_path, SIMPLE))


def of(*arch):
    return NetworkSpec(arch, 8, 2, "nearest")


@pytest.mark.usefixtures("users_block")
def test_networks_with_a_users_block_are_plain_and_the_others_native(library, caplog, set_up):
    caplog.set_level(logging.INFO, "esr_ray")
    kernels = choose_kernels(config("native"), "CPU")
    networks = [make_network(kernels, of(*arch)) for arch in (("S_1_4_8",), ("S_1_4_8", "R_1_4_8"), ("G_2_4_8",))]
    assert [type(network) for network in networks] == [NativeNetwork, PlainNetwork, NativeNetwork]
    (record,) = told(caplog)
    message = record.getMessage()
    assert message.startswith("plain kernels for networks with it: R")
    assert message.endswith("is a block type of a user's file")
    assert record.levelno == logging.WARNING
    make_network(kernels, of("R_1_4_8", "S_2_4_8"))
    assert len(told(caplog)) == 1
    assert set_up == [("CPU", "graph")]


@pytest.mark.usefixtures("users_block")
def test_a_users_block_type_is_warned_of_once_whatever_its_sizes(library, caplog):
    """A search meets the type with every number of channels."""
    kernels = choose_kernels(config("native"), "CPU")
    for name in ("R_1_4_8", "R_1_8_8", "R_1_4_16"):
        make_network(kernels, of(name))
    assert len(told(caplog)) == 1


@pytest.mark.usefixtures("users_block")
def test_a_network_with_a_users_block_trains(library):
    """As `choose_kernels` gives it, between two native ones."""
    kernels = choose_kernels(config(), "CPU")
    lr = np.random.default_rng(0).random((2, 3, 6, 8)).astype(np.float32)
    # Not what the skip makes of it, which is what a network begins as.
    hr = 1 - lr.repeat(2, axis=2).repeat(2, axis=3)
    for arch in (("S_1_4_8",), ("R_1_4_8",), ("S_1_4_8",)):
        network = make_network(kernels, of(*arch))
        before = network.parameters()
        assert np.isfinite(float(network.step(lr, hr)))
        assert any((value != before[name]).any() for name, value in network.parameters().items())
