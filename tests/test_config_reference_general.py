"""The reference's `general` section and steps of one's own names: taken, or named in one line each."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from test_config_reference_releases import RELEASES, faults, loaded

from esr_ray.config.reference_eval import translate_eval
from esr_ray.errors import UserError


def with_general(**general: Any) -> dict[str, Any]:
    return {**copy.deepcopy(RELEASES["1.3"]), "general": general}


DOCUMENTED: list[tuple[dict[str, Any], str, str]] = [
    ({"backend": "mindspore"}, "backend", "MindSpore"),
    ({"device_category": "NPU"}, "device_category", "runtime.resource"),
    ({"parallel_search": False}, "parallel_search", "runtime.evaluators"),
    ({"parallel_fully_train": False}, "parallel_fully_train", "runtime.trainers"),
    ({"devices_per_trainer": 2}, "devices_per_trainer", "runtime.evaluators"),
    ({"worker": {"gpus_per_job": -1}}, "worker.gpus_per_job", "runtime.evaluators"),
    ({"worker": {"devices_per_job": -1}}, "worker.devices_per_job", "runtime.evaluators"),
    ({"timeout": 10}, "timeout", "runtime.candidate_timeout_s"),
    ({"worker": {"timeout": 10.0}}, "worker.timeout", "runtime.candidate_timeout_s"),
    ({"logger": {"level": "debug"}}, "logger.level", "the log has one level"),
    ({"cluster": {"master_ip": "10.0.0.1"}}, "cluster.master_ip", "--address"),
    ({"cluster": {"slaves": ["10.0.0.2"]}}, "cluster.slaves", "--address"),
    ({"cluster": {"listen_port": 8000}}, "cluster.listen_port", "--address"),
    ({"task": {"backup_base_path": "/backup"}}, "task.backup_base_path", "copy the run folder"),
    ({"clean_worker_dir": False}, "clean_worker_dir", "has no counterpart, ignored"),
]


@pytest.mark.parametrize(("general", "key", "said"), DOCUMENTED, ids=[key for _, key, _ in DOCUMENTED])
def test_a_documented_key_that_changes_nothing_is_named_in_one_line(
    tmp_path: Path, general: dict[str, Any], key: str, said: str
) -> None:
    found = loaded(tmp_path, with_general(**general))
    (line,) = set(found.warnings) - set(loaded(tmp_path, with_general(parallel_search=True)).warnings)
    assert line.startswith(f"general.{key}: ")
    assert said in line
    assert found.config == loaded(tmp_path, with_general(parallel_search=True)).config


def test_what_means_nothing_else_than_ours_needs_no_line(tmp_path: Path) -> None:
    general = {
        "parallel_search": True,
        "parallel_fully_train": True,
        "devices_per_trainer": 1,
        "worker": {"gpus_per_job": 1},
        "logger": {"level": "info"},
        "cluster": {"master_ip": None, "slaves": []},
        "task": {"backup_base_path": None},
        "quota": None,
    }
    assert not [line for line in loaded(tmp_path, with_general(**general)).warnings if "general" in line]


def test_the_task_folder_and_name_are_the_outputs(tmp_path: Path) -> None:
    content = with_general(task={"local_base_path": "./tasks", "task_id": "mine"})
    found = loaded(tmp_path, content)
    assert (found.config.output.dir, found.config.output.name) == ("./tasks", "mine")
    assert [line.split(": ")[0] for line in found.warnings if "general" in line] == [
        "general.task.local_base_path",
        "general.task.task_id",
    ]
    assert loaded(tmp_path, content, "output.dir=runs").config.output.dir == "runs"


@pytest.mark.parametrize(
    ("quota", "said"),
    [
        ("params < 20 and flops in [0, 1]", "'params < 20 and flops in [0, 1]'"),
        ({"restrict": {"flops": 10, "params": [100, 1000]}}, "restrict.flops: 10, restrict.params: [100, 1000]"),
    ],
)
def test_a_quota_is_an_error_that_says_where_its_limits_go(tmp_path: Path, quota: Any, said: str) -> None:
    (line,) = faults(tmp_path, with_general(quota=quota))
    assert line.startswith(f"general.quota: {said} rejects networks")
    for instead in ("min_params and max_params", "space.max_mult_adds", "evolution.max_latency_ms"):
        assert instead in line


# --- steps


def renamed(content: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    found = {names.get(key, key): value for key, value in content.items()}
    found["pipeline"] = [names.get(name, name) for name in content["pipeline"]]
    found[names["fully_train"]]["dataset"] = {"ref": f"{names['nas']}.dataset"}
    return found


def test_steps_may_have_names_of_ones_own(tmp_path: Path) -> None:
    names = {"nas": "my_nas", "fully_train": "my_fully_train", "benchmark_Set5": "my_figures"}
    content = renamed(copy.deepcopy(RELEASES["1.3"]), names)
    assert loaded(tmp_path, content).config == loaded(tmp_path, RELEASES["1.3"]).config


def test_of_two_search_steps_the_line_names_both_and_what_to_do(tmp_path: Path) -> None:
    content = copy.deepcopy(RELEASES["1.3"])
    content["my_nas"] = copy.deepcopy(content["nas"])
    content["pipeline"] = ["nas", "my_nas", "fully_train"]
    (line,) = faults(tmp_path, content)
    assert line.startswith("pipeline: nas and my_nas are both search")
    assert "run it from a file of its own" in line


@pytest.mark.parametrize("kind", ["HorovodTrainStep", "HcclTrainStep"])
def test_a_training_on_several_devices_is_the_full_training(tmp_path: Path, kind: str) -> None:
    content = copy.deepcopy(RELEASES["1.3"])
    content["fully_train"]["pipe_step"]["type"] = kind
    assert loaded(tmp_path, content).config == loaded(tmp_path, RELEASES["1.3"]).config


def test_an_unknown_type_of_step_does_not_hide_the_faults_of_the_step(tmp_path: Path) -> None:
    content = renamed(copy.deepcopy(RELEASES["1.3"]), {"nas": "my_nas", "fully_train": "full"})
    content["my_nas"]["pipe_step"]["type"] = "HpoPipeStep"
    content["my_nas"]["trainer"]["epochs"] = "ten"
    assert [line.partition(": ")[0] for line in faults(tmp_path, content)] == [
        "my_nas.pipe_step.type",
        "my_nas.trainer.epochs",
    ]


# --- how it is written


def test_a_tab_is_told_with_its_line_and_what_to_write(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, "general:\n\tbackend: mindspore\n")
    assert line.startswith(", line 2, column 1: ")
    assert line.endswith("indent with spaces")


# --- eval.yml

EVAL = """\
pipeline: [eval]
eval:
  pipe_step: {{type: TrainPipeStep, models_folder: {models}}}
  dataset:
    type: Set5
    {split}: {{root_HR: d/Set5/hr, root_LR: d/Set5/lr, upscale: 2}}
  trainer: {{type: Trainer, with_train: {train}}}
"""


def eval_file(tmp_path: Path, models: str = "nets", split: str = "test", train: str = "False") -> str:
    path = tmp_path / "eval.yml"
    path.write_text(EVAL.format(models=models, split=split, train=train))
    return str(path)


def test_an_empty_models_folder_is_named_for_what_it_is(tmp_path: Path) -> None:
    found = translate_eval(eval_file(tmp_path, models="~"))
    assert found.models is None
    assert "eval.pipe_step.models_folder: is empty, it names no network; --models PATH does" in found.warnings


def test_a_models_folder_is_taken_and_needs_no_line(tmp_path: Path) -> None:
    found = translate_eval(eval_file(tmp_path))
    assert found.models == "nets"
    assert not [line for line in found.warnings if "pipe_step.models_folder" in line]


def test_an_eval_file_may_say_its_pictures_in_common(tmp_path: Path) -> None:
    found = translate_eval(eval_file(tmp_path, split="common"))
    assert (found.hr, found.lr, found.scale) == ("d/Set5/hr", "d/Set5/lr", 2)


def test_all_faults_of_an_eval_file_are_told_at_once(tmp_path: Path) -> None:
    path = eval_file(tmp_path, split="train", train="True")
    with pytest.raises(UserError) as caught:
        translate_eval(path)
    assert [line.removeprefix(f"{path}: ").partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "eval.trainer.with_train",
        "eval.dataset.test.root_HR",
    ]
