"""Files in the layouts of the reference's older releases (Vega 0.9.3 to 1.3) are read value by value."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from esr_ray.config.load import Loaded, load_config
from esr_ray.config.reference import translate
from esr_ray.errors import UserError

# What all releases have in common; the values are none of the reference's own, so that a default would be seen.
SEARCHED: dict[str, Any] = {
    "dataset": {
        "type": "DIV2K",
        "train": {
            "root_HR": "d/train/hr",
            "root_LR": "d/train/lr",
            "upscale": 2,
            "crop": 48,
            "hflip": True,
            "vflip": True,
            "rot90": True,
            "shuffle": True,
            "batch_size": 12,
        },
        "test": {"root_HR": "d/valid/hr", "root_LR": "d/valid/lr", "upscale": 2},
    },
    "search_space": {
        "type": "SearchSpace",
        "modules": ["esrbody"],
        "esrbody": {"block_type": ["S", "G"], "conv_num": [2, 4], "growth_rate": [8, 16], "G0": 24, "scale": 2},
    },
    "search_algorithm": {
        "type": "ESRSearch",
        "codec": "ESRCodec",
        "policy": {"num_generation": 3, "num_individual": 6, "num_elitism": 1, "mutation_rate": 0.07},
        "range": {"node_num": 9, "min_active": 5, "max_params": 90_000, "min_params": 80_000},
    },
}
SET5 = {"type": "Set5", "test": {"root_HR": "d/Set5/hr", "root_LR": "d/Set5/lr", "upscale": 2}}
BEST = "{local_base_path}/output/nas/selected_arch.npy"


def trainer(optimizer: str, metric: str, epochs: int, params: bool) -> dict[str, Any]:
    """A section trainer; before Vega 1.0 there was no `params` in it."""

    def section(kind: str, values: dict[str, Any]) -> dict[str, Any]:
        return {"type": kind, "params": values} if params else {"type": kind, **values}

    return {
        "type": "Trainer",
        "callbacks": "ESRTrainerCallback",
        "epochs": epochs,
        optimizer: section("Adam", {"lr": 0.0007}),
        "lr_scheduler": section("MultiStepLR", {"milestones": [3, 5], "gamma": 0.4}),
        "loss": {"type": "L1Loss"},
        "metric": section(metric, {"scale": 2, "max_rgb": 255}),
        "scale": 2,
        "seed": 7,
    }


def a_file(
    name: str, nas: str, full: str, trained: list[Any], full_step: dict[str, Any], **more: Any
) -> dict[str, Any]:
    searched = copy.deepcopy(SEARCHED)
    searched["search_space"]["esrbody"][name] = "ESRN"
    return {
        "pipeline": ["nas", "fully_train"],
        "nas": {"pipe_step": {"type": nas}, **searched, "trainer": trainer(*trained[:2], 10, trained[2])},
        "fully_train": {
            "pipe_step": {"type": full, **full_step},
            "dataset": {"ref": "nas.dataset"},
            "trainer": trainer(*trained[:2], 20, trained[2]),
        },
        "benchmark_Set5": {"pipe_step": {"type": "BenchmarkPipeStep"}, "dataset": SET5},
        **more,
    }


def gpu_evaluator(kind: str, metric: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Evaluator", "gpu_evaluator": {"type": kind, "metric": {"type": "SRMetric", **metric}}}


RELEASES: dict[str, dict[str, Any]] = {
    "0.9.3": a_file(
        "name",
        "NasPipeStep",
        "FullyTrainPipeStep",
        ["optim", "SRMetric", False],
        {"esr_models_file": BEST},
        general={"worker": {"gpus_per_job": 1}},
    ),
    "1.0": a_file(
        "name",
        "NasPipeStep",
        "FullyTrainPipeStep",
        ["optim", "SRMetric", True],
        {"esr_models_file": BEST},
        general={"worker": {"devices_per_job": 1}},
    ),
    "1.2": a_file(
        "type",
        "NasPipeStep",
        "FullyTrainPipeStep",
        ["optimizer", "SRMetric", True],
        {"models_folder": "{local_base_path}/output/nas/"},
        general={"parallel_search": True, "parallel_fully_train": True},
    ),
    "1.3": a_file(
        "type",
        "SearchPipeStep",
        "TrainPipeStep",
        ["optimizer", "PSNR", True],
        {"models_folder": "{local_base_path}/output/nas/"},
        general={"parallel_search": True, "parallel_fully_train": True},
    ),
}
RELEASES["0.9.3"]["benchmark_Set5"]["evaluator"] = gpu_evaluator(
    "EsrGpuEvaluator", {"method": "psnr", "crop_border": 2, "max_rgb": 255}
)
RELEASES["1.0"]["nas"]["evaluator"] = gpu_evaluator("GpuEvaluator", {"params": {"scale": 2, "max_rgb": 255}})
every_release = pytest.mark.parametrize("release", RELEASES)


def with_change(release: str, key: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(RELEASES[release])
    *above, last = key.split(".")
    section = content
    for part in above:
        section = section.setdefault(part, {})
    section[last] = value
    return content


def written(tmp_path: Path, content: dict[str, Any] | str) -> Path:
    path = tmp_path / "user.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def loaded(tmp_path: Path, content: dict[str, Any] | str, *overrides: str) -> Loaded:
    return load_config(written(tmp_path, content), overrides)


def faults(tmp_path: Path, content: dict[str, Any] | str) -> list[str]:
    """What is wrong with a file, without the file's name, which each line begins with."""
    path = written(tmp_path, content)
    with pytest.raises(UserError) as caught:
        load_config(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(path)) for line in lines)
    return [line.removeprefix(str(path)).removeprefix(": ") for line in lines]


@every_release
def test_every_value_of_a_release_arrives(tmp_path: Path, release: str) -> None:
    config = loaded(tmp_path, RELEASES[release]).config
    for training, epochs in ((config.fast_training, 10), (config.full_training, 20)):
        schedule = training.schedule.model_dump()
        assert (training.epochs, training.batch_size, training.crop_size) == (epochs, 12, 48)
        assert (training.learning_rate, schedule["milestones"], schedule["gamma"]) == (0.0007, (3, 5), 0.4)
    space, evolution = config.space, config.evolution
    assert (space.node_num, space.min_active, space.base_channels) == (9, 5, 24)
    assert (space.min_params, space.max_params) == (80_000, 90_000)
    assert (space.block_types, space.conv_num, space.growth_rate) == (("S", "G"), (2, 4), (8, 16))
    assert (evolution.num_generation, evolution.num_individual, evolution.num_elitism) == (3, 6, 1)
    assert (evolution.mutation_rate, config.seed) == (0.07, 7)
    assert config.data.train is not None
    assert config.data.train.hr == "d/train/hr"


@every_release
def test_nothing_of_a_release_is_replaced_by_a_default_or_has_no_counterpart(tmp_path: Path, release: str) -> None:
    warnings = loaded(tmp_path, RELEASES[release]).warnings
    assert not [line for line in warnings if "not in the file" in line or "no counterpart" in line]


@pytest.mark.parametrize("release", ["0.9.3", "1.0", "1.2"])
def test_older_names_mean_what_todays_mean(release: str) -> None:
    assert translate(RELEASES[release], "user.yml")[0] == translate(RELEASES["1.3"], "user.yml")[0]


def test_a_value_under_its_old_and_its_new_name_must_be_one(tmp_path: Path) -> None:
    same = with_change("0.9.3", "nas.trainer.optimizer", {"params": {"lr": 0.0007}})
    assert loaded(tmp_path, same).config.fast_training.learning_rate == 0.0007
    (line,) = faults(tmp_path, with_change("0.9.3", "nas.trainer.optimizer", {"params": {"lr": 0.002}}))
    assert "nas.trainer.optimizer.params.lr" in line
    assert "nas.trainer.optim.lr" in line
    assert line.endswith("remove one")


def test_a_local_value_under_its_old_name_wins_over_a_refs_under_the_new_one(tmp_path: Path) -> None:
    content = with_change("1.3", "fully_train.trainer", {"ref": "nas.trainer", "optim": {"lr": 0.003}})
    config = loaded(tmp_path, content).config
    assert (config.fast_training.learning_rate, config.full_training.learning_rate) == (0.0007, 0.003)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nas.trainer.optim.type", "SGD"),
        ("nas.trainer.metric.type", "accuracy"),
        ("nas.trainer.metric.method", "ssim"),
        ("nas.search_space.esrbody.name", "MtMSR"),
        ("nas.trainer.optim.lr", "fast"),
        ("nas.trainer.lr_scheduler.milestones", 3),
    ],
)
def test_what_is_wrong_under_an_older_name_is_told_under_that_name(tmp_path: Path, key: str, value: Any) -> None:
    (line,) = faults(tmp_path, with_change("0.9.3", key, value))
    assert line.startswith(f"{key}: ")


def test_the_evaluators_of_older_releases_are_read(tmp_path: Path) -> None:
    key = "benchmark_Set5.evaluator.gpu_evaluator.metric.crop_border"
    content = with_change("0.9.3", key, 4)
    content["pipeline"].append("benchmark_Set5")
    (line,) = [line for line in loaded(tmp_path, content).warnings if line.startswith(key)]
    assert "4 is ignored, 2 is used" in line


def test_a_network_that_full_training_describes_again_is_compared_with_the_searchs(tmp_path: Path) -> None:
    described = copy.deepcopy(RELEASES["0.9.3"]["nas"]["search_space"])
    content = with_change("0.9.3", "fully_train.model", {"model_desc": described})
    assert not [line for line in loaded(tmp_path, content).warnings if "fully_train.model" in line]
    described["esrbody"]["G0"] = 64
    (line,) = [line for line in loaded(tmp_path, content).warnings if "fully_train.model" in line]
    assert line.startswith("fully_train.model.model_desc.esrbody.G0: 64 is ignored")


def test_what_a_dataset_says_in_common_holds_for_its_splits(tmp_path: Path) -> None:
    content = with_change("1.3", "nas.dataset.common", {"batch_size": 5, "upscale": 2, "crop": 40})
    del content["nas"]["dataset"]["train"]["batch_size"]
    found = loaded(tmp_path, content)
    assert (found.config.fast_training.batch_size, found.config.full_training.batch_size) == (5, 5)
    assert found.config.fast_training.crop_size == 48, "a split's own value wins"
    assert not [line for line in found.warnings if "common" in line and "no counterpart" in line]
    (line,) = faults(tmp_path, with_change("1.3", "nas.dataset.common", {"subfile": "names.txt"}))
    assert line.startswith("nas.dataset.common.subfile: ")


def test_the_pictures_of_val_choose_the_winner_where_a_dataset_has_them(tmp_path: Path) -> None:
    content = with_change("1.3", "nas.dataset.val", {"root_HR": "d/chosen/hr", "root_LR": "d/chosen/lr", "crop": 32})
    data = loaded(tmp_path, content).config.data
    assert data.validation is not None
    assert data.validation.hr == "d/chosen/hr"
    assert data.validation_size == 32


@pytest.mark.parametrize(
    ("key", "value", "belongs"),
    [
        ("nas.dataset.batch_size", 5, "nas.dataset.train.batch_size"),
        ("nas.trainer.lr", 0.0007, "nas.trainer.optimizer.params.lr"),
        ("nas.trainer.milestones", [3, 5], "nas.trainer.lr_scheduler.params.milestones"),
    ],
)
def test_a_value_in_a_place_that_is_not_read_is_not_replaced_by_a_default(
    tmp_path: Path, key: str, value: Any, belongs: str
) -> None:
    content = with_change("1.3", key, value)
    content["fully_train"]["dataset"] = copy.deepcopy(SEARCHED["dataset"])
    *above, last = belongs.split(".")
    section = content
    for part in above:
        section = section[part]
    del section[last]
    assert faults(tmp_path, content) == [f"{key}: is not read here; write it as {belongs}"]


# --- Vega 1.2: benchmarks in a section of their own


def test_benchmarks_in_a_section_of_their_own_give_the_test_set(tmp_path: Path) -> None:
    content = with_change("1.2", "benchmark", {"pipeline": ["nas"], "nas": {"trainer": {"epochs": 500}}})
    content["pipeline"] = ["nas"]
    content["benchmark"]["benchmark_Set14"] = copy.deepcopy(content.pop("benchmark_Set5"))
    content["benchmark"]["benchmark_Set14"]["dataset"]["test"] |= {"root_HR": "d/Set14/hr", "root_LR": "d/Set14/lr"}
    found = loaded(tmp_path, content)
    assert found.config.data.test is not None
    assert found.config.data.test.hr == "d/Set14/hr"
    assert found.config.fast_training.epochs == 10, "what that section would change is not taken"
    assert any(line.startswith("benchmark: the reference runs it in the place of") for line in found.warnings)


# --- Vega 0.9.3: a search alone, without any benchmark


def test_a_test_set_that_the_file_does_not_have_can_be_given_beside_it(tmp_path: Path) -> None:
    content = copy.deepcopy(RELEASES["0.9.3"])
    del content["benchmark_Set5"], content["fully_train"]
    content["pipeline"] = ["nas"]
    (line,) = faults(tmp_path, content)
    assert "--set data.test.hr=FOLDER" in line
    data = loaded(tmp_path, content, "data.test.hr=d/mine").config.data
    assert data.test is not None
    assert data.test.hr == "d/mine"
    assert data.validation is not None
    assert data.validation.hr == "d/valid/hr"


# --- Vega 1.3: a key twice


def doubled(first: str, second: str) -> str:
    body = yaml.safe_dump({key: value for key, value in RELEASES["1.3"].items() if key != "general"}, sort_keys=False)
    return f"general:\n  backend: {first}\n  parallel_search: True\n  backend: {second}\n{body}"


def test_a_key_that_stands_twice_with_one_value_is_read(tmp_path: Path) -> None:
    found = loaded(tmp_path, doubled("pytorch", "'pytorch'"))
    assert found.config == loaded(tmp_path, RELEASES["1.3"]).config


def test_a_key_that_stands_twice_with_two_values_is_an_error(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, doubled("pytorch", "mindspore"))
    assert line == ", line 4, column 3: is not valid YAML: backend is given twice"


@pytest.mark.parametrize("text", ["seed: 1\nseed: 1\ndata: {hr: a}\n", "data:\n  hr: a\n  hr: a\n"])
def test_a_key_that_stands_twice_in_a_file_of_ours_is_an_error_whatever_its_values(tmp_path: Path, text: str) -> None:
    (line,) = faults(tmp_path, text)
    assert "is given twice" in line


def test_a_key_that_stands_twice_in_an_override_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not valid YAML"):
        loaded(tmp_path, {"data": {"hr": "a"}}, "space={node_num: 3, node_num: 3}")
