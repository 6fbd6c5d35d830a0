"""Reading a configuration: what is accepted means what its writer meant, and every fault is one line that helps."""

import copy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esr_ray.config.load import check_config, key_paths, load_config, with_overrides
from esr_ray.config.paths import absolute_paths
from esr_ray.config.schema import Config, CosineSchedule, MultiStepSchedule
from esr_ray.errors import UserError
from esr_ray.runs.folder import dump_config

SHIPPED = sorted((Path(__file__).parent.parent / "configs").glob("*.yml"))
LEAST = {"data": {"hr": "photos"}}
MULTISTEP = {"type": "multistep", "milestones": [10, 20]}


def changed(changes, content=LEAST):
    """Content with other values at key paths."""
    content = copy.deepcopy(content)
    for path, value in changes.items():
        *sections, key = path.split(".")
        section = content
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    return content


def faults(content):
    """The lines of the error, each without the file that it must name first."""
    with pytest.raises(UserError) as caught:
        check_config(content, "my.yml")
    lines = str(caught.value).split("\n")
    assert all(line.startswith("my.yml: ") for line in lines)
    for internal in ("pydantic", "https", "tag", "discriminator", "FolderConfig", "literal[", "constrained", "<class"):
        assert internal not in str(caught.value)
    return [line.removeprefix("my.yml: ") for line in lines]


def fault(**changes):
    (line,) = faults(changed({path.replace("__", "."): value for path, value in changes.items()}))
    return line


def written(tmp_path, text):
    path = tmp_path / "my.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load_fault(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_config(path)
    (line,) = str(caught.value).split("\n")
    assert line.startswith(str(path))
    return line.removeprefix(str(path))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_loads(path):
    loaded = load_config(path)
    assert loaded.config.pipeline[0] == "search"
    assert bool(loaded.warnings) == (path.name == "esr_ea_reference.yml")


def test_shipped_files_were_found():
    assert {"demo.yml", "esr_ea_x2.yml", "esr_ea_reference.yml"} <= {path.name for path in SHIPPED}


# Unknown keys.


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("spacee", "space"),
        ("evolution.num_genration", "evolution.num_generation"),
        ("data.split.tst", "data.split.test"),
        ("fast_training.schedul", "fast_training.schedule"),
        ("evolution.batch_size", "fast_training.batch_size"),
        ("batch_size", "fast_training.batch_size"),
        ("full_training.scale", "task.scale"),
        ("benchmark", "benchmarks"),
    ],
)
def test_unknown_key_is_answered_with_the_nearest_valid_one(path, meant):
    assert fault(**{path: 1}) == f"{path}: unknown key; did you mean {meant}?"


def test_unknown_key_in_a_list_is_named_with_its_place():
    sets = [{"name": "Set5", "hr": "a"}, {"name": "Set14", "hr": "b", "lrr": "c"}]
    assert fault(benchmarks=sets) == "benchmarks.1.lrr: unknown key; did you mean benchmarks.1.lr?"


def test_unknown_key_like_no_other_is_answered_with_those_of_its_section():
    line = fault(evolution__zzz=1)
    assert line.startswith("evolution.zzz: unknown key; known here are founders, ")
    assert ", mutation_rate, " in line
    assert "num_generation" in line
    assert fault(fast_training__schedule={**MULTISTEP, "zzz": 1}) == (
        "fast_training.schedule.zzz: unknown key; known here are gamma, milestones, type"
    )


def test_key_named_as_a_kind_of_schedule_is_still_named():
    assert fault(fast_training__cosine=1).startswith("fast_training.cosine: unknown key; ")


def test_mistyped_key_that_must_be_there_is_one_fault():
    with_typo = changed({"data": {"train": {"hrr": "a"}, "validation": {"hr": "b"}, "test": {"hr": "c"}}})
    assert faults(with_typo) == ["data.train.hrr: unknown key; did you mean data.train.hr?"]
    assert faults({"dta": {"hr": "a"}}) == ["dta: unknown key; did you mean data?"]


# Types and ranges.


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        ("evolution.num_generation", "3", "a valid integer, got '3'"),
        ("evolution.num_generation", 1.5, "a valid integer, got 1.5"),
        ("evolution.num_generation", True, "a valid integer, got True"),
        ("evolution.num_generation", None, "a valid integer, got None"),
        ("evolution.num_generation", [3], "a valid integer, got [3]"),
        ("evolution.mutation_rate", "0.1", "a valid number, got '0.1'"),
        ("evolution.mutation_rate", True, "a valid number, got True"),
        ("evolution", [1], "a section, got [1]"),
        ("evolution", None, "a section, got None"),
        ("data.train", "photos", "a section, got 'photos'"),
        ("data.hr", 3, "a valid string, got 3"),
        ("output.name", 2024, "a valid string, got 2024"),
        ("space.conv_num", 4, "a list, got 4"),
        ("space.block_types", "SGC", "a list, got 'SGC'"),
        ("benchmarks", {"name": "Set5"}, "a list, got {'name': 'Set5'}"),
        ("pipeline", "search", "a list, got 'search'"),
        ("task.scale", "2", "1, 2, 3 or 4, got '2'"),
        ("task.scale", 5, "1, 2, 3 or 4, got 5"),
        ("task.name", "deblurring", "'super_resolution', 'denoising', 'demosaicking' or 'user', got 'deblurring'"),
        ("evolution.num_generation", 0, "greater than or equal to 1, got 0"),
        ("evolution.mutation_rate", 0, "greater than 0, got 0"),
        ("evolution.mutation_rate", 1.1, "less than or equal to 1, got 1.1"),
        ("fast_training.learning_rate", float("inf"), "a finite number, got inf"),
        ("fast_training.learning_rate", float("nan"), "a finite number, got nan"),
        ("fast_training.crop_size", 9, "a multiple of 2, got 9"),
        ("seed", -1, "greater than or equal to 0, got -1"),
        ("seed", 2**63, f"less than {2**63}, got {2**63}"),
        ("data.split.test", 1, "less than 1, got 1"),
        ("runtime.evaluators", "all", "'auto' or a valid integer, got 'all'"),
        ("runtime.evaluators", 0, "'auto' or greater than or equal to 1, got 0"),
        ("runtime.trainers", 1.5, "'auto' or a valid integer, got 1.5"),
        ("space.max_params", "1M", "a valid integer, got '1M'"),
    ],
)
def test_wrong_value_is_told_with_what_is_wanted_and_what_was_given(path, value, wanted):
    assert fault(**{path: value}) == f"{path}: must be {wanted}"


def test_wrong_value_in_a_list_is_told_with_its_place():
    assert fault(space__conv_num=[4, "6"]) == "space.conv_num.1: must be a valid integer, got '6'"
    assert fault(space__type_prob=[1, -1, 1]).startswith("space.type_prob.1: must be greater than or equal to 0")
    assert fault(benchmarks=[3]) == "benchmarks.0: must be a section, got 3"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 2**63 - 1),
        ("evolution.mutation_rate", 1),
        ("runtime.evaluators", 2),
        ("runtime.evaluators", "auto"),
        ("fast_training.schedule", MULTISTEP),
        ("space.type_prob", [0, 1, 2.5]),
    ],
)
def test_values_at_the_edge_are_accepted(path, value):
    content = check_config(changed({path: value}), "my.yml").model_dump(mode="json")
    for key in path.split("."):
        content = content[key]
    assert content == ({"gamma": 0.5} | value if isinstance(value, dict) else value)


def test_missing_keys_are_told_with_what_they_are():
    assert faults({}) == ["data: is missing; give it"]
    assert fault(benchmarks=[{"hr": "a"}]) == (
        "benchmarks.0.name: is missing; give it (name in the report, such as Set5)"
    )
    assert fault(data__train={}) == (
        "data.train.hr: is missing; give it (folder of HR pictures, or one with HR and LR in a known layout (README))"
    )


@pytest.mark.parametrize(
    ("schedule", "line"),
    [
        ({"type": "cos"}, ": type must be 'cosine' or 'multistep', got 'cos'"),
        ({"type": 3}, ": type must be 'cosine' or 'multistep', got 3"),
        ({"warmup_steps": 3}, ": type is missing; give it ('cosine' or 'multistep')"),
        ("cosine", ": must be a section, got 'cosine'"),
        ({"type": "cosine", "warmup": 3}, ".warmup: unknown key; did you mean fast_training.schedule.warmup_steps?"),
        ({"type": "cosine", "warmup_steps": -1}, ".warmup_steps: must be greater than or equal to 0, got -1"),
        (
            {"type": "multistep"},
            ".milestones: is missing; give it (steps, or epochs where epochs are given; ascending)",
        ),
        (
            {"type": "multistep", "milestons": [3]},
            ".milestons: unknown key; did you mean fast_training.schedule.milestones?",
        ),
        ({"type": "multistep", "milestones": [20, 10]}, ": milestones must ascend, got [20, 10]"),
        ({"type": "multistep", "milestones": [10, 10]}, ": milestones must ascend, got [10, 10]"),
        ({"type": "multistep", "milestones": [0, 5]}, ".milestones.0: must be greater than or equal to 1, got 0"),
    ],
)
def test_faults_of_a_schedule_are_readable(schedule, line):
    assert fault(fast_training__schedule=schedule) == f"fast_training.schedule{line}"


def test_schedule_is_the_kind_that_it_names():
    config = check_config(changed({"fast_training.schedule": MULTISTEP}), "my.yml")
    assert config.fast_training.schedule == MultiStepSchedule(type="multistep", milestones=(10, 20))
    assert isinstance(config.full_training.schedule, CosineSchedule)


# Keys beside each other.


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"evolution": {"num_individual": 4, "num_elitism": 5}},
            "evolution: num_elitism (5) is greater than num_individual (4): "
            "the first generation could not fill the elite",
        ),
        (
            {"data.split": {"validation": 0.5, "test": 0.5}},
            "data.split: validation + test must stay below 1: nothing would be left to train on",
        ),
        ({"data.train": {"hr": "a"}}, "data: give either hr or train, not both"),
        (
            {"data": {"train": {"hr": "a"}, "test": {"hr": "b"}}},
            "data: give hr (one folder, split into three sets), or all of train, validation and test "
            "(missing: validation)",
        ),
        (
            {"data": {name: {"hr": name} for name in ("train", "validation", "test")} | {"lr": "x"}},
            "data: lr goes with hr; for separate sets give train.lr, validation.lr and test.lr",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_named(changes, line):
    assert faults(changed(changes)) == [line]


@pytest.mark.parametrize("pipeline", [[], ["full_training"], ["search", "benchmarks"], ["full_training", "search"]])
def test_pipeline_is_the_first_steps_in_order(pipeline):
    assert fault(pipeline=pipeline).startswith("pipeline must be the first steps of ['search', ")
    for count in (1, 2, 3):
        steps = ["search", "full_training", "benchmarks"][:count]
        assert list(check_config(changed({"pipeline": steps}), "my.yml").pipeline) == steps


def test_several_faults_are_a_line_each():
    content = changed({"evolution.num_generation": "3", "space.node_nm": 3, "task.scale": 7, "runtime.evaluators": "x"})
    assert sorted(line.partition(":")[0] for line in faults(content)) == [
        "evolution.num_generation",
        "runtime.evaluators",
        "space.node_nm",
        "task.scale",
    ]


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**6),
    st.floats(),
    st.sampled_from(["auto", "cosine", "a\nb", "1", "cpu"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["type", "hr", "a\nb", "test"]), st.sampled_from(["cosine", 1, None]), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([path for path in key_paths(Config) if not path.startswith("benchmarks.")]),
        values,
        min_size=1,
        max_size=3,
    )
)
def test_no_value_at_any_key_breaks_the_check(changes):
    content = copy.deepcopy(LEAST)
    for path, value in changes.items():
        *sections, key = path.split(".")
        section = content
        for name in sections:
            if not isinstance(section.get(name), dict):
                section[name] = {}
            section = section[name]
        section[key] = value
    try:
        config = check_config(content, "my.yml")
    except UserError:
        faults(content)
    else:
        assert check_config(config.model_dump(mode="json"), "my.yml") == config


# The file.


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("data: {hr: a\n", ", line 2, column 1: ", "expected ',' or '}'"),
        ("seed: 1\ndata:\n\thr: a\n", ", line 3, column 1: ", "found character '\\t'"),
        ("seed: 1\nseed: 2\ndata: {hr: a}\n", ", line 2, column 1: ", "seed is given twice"),
        ("data:\n  hr: a\n  hr: b\n", ", line 3, column 3: ", "hr is given twice"),
        ("data: !!python/object:os.system x\n", ", line 1, column 7: ", "could not determine a constructor"),
        ("data: 2020-13-45\n", ", line 1, column 7: ", "'2020-13-45' is no date: month must be in 1..12"),
        ("seed: !!int ''\n", ", line 1, column 7: ", "'' is no whole number"),
        ("seed: 1\ndata: !!bool maybe\n", ", line 2, column 7: ", "'maybe' is no true or false"),
        ("data: !!timestamp today\n", ", line 1, column 7: ", "'today' is no date"),
        ("data: \0\n", ": ", "special characters are not allowed"),
    ],
)
def test_yaml_that_does_not_read_is_told_with_its_place(tmp_path, text, place, problem):
    line = load_fault(tmp_path, text)
    assert line.startswith(f"{place}is not valid YAML: ")
    assert problem in line


@pytest.mark.parametrize("text", ["", "# nothing\n", "- search\n", "search\n"])
def test_file_without_sections_is_told_so(tmp_path, text):
    assert load_fault(tmp_path, text).startswith(": must be a mapping of sections")


@pytest.mark.parametrize("text", ["data: &a {hr: *a}\n", "data: {2020-01-01: 3}\n"])
def test_content_that_no_configuration_can_have_is_told_so(tmp_path, text):
    assert load_fault(tmp_path, text).startswith(": is not a configuration: ")


def test_file_that_cannot_be_read_is_told_so(tmp_path):
    assert "could not be read" in load_fault(tmp_path, b"data: \xff\xfe\n")
    with pytest.raises(UserError, match=r"none\.yml: there is no such file; .* configs/"):
        load_config(tmp_path / "none.yml")
    with pytest.raises(UserError, match="could not be read"):
        load_config(tmp_path)


@pytest.mark.parametrize(("text", "number"), [("1e-4", 1e-4), ("4E-3", 4e-3), ("1.5e-3", 1.5e-3), ("2e+0", 2.0)])
def test_numbers_with_an_exponent_are_numbers(tmp_path, text, number):
    path = written(tmp_path, f"data: {{hr: a}}\nfast_training: {{learning_rate: {text}}}\n")
    assert load_config(path).config.fast_training.learning_rate == number


def test_merge_keys_of_yaml_may_be_overridden(tmp_path):
    text = "data: {hr: a}\nfast_training: &t {steps: 5, batch_size: 2}\nfull_training: &f {<<: *t, steps: 9}\n"
    config = load_config(written(tmp_path, text)).config
    assert (config.full_training.steps, config.full_training.batch_size) == (9, 2)


# --set.


def test_overrides_change_keys_and_create_sections():
    content = with_overrides(
        {"data": {"hr": "a"}, "evolution": {"num_generation": 2, "num_individual": 4}},
        ["evolution.num_generation=3", "fast_training.schedule.type=cosine", "space.conv_num=[2, 4]", "data.hr=x=y"],
    )
    assert content == {
        "data": {"hr": "x=y"},
        "evolution": {"num_generation": 3, "num_individual": 4},
        "fast_training": {"schedule": {"type": "cosine"}},
        "space": {"conv_num": [2, 4]},
    }


def test_overrides_are_read_as_the_file_is(tmp_path):
    path = written(tmp_path, "data: {hr: a}\n")
    loaded = load_config(
        path, ["fast_training.learning_rate=1e-3", "seed=7", "output.name='2024'", "space.max_params="]
    )
    assert loaded.config.fast_training.learning_rate == 1e-3
    assert (loaded.config.seed, loaded.config.output.name, loaded.config.space.max_params) == (7, "2024", None)


def test_overrides_leave_what_they_are_given_alone():
    content = {"evolution": {"num_generation": 2}}
    with_overrides(content, ["evolution.num_generation=3"])
    assert content == {"evolution": {"num_generation": 2}}


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("evolution", "write KEY.PATH=VALUE, such as evolution.num_generation=3"),
        ("=3", "write KEY.PATH=VALUE, such as evolution.num_generation=3"),
        ("evolution.=3", "write KEY.PATH=VALUE, such as evolution.num_generation=3"),
        ("seed=[", "the value is not valid YAML"),
        ("seed=2020-13-45", "the value is not valid YAML"),
        ("seed.x=3", "seed is a value, not a section"),
    ],
)
def test_override_that_does_not_read_is_told_so(override, line):
    with pytest.raises(UserError) as caught:
        with_overrides({"seed": 1}, [override])
    assert str(caught.value) == f"--set {override}: {line}"


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("seed=[\n\n", "seed=["),
        ("se\ned", "se ed"),
        ("seed.x=\n3", "seed.x= 3"),
        ("data.hr=[" + "x" * 5000, "data.hr=[" + "x" * 191 + "…"),
    ],
)
def test_an_override_is_shown_in_one_short_line(override, shown):
    with pytest.raises(UserError) as caught:
        with_overrides({"seed": 1}, [override])
    assert str(caught.value).startswith(f"--set {shown}: ")
    assert "\n" not in str(caught.value)


def test_half_of_a_character_is_told(tmp_path):
    line = load_fault(tmp_path, 'data: {hr: "photos \\uD800"}\n')
    assert line.startswith(": is not a configuration: ")
    assert r"photos \ud800" in line
    assert line.endswith(" has a character that is none; change it")


def test_a_long_value_is_shown_in_part(tmp_path):
    line = load_fault(tmp_path, f"seed: {'x' * 10_000}\ndata: {{hr: a}}\n")
    assert line.startswith(": seed: must be a valid integer, got 'xxx")
    assert len(line) < 300


def test_override_of_an_unknown_key_is_told_like_one_in_the_file(tmp_path):
    with pytest.raises(UserError, match=r"evolution\.num_gen: unknown key; did you mean evolution\.num_generation\?"):
        load_config(written(tmp_path, "data: {hr: a}\n"), ["evolution.num_gen=3"])


# Paths, and the configuration that a run keeps.


def test_paths_are_made_absolute_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    content = {
        "data": {name: {"hr": f"./{name}", "lr": "~/lr"} for name in ("train", "validation", "test")},
        "benchmarks": [{"name": "Set5", "hr": "/data/Set5"}],
        "space": {"user_blocks": ["mine.py"]},
        "runtime": {"cache_dir": "cache"},
        "output": {"dir": "runs", "name": "first"},
    }
    config = absolute_paths(check_config(content, "my.yml"))
    assert config.data.train is not None
    assert (config.data.train.hr, config.data.train.lr) == (str(tmp_path / "train"), "/home/somebody/lr")
    assert config.benchmarks[0].hr == "/data/Set5"
    assert config.benchmarks[0].name == "Set5"
    assert config.space.user_blocks == (str(tmp_path / "mine.py"),)
    assert config.runtime.cache_dir == str(tmp_path / "cache")
    assert (config.output.dir, config.output.name) == (str(tmp_path / "runs"), "first")
    monkeypatch.chdir("/")
    assert absolute_paths(config) == config


def test_sample_photographs_are_no_path():
    config = check_config({"data": {"hr": "sample:scikit-image"}}, "my.yml")
    assert absolute_paths(config).data.hr == "sample:scikit-image"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_stored_configuration_reads_back_as_it_was(path, tmp_path):
    config = absolute_paths(
        load_config(path, ["full_training.schedule.type=cosine"] if "demo" in path.name else []).config
    )
    stored = written(tmp_path, dump_config(config))
    assert load_config(stored).config == config
    assert load_config(stored).warnings == ()
