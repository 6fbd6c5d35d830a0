"""How many devices train together, and with which kernels."""

import json
import math
import sys
from contextlib import contextmanager

import pytest
import ray
from clusters import SmallCluster

from esr_ray.config.load import check_config
from esr_ray.errors import TooFewDevices, UserError
from esr_ray.native.library import VARIABLE
from esr_ray.runtime.final_stage import check_trainers
from esr_ray.runtime.placement import decide_placement
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.runtime.training_group import TrainingGroup, number_of_trainers, without_native
from esr_ray.tasks.pictures import open_pictures, plan_pictures, with_checksums

# Ray's workers cannot import this file: what they need of it is sent to them.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize(
    ("wanted", "available", "batch_size", "count"),
    [("auto", 8, 16, 8), ("auto", 6, 16, 4), ("auto", 3, 16, 2), ("auto", 8, 4, 4), ("auto", 2, 7, 1), (2, 8, 16, 2)],
)
def test_devices_are_as_many_as_the_batch_is_divided_among_evenly(wanted, available, batch_size, count):
    assert number_of_trainers(wanted, available, batch_size) == count


def test_more_devices_than_ray_has_are_an_error():
    with pytest.raises(UserError, match=r"runtime\.trainers: 3 are asked for, but Ray has 2"):
        number_of_trainers(3, 2, 12)
    with pytest.raises(TooFewDevices, match=r"Ray has no devices"):
        number_of_trainers("auto", 0, 12)


@pytest.mark.parametrize(
    ("kernels", "without"),
    [
        (("native avx2", "native avx2"), ()),
        (("native avx2", "native avx512"), ()),
        (("plain", "plain"), ()),
        (("native avx2", "plain", "plain"), ("b", "c")),
        (("plain", "native avx2", "plain"), ("a", "c")),
    ],
)
def test_where_a_node_has_no_native_kernels_that_is_found(kernels, without):
    assert without_native(kernels, ("a", "b", "c")[: len(kernels)]) == without


# A cluster of two nodes, one device each: native kernels cannot be had on the second.


@pytest.fixture(scope="module")
def mixed_cluster():
    cluster = SmallCluster()
    cluster.add_node(num_cpus=1, node_name="has")
    with pytest.MonkeyPatch.context() as environment:
        # A node's workers inherit it.
        environment.setenv(VARIABLE, "none")
        cluster.add_node(num_cpus=1, node_name="hasnot")
    ray.init(address=cluster.address, log_to_driver=False)
    yield
    ray.shutdown()
    cluster.shutdown()


class Hears:
    """What the first of the trainers tells."""

    def __init__(self):
        self.steps = []

    def training_progress(self, step, loss):
        self.steps.append(step)

    def keep_state(self, content):
        pass

    def validated(self, step, quality, sr):
        pass

    def heard(self):
        return self.steps


def config_of(**sections):
    content = {
        "space": {"base_channels": 4},
        "data": {"hr": "sample:scikit-image", "validation_size": 16},
        "full_training": {"steps": 6, "batch_size": 4, "crop_size": 16},
        **sections,
    }
    return check_config(content, "test")


class HasNoRoom(Hears):
    def keep_state(self, content):
        raise UserError("final.state.npz: the disk is full")


@contextmanager
def group_of(count, config, cache_dir):
    config = config.model_copy(update={"runtime": config.runtime.model_copy(update={"cache_dir": str(cache_dir)})})
    plan = plan_pictures(config)
    plan = with_checksums(plan, open_pictures(plan, config))
    placement = decide_placement(config.runtime, ray.cluster_resources())
    group = TrainingGroup(WorkerSetup(config, "CPU", plan, ()), placement, count)
    try:
        yield group
    finally:
        group.close()


@pytest.mark.timeout(300)
def test_where_one_node_has_no_native_kernels_all_train_with_plain_ones(mixed_cluster, tmp_path):
    onlooker, said = ray.remote(Hears).options(num_cpus=0).remote(), []
    with group_of(2, config_of(), tmp_path) as group:
        done = group.train(("S_1_4_8",), None, onlooker, said.append, lambda: None)
    assert "full training with plain kernels, many times slower: hasnot cannot have native ones" in said
    assert sorted(place.node for place in group.places) == ["has", "hasnot"]
    assert done.kernels == "plain"
    assert done.curve[-1][0] == 6
    assert all(math.isfinite(loss) for _, loss in done.curve)
    assert ray.get(onlooker.heard.remote())[-1] == 6


@pytest.mark.timeout(300)
def test_a_full_disk_ends_the_training_with_its_reason(mixed_cluster, tmp_path):
    onlooker = ray.remote(HasNoRoom).options(num_cpus=0).remote()
    full = {"steps": 6, "batch_size": 4, "crop_size": 16, "checkpoint_steps": 2}
    with (
        group_of(1, config_of(full_training=full), tmp_path) as group,
        pytest.raises(UserError, match=r"^final\.state\.npz: the disk is full$"),
    ):
        group.train(("S_1_4_8",), None, onlooker, lambda line: None, lambda: None)


@pytest.mark.parametrize("pipeline", [["search", "full_training"], ["full_training"]])
def test_devices_that_a_cluster_lacks_may_come_while_it_searches(mixed_cluster, pipeline):
    networks = {} if "search" in pipeline else {"networks": [["S_1_4_8"]]}
    config = config_of(pipeline=pipeline, runtime={"trainers": 5}, **networks)
    with pytest.raises(TooFewDevices, match="5 are asked for, but Ray has 2"):
        check_trainers(config, "CPU", nodes_may_join=False)
    if "search" in pipeline:
        (note,) = check_trainers(config, "CPU", nodes_may_join=True)
        assert "waits for them to join" in note
    else:
        with pytest.raises(TooFewDevices):
            check_trainers(config, "CPU", nodes_may_join=True)
        # A driver that was restarted: a node has died since it began.
        assert check_trainers(config, "CPU", nodes_may_join=True, under_way=True)


def test_a_rank_table_is_for_a_run_on_npus(mixed_cluster, tmp_path):
    path = tmp_path / "hccl.json"
    device = {"device_id": "0", "device_ip": "192.98.92.1", "rank_id": "0"}
    path.write_text(json.dumps({"version": "1.0", "server_list": [{"server_id": "10.1.1.1", "device": [device]}]}))
    config = config_of(runtime={"rank_table": str(path)})
    # Nodes with them may still join.
    (note,) = check_trainers(config, "NPU", nodes_may_join=True)
    assert "server 10.1.1.1 is no node with NPUs of Ray's cluster" in note
    with pytest.raises(UserError, match=r"server 10\.1\.1\.1 is no node") as raised:
        check_trainers(config, "CPU", nodes_may_join=True)
    assert not isinstance(raised.value, TooFewDevices)


def test_a_rank_table_that_cannot_be_read_is_told_at_once_on_a_cluster_too(mixed_cluster, tmp_path):
    table = tmp_path / "hccl.json"
    table.write_text("{")
    config = config_of(runtime={"rank_table": str(table)})
    with pytest.raises(UserError, match=r"hccl\.json, line 1"):
        check_trainers(config, "NPU", nodes_may_join=True)
