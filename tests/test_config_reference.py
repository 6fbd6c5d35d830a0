"""What is promised of files in the reference's layout: the same experiment in ours, and nothing dropped in silence."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import PAPER

from esr_ray.config.epochs import in_steps
from esr_ray.config.load import check_config, load_config
from esr_ray.config.reference import is_reference, translate
from esr_ray.errors import UserError

RELEASE_FILE = Path(__file__).parent.parent / "configs" / "esr_ea_reference.yml"
RELEASE: dict[str, Any] = yaml.safe_load(RELEASE_FILE.read_text(encoding="utf-8"))
DIV2K = "/cache/datasets/DIV2K"


def changed(changes: dict[str, Any] | None = None, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The release's file with other values at key paths, and without some."""
    content = copy.deepcopy(RELEASE)
    for key, value in (changes or {}).items():
        *above, last = key.split(".")
        section = content
        for part in above:
            section = section.setdefault(part, {})
        section[last] = value
    for key in without:
        *above, last = key.split(".")
        section = content
        for part in above:
            section = section[part]
        del section[last]
    return content


def sections(content: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all sections."""
    found = [above] if above else []
    for key, value in content.items():
        if isinstance(value, dict):
            found += sections(value, (*above, key))
    return found


def leaves(content: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, value in content.items():
        found += leaves(value, (*above, key)) if isinstance(value, dict) else [(*above, key)]
    return found


def warnings_of(content: dict[str, Any]) -> tuple[str, ...]:
    native, warnings = translate(content, "user.yml")
    check_config(native, "user.yml")
    return warnings


def fault_of(content: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        translate(content, "user.yml")
    assert str(caught.value).startswith("user.yml: ")
    return str(caught.value)


def test_release_file_means_the_same_experiment() -> None:
    loaded = load_config(RELEASE_FILE)
    schedule = {"type": "multistep", "gamma": 0.5}
    training = {"batch_size": 16, "crop_size": 64, "learning_rate": 1e-4}
    expected = {
        "seed": 10,
        "pipeline": ["search", "full_training", "benchmarks"],
        "task": {"name": "super_resolution", "scale": 2},
        "space": {
            "node_num": 20,
            "min_active": 16,
            "base_channels": 32,
            "global_skip": "none",
            "block_types": ["S", "G", "C"],
            "conv_num": [4, 6, 8],
            "growth_rate": [8, 16, 24, 32],
            "type_prob": [1, 1, 1],
            "conv_prob": [1, 1, 1],
            "growth_prob": [1, 1, 1, 1],
            "min_params": 315_000,
            "max_params": 325_000,
            "budget_counting": "exact",
        },
        "evolution": {
            "num_generation": 20,
            "num_individual": 8,
            "num_elitism": 4,
            "mutation_rate": 0.05,
            "selection": "roulette",
            **PAPER,
        },
        "data": {
            "train": {"hr": f"{DIV2K}/div2k_train/hr", "lr": f"{DIV2K}/div2k_train/lr"},
            "validation": {"hr": f"{DIV2K}/div2k_valid/hr", "lr": f"{DIV2K}/div2k_valid/lr"},
            "test": {"hr": f"{DIV2K}/Set5/hr", "lr": f"{DIV2K}/Set5/lr"},
            "validation_size": 64,
        },
        "fast_training": {**training, "epochs": 500, "schedule": {**schedule, "milestones": [100, 200]}},
        "full_training": {
            **training,
            "epochs": 15_000,
            "schedule": {**schedule, "milestones": [8_000, 12_000, 13_500, 14_500]},
        },
        "benchmarks": [
            # Not the release's own pair, valid/hr with train/lr.
            {"name": "DIV2K", "hr": f"{DIV2K}/div2k_valid/hr", "lr": f"{DIV2K}/div2k_valid/lr"},
            {"name": "Set14", "hr": f"{DIV2K}/Set14/hr", "lr": f"{DIV2K}/Set14/lr"},
            {"name": "BSDS100", "hr": f"{DIV2K}/BSDS100/hr", "lr": f"{DIV2K}/BSDS100/lr"},
        ],
    }
    assert translate(copy.deepcopy(RELEASE), "user.yml")[0] == expected
    assert loaded.config == check_config(expected, "expected")


def test_release_file_is_warned_of_in_full() -> None:
    about = [line.split(": ")[0] for line in warnings_of(RELEASE)]
    assert about == [
        "nas.search_algorithm.range",
        "benchmark_DIV2K.dataset.test.root_LR",
        "benchmark_Set5.dataset.test",
        "benchmark_DIV2K.dataset.test",
        "nas.dataset.test.crop",
        "general.backend",
        "nas.trainer.cuda",
        ", ".join(
            f"{step}.pipe_step.models_folder"
            for step in ("fully_train", "benchmark_DIV2K", "benchmark_Set5", "benchmark_Set14", "benchmark_BSDS100")
        ),
    ]


def test_translation_leaves_its_input_alone() -> None:
    content = copy.deepcopy(RELEASE)
    translate(content, "user.yml")
    assert content == RELEASE


@pytest.mark.parametrize(
    "content",
    [
        RELEASE,
        {"pipeline": ["eval"], "eval": {"pipe_step": {"type": "TrainPipeStep"}}},
        {"nas": {"trainer": {"epochs": 3}}},
        {"general": {"backend": "mindspore"}},
        {"pipeline": ["nas"]},
    ],
)
def test_reference_files_are_recognised(content: dict[str, Any]) -> None:
    assert is_reference(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"data": {"hr": "x"}},
        {"pipeline": ["search"], "data": {"hr": "x"}},
        {"pipeline": ["serach", "benchmarks"], "dta": {"hr": "x"}},
        {"data": {"hr": "x"}, "fully_train": {"steps": 400}},
        {"data": {"hr": "x"}, "general": {"seed": 1}},
        {"data": {"hr": "x"}, "pipeline": ["nas"]},
        {"data": None, "nas": {"node_num": 20}},
        {"evoluton": {"num_generation": 20}, "nas": None},
    ],
)
def test_native_files_with_typos_are_not(content: dict[str, Any]) -> None:
    assert not is_reference(content)


# --- refs


def test_ref_merges_deeply_and_local_keys_win() -> None:
    content = changed(
        {"fully_train.dataset": {"ref": "nas.dataset", "train": {"batch_size": 32}}}, without=("nas.trainer.cuda",)
    )
    native, warnings = translate(content, "user.yml")
    assert (native["fast_training"]["batch_size"], native["full_training"]["batch_size"]) == (16, 32)
    assert native["full_training"]["crop_size"] == 64
    assert native["full_training"]["epochs"] == 15_000
    assert not any("fully_train.dataset" in line for line in warnings)


def test_refs_are_followed_to_refs_whatever_their_order() -> None:
    content = changed({"fully_train.trainer": {"ref": "aside.trainer"}, "aside": {"trainer": {"ref": "nas.trainer"}}})
    content = {"aside": content.pop("aside"), **content}
    native, _ = translate(content, "user.yml")
    assert native["full_training"] == native["fast_training"]


def test_an_empty_local_section_does_not_hide_what_a_ref_brings() -> None:
    content = changed({"fully_train.dataset": {"train": {}, "ref": "nas.dataset"}})
    assert translate(content, "user.yml")[0] == translate(copy.deepcopy(RELEASE), "user.yml")[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fully_train.dataset.ref": "nas.datset"}, "fully_train.dataset.ref: nas.datset is not in this file"),
        ({"fully_train.dataset.ref": "nas.trainer.epochs"}, "is a value, not a section"),
        ({"fully_train.dataset.ref": 3}, "is not a key path"),
        ({"nas.dataset.ref": "fully_train.dataset"}, "leads back to itself"),
        ({"nas.dataset.ref": "nas.dataset"}, "nas.dataset.ref: nas.dataset leads back to itself"),
        ({"nas.dataset.ref": "nas"}, "leads back to itself"),
    ],
)
def test_ref_that_leads_nowhere_is_an_error(changes: dict[str, Any], said: str) -> None:
    assert said in fault_of(changed(changes))


@pytest.mark.parametrize("key", ["fully_train.trainer.optimizer.ref", "fully_train.ref", "general.worker.ref"])
def test_ref_elsewhere_than_on_a_direct_child_of_a_step_is_reported(key: str) -> None:
    assert any(f"{key}: ignored" in line for line in warnings_of(changed({key: "nas.trainer.optimizer"})))


# --- nothing dropped in silence


@pytest.mark.parametrize("section", sections(RELEASE), ids=".".join)
def test_unknown_key_in_any_section_is_named(section: tuple[str, ...]) -> None:
    key = ".".join((*section, "surprise"))
    assert f"{key}: has no counterpart, ignored" in warnings_of(changed({key: 1}))


def test_unknown_key_at_the_top_is_named() -> None:
    assert "surprise: has no counterpart, ignored" in warnings_of(changed({"surprise": 1}))
    assert any(
        line.startswith("surprise: the pipeline does not name") for line in warnings_of(changed({"surprise.a": 1}))
    )


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_other_value_changes_the_result_is_refused_or_is_named(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path in leaves(RELEASE) if path[0] != "pipeline"]))
    other = data.draw(st.sampled_from(["other", 7, 0.25, False, ["other"], [7], None]))
    key = ".".join(path)
    before, warnings_before = translate(copy.deepcopy(RELEASE), "user.yml")
    section: Any = RELEASE
    for part in path:
        section = section[part]
    if section == other:
        return
    try:
        after, warnings = translate(changed({key: other}), "user.yml")
    except UserError:
        return
    says_nothing = {"fixed_size", "models_folder", "backend", "cuda"}
    means_default = other is None or key.endswith("dataset.type")
    assert after != before or warnings != warnings_before or path[-1] in says_nothing or means_default


# --- what the pipeline names


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        (["fully_train", "benchmark_Set5"], "which `search` needs for now"),
        (["nas", "fully_train", "benchmark_Set6"], "names benchmark_Set6, but the file has no section"),
        (["nas", "benchmark_Set5"], "put fully_train before it"),
        (["nas", "nas"], "a run has one"),
        ([], "pipeline: is missing"),
        ("nas", "must be a list"),
        (["nas", "general"], "general.pipe_step.type: is missing"),
    ],
)
def test_pipeline_that_cannot_run_is_an_error(pipeline: Any, said: str) -> None:
    assert said in fault_of(changed({"pipeline": pipeline}))


def test_eval_file_is_refused() -> None:
    step = {
        "pipe_step": {"type": "TrainPipeStep"},
        "dataset": RELEASE["nas"]["dataset"],
        "trainer": {"with_train": False},
    }
    assert "which `search` needs for now" in fault_of({"pipeline": ["eval"], "eval": step})


def test_pipeline_runs_in_our_order_and_says_so() -> None:
    content = changed({"pipeline": ["fully_train", "nas"]})
    native, warnings = translate(content, "user.yml")
    assert native["pipeline"] == ["search", "full_training"]
    assert any(line.startswith("pipeline: ['fully_train', 'nas'] runs in the order") for line in warnings)


def test_search_alone_takes_its_test_set_from_a_benchmark_that_does_not_run() -> None:
    native, warnings = translate(changed({"pipeline": ["nas"]}), "user.yml")
    assert native["pipeline"] == ["search"]
    assert native["data"]["test"]["hr"] == f"{DIV2K}/Set5/hr"
    assert native["benchmarks"] == []
    assert "full_training" not in native
    assert any(line.startswith("fully_train: the pipeline does not name it") for line in warnings)


# --- pictures


def test_no_possible_test_set_is_an_error_that_says_what_to_add() -> None:
    content = changed(
        {"pipeline": ["nas", "fully_train", "benchmark_DIV2K"]},
        without=("benchmark_Set5", "benchmark_Set14", "benchmark_BSDS100"),
    )
    assert "add a step such as benchmark_Set5" in fault_of(content)


def test_validating_on_the_training_pictures_is_an_error() -> None:
    said = fault_of(changed({"nas.dataset.test.root_HR": f"{DIV2K}/div2k_train/../div2k_train/hr/"}))
    assert said.startswith("user.yml: nas.dataset.test.root_HR: is what nas trains on")


@pytest.mark.parametrize(
    ("hr", "lr", "used"),
    [
        ("/d/DIV2K_test_HR", "/d/DIV2K_train_LR_bicubic/X2", False),
        ("/d/validation/hr", "/d/training/lr", False),
        ("/d/a", f"{DIV2K}/div2k_train/lr", False),
        ("/d/train/test/hr", "/d/train/test/lr", True),
        ("/d/valid/hr", "/d/val/lr", True),
        ("/d/latest/hr", "/d/trained/lr", True),
        ("/d/hr", "/d/train/lr", True),
    ],
)
def test_lr_pictures_of_another_split_are_not_used(hr: str, lr: str, used: bool) -> None:
    content = changed({"benchmark_Set14.dataset.test.root_HR": hr, "benchmark_Set14.dataset.test.root_LR": lr})
    native, warnings = translate(content, "user.yml")
    found = next(one for one in native["benchmarks"] if one["name"] == "Set14")
    assert found == {"name": "Set14", "hr": hr} | ({"lr": lr} if used else {})
    assert used != any(line.startswith("benchmark_Set14.dataset.test.root_LR: ") for line in warnings)


def test_epochs_are_those_of_the_pictures_that_are_there() -> None:
    config, notes = in_steps(check_config(translate(RELEASE, "user.yml")[0], "user.yml"), 40)
    assert config.fast_training.steps == 500 * 2
    assert config.fast_training.schedule.milestones == (200, 400)
    assert config.full_training.steps == 15_000 * 2
    assert any("500 epochs of 2 batches (40 pictures" in line for line in notes)


# --- what is refused, what is said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nas.trainer.optimizer.type", "SGD"),
        ("fully_train.trainer.optimizer.type", "SGD"),
        ("nas.trainer.loss.type", "MSELoss"),
        ("nas.trainer.lr_scheduler.type", "CosineAnnealingLR"),
        ("nas.trainer.metric.type", "accuracy"),
        ("nas.trainer.type", "DistilTrainer"),
        ("fully_train.trainer.with_train", False),
        ("nas.search_space.esrbody.type", "MtMSR"),
        ("nas.search_space.modules", ["backbone"]),
        ("nas.search_algorithm.type", "RandomSearch"),
        ("nas.search_algorithm.codec", "QuantCodec"),
        ("nas.pipe_step.type", "HpoPipeStep"),
        ("nas.dataset.train.upscale", 4),
        ("nas.dataset.test.upscale", 4),
        ("nas.dataset.train.subfile", "names.txt"),
        ("nas.dataset.train.batch_size", "16"),
        ("nas.dataset.train.batch_size", 0),
        ("nas.dataset.train.crop", {"lr": 64}),
        ("nas.dataset.train.hflip", 1),
        ("nas.trainer.lr_scheduler.params.milestones", 100),
        ("nas.trainer.lr_scheduler.params.milestones", [100, True]),
        ("nas.dataset.train.root_HR", None),
        ("nas.search_space.esrbody.G0", None),
        ("nas.search_algorithm.range.min_params", 400_000),
        ("fully_train.dataset.train", {"root_HR": "/other"}),
    ],
)
def test_what_ours_does_not_have_is_an_error_that_names_the_key(key: str, value: Any) -> None:
    assert key in fault_of(changed({key: value}))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("general.parallel_search", False, "always trained in parallel"),
        ("general.parallel_fully_train", False, "runtime.trainers"),
        ("nas.dataset.train.hflip", False, "ours always flips"),
        ("nas.dataset.train.vflip", False, "ours always flips"),
        ("nas.dataset.train.rot90", False, "ours always transposes"),
        ("nas.dataset.train.shuffle", False, "ours always draws crops at random"),
        ("nas.dataset.train.fixed_size", False, "crops of one size"),
        ("nas.dataset.type", "MyPictures", "read as folders of pictures"),
        ("nas.trainer.callbacks", ["Mine"], "there are no callbacks"),
        ("nas.trainer.scale", 4, "4 is ignored, 2 is used"),
        ("nas.trainer.metric.params.scale", 4, "4 is ignored, 2 is used"),
        ("nas.trainer.metric.params.max_rgb", 1, "8-bit"),
        ("nas.trainer.optimizer.params.weight_decay", 0.1, "has no counterpart"),
        ("fully_train.trainer.seed", 11, "a run has one seed"),
        ("fully_train.trainer.node_num", 19, "as the search found them"),
        ("fully_train.trainer.range.node_num", 19, "as the search found them"),
        ("fully_train.dataset.test", {"crop": 32}, "has no counterpart"),
        ("fully_train.evaluator.host_evaluator.metric.type", "accuracy", "are always reported"),
        ("benchmark_DIV2K.evaluator.host_evaluator.metric.params.scale", 4, "border"),
        ("benchmark_Set5.dataset.test.crop", 32, "whole pictures"),
    ],
)
def test_what_changes_nothing_is_said(key: str, value: Any, said: str) -> None:
    new = set(warnings_of(changed({key: value}))) - set(warnings_of(RELEASE))
    assert len(new) == 1
    assert key in new.copy().pop()
    assert said in new.pop()


def test_budget_warning_says_how_to_count_as_the_reference_does() -> None:
    (line,) = [line for line in warnings_of(RELEASE) if line.startswith("nas.search_algorithm.range: ")]
    for part in ("without biases", "first block only", "324-340 K", "--set space.budget_counting=reference"):
        assert part in line


def test_missing_values_take_the_references_defaults_and_one_warning_names_them() -> None:
    native, warnings = translate(
        changed(without=("nas.search_algorithm.policy", "nas.search_algorithm.range", "nas.dataset.train.batch_size")),
        "user.yml",
    )
    check_config(native, "user.yml")
    assert native["evolution"] == {
        "num_generation": 2,
        "num_individual": 4,
        "num_elitism": 2,
        "mutation_rate": 0.05,
        "selection": "roulette",
        **PAPER,
    }
    space = native["space"]
    assert (space["node_num"], space["min_active"]) == (20, 16)
    assert (space["min_params"], space["max_params"]) == (1_010_000, 1_020_000)
    (line,) = [line for line in warnings if line.startswith("not in the file: ")]
    assert "nas.search_algorithm.range.max_params = 1020000" in line
    assert "nas.dataset.train.batch_size = 16" in line


def test_missing_flags_are_said_once() -> None:
    lines = warnings_of(changed(without=("nas.dataset.train.hflip",)))
    assert [line for line in lines if "hflip" in line] == [
        "nas.dataset.train.hflip: not in the file, which there means false; ours always flips, with p = 0.5"
    ]


def test_full_training_without_a_dataset_takes_the_searchs() -> None:
    native, warnings = translate(changed(without=("fully_train.dataset",)), "user.yml")
    assert native["full_training"]["crop_size"] == 64
    assert "fully_train.dataset: is missing, nas.dataset is used" in warnings


def test_dataset_written_out_a_second_time_needs_no_warning() -> None:
    content = changed({"fully_train.dataset": copy.deepcopy(RELEASE["nas"]["dataset"])})
    assert warnings_of(content) == warnings_of(RELEASE)


def test_missing_lr_folder_means_bicubic_and_is_said() -> None:
    native, warnings = translate(changed(without=("nas.dataset.train.root_LR",)), "user.yml")
    assert native["data"]["train"] == {"hr": f"{DIV2K}/div2k_train/hr"}
    assert any(line.startswith("nas.dataset.train.root_LR: is not in the file") for line in warnings)
