"""All faults of a file in the reference's layout are told at once, and none that follows from another."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_config_reference_releases import RELEASES, faults, loaded, with_change


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    content = copy.deepcopy(RELEASES["0.9.3"])
    content["nas"]["trainer"]["metric"]["type"] = "accuracy"
    content["nas"]["trainer"]["optim"]["type"] = "SGD"
    content["nas"]["search_algorithm"]["policy"] |= {"num_generation": "2", "mutation_rate": 5}
    content["nas"]["search_space"]["esrbody"].pop("G0")
    content["nas"]["dataset"]["train"]["subfile"] = "names.txt"
    content["fully_train"]["pipe_step"]["type"] = "HpoPipeStep"
    content["fully_train"]["trainer"]["lr_scheduler"]["milestones"] = 4
    content["general"]["quota"] = "flops < 10"
    keys = {line.partition(": ")[0] for line in faults(tmp_path, content)}
    assert keys == {
        "general.quota",
        "fully_train.pipe_step.type",
        "nas.search_algorithm.policy.num_generation",
        "nas.search_space.esrbody.G0",
        "nas.dataset.train.subfile",
        "nas.trainer.metric.type",
        "nas.trainer.optim.type",
        "fully_train.trainer.lr_scheduler.milestones",
        " (translated from the reference's layout)",  # the schema, of evolution.mutation_rate
    }


def test_a_fault_hides_no_fault_of_other_sections_and_makes_none_up(tmp_path: Path) -> None:
    content = copy.deepcopy(RELEASES["1.3"])
    content["nas"]["search_algorithm"]["range"]["min_active"] = "five"
    content["nas"]["search_space"]["esrbody"]["conv_num"] = "4"
    content["nas"]["search_algorithm"]["policy"]["num_elitism"] = 50
    lines = faults(tmp_path, content)
    assert [line.partition(": ")[0] for line in lines[:2]] == [
        "nas.search_algorithm.range.min_active",
        "nas.search_space.esrbody.conv_num",
    ]
    (last,) = lines[2:]
    assert "num_elitism (50) is greater than num_individual (6)" in last


def test_a_missing_folder_is_one_fault(tmp_path: Path) -> None:
    content = copy.deepcopy(RELEASES["1.3"])
    del content["nas"]["dataset"]["train"]["root_HR"]
    assert faults(tmp_path, content) == [
        "nas.dataset.train.root_HR: is missing; give the folder of HR pictures",
    ]


def test_benchmarks_without_folders_are_a_fault_each(tmp_path: Path) -> None:
    content = copy.deepcopy(RELEASES["0.9.3"])
    content["pipeline"] += ["benchmark_Set5", "benchmark_Set14"]
    content["benchmark_Set5"]["dataset"] = {"type": "Set5", "test": {"upscale": 2}}
    content["benchmark_Set14"] = {**content["benchmark_Set5"], "dataset": {"ref": "benchmark_Set5.dataset"}}
    assert faults(tmp_path, content) == [
        f"benchmark_{name}.dataset.test.root_HR: is missing; give the folder of HR pictures"
        for name in ("Set5", "Set14")
    ]


def test_a_ref_that_leads_nowhere_is_one_fault_beside_others(tmp_path: Path) -> None:
    content = copy.deepcopy(RELEASES["1.3"])
    content["aside"] = {"dataset": {"ref": "nas.datset"}}
    content["nas"]["dataset"] = {"ref": "aside.dataset"}
    content["nas"]["trainer"]["epochs"] = "ten"
    assert [line.partition(": ")[0] for line in faults(tmp_path, content)] == [
        "aside.dataset.ref",
        "nas.trainer.epochs",
    ]


@pytest.mark.parametrize(("value", "hint"), [("2", "write it without quotes"), ("two", None), (2.5, None)])
def test_a_number_in_quotes_is_told_how_to_write_it(tmp_path: Path, value: Any, hint: str | None) -> None:
    (line,) = faults(tmp_path, with_change("1.3", "nas.search_algorithm.policy.num_generation", value))
    assert "must be a whole number" in line
    assert line.endswith("; write it without quotes") == (hint is not None)


def test_a_whole_number_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    text = yaml.safe_dump(RELEASES["1.3"]).replace("min_params: 80000", "min_params: 8e4")
    assert loaded(tmp_path, text).config.space.min_params == 80_000


def test_a_fault_is_one_short_line_whatever_the_keys_and_values_are(tmp_path: Path) -> None:
    content = copy.deepcopy(RELEASES["1.3"])
    content["nas"]["search_algorithm"]["policy"]["num_generation"] = "many\n" * 1000
    content["nas"]["trainer"] |= {"ref": "two\nlines"}
    lines = faults(tmp_path, content)
    assert "" not in lines
    assert all(": " in line and len(line) < 1100 for line in lines)
    assert any(line.startswith("nas.trainer.ref: two\\nlines is not in this file") for line in lines)
