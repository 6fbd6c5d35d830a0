"""The command on bad input: one line that says what to do, exit status 2, and nothing was started."""

import subprocess
import sys

import numpy as np
import pytest
from cases import photo, photos
from PIL import Image

from esr_ray.config.load import check_config
from esr_ray.data.resize import downscale
from esr_ray.search.__main__ import main
from esr_ray.tasks.pictures import plan_pictures

BLOCK = """
LETTER = "R"
def cost(convs, growth, out, in_channels):
    return 9 * in_channels * out + out, 9 * in_channels * out
def build(convs, growth, out, in_channels):
    raise NotImplementedError
"""


def test_sound_configuration_comes_as_far_as_ray(case, monkeypatch, capsys):
    """Of the tests below each breaks one thing: without it, nothing is in the way."""
    monkeypatch.setitem(sys.modules, "esr_ray.runtime.client", None)
    with pytest.raises(ImportError, match=r"esr_ray\.runtime\.client"):
        main([case.write()])
    assert capsys.readouterr().err == ""
    assert not (case.path / "runs").exists()


def test_nothing_heavy_is_imported_for_what_can_be_checked_without_it(case):
    case.set("space.max_params", 10)
    code = (
        "import sys; from esr_ray.search.__main__ import main; status = main(sys.argv[1:]); "
        "print(status, sorted({'ray', 'mindspore'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, case.write()], capture_output=True, text=True, timeout=120)
    assert done.stdout == "2 []\n"


@pytest.mark.parametrize("module", ["client", "driver", "evaluator"])
def test_what_only_training_needs_is_not_imported_before_it(module):
    """Each takes half a second of every start; an evaluator takes its core before MindSpore takes its threads."""
    code = (
        f"import sys, esr_ray.runtime.{module}; "
        "print(sorted({'mindspore', 'scipy', 'sklearn', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[]\n"


def test_help_says_what_the_exit_status_means(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "exit status: 0 finished, 2 " in text
    assert "130 stopped by Ctrl-C (resumable)" in text
    for option in ("--set", "--dry-run", "--resume", "--retry-failed", "--address"):
        assert option in text


# The configuration.


def test_no_configuration(fails):
    assert fails() == "give a configuration file (configs/demo.yml), or --resume RUN_DIR; see --help"


def test_missing_file(fails, tmp_path):
    assert fails(tmp_path / "none.yml").startswith(f"{tmp_path / 'none.yml'}: there is no such file; ")


def test_yaml_that_does_not_read(fails, case):
    case.file.write_text("seed: 1\ndata: {hr: a\n")
    assert fails(case.file).startswith(f"{case.file}, line 3, column 1: is not valid YAML: ")


def test_unknown_key(fails, case):
    case.set("evolution.num_genration", 3)
    assert fails(case.write()) == (
        f"{case.file}: evolution.num_genration: unknown key; did you mean evolution.num_generation?"
    )


def test_wrong_type(fails, case):
    case.set("evolution.num_generation", "3")
    assert fails(case.write()) == f"{case.file}: evolution.num_generation: must be a valid integer, got '3'"


def test_bad_override(fails, case):
    assert fails(case.write(), "--set", "evolution.num_generation=x").endswith("must be a valid integer, got 'x'")
    assert fails(case.write(), "--set", "evolution").startswith("--set evolution: write KEY.PATH=VALUE")


# The space.


def test_budget_that_cannot_be_reached(fails, case):
    case.set("space.min_params", 10_000_000).set("space.max_params", 10_000_001)
    line = fails(case.write())
    assert line.startswith(
        "space: no network has 10,000,000 to 10,000,001 parameters (min_params, max_params); with 1 to 3"
    )
    assert "the nearest count is " in line


def test_mult_adds_that_cannot_be_reached(fails, case):
    case.set("space.max_mult_adds", 1000)
    assert "max_mult_adds" in fails(case.write())


def test_illegal_block_is_named_with_the_rule(fails, case):
    case.set("space.block_types", ["G"]).set("space.conv_num", [4]).set("space.growth_rate", [6])
    assert fails(case.write()) == (
        "space: 'G_4_6_6' is not a legal block: G blocks of 4 or more convolutions need a growth rate divisible by 4; "
        "change block_types, conv_num, growth_rate or out_channels"
    )


def test_letter_that_no_block_type_has(fails, case):
    line = fails(case.set("space.block_types", ["S", "Q"]).write())
    assert "there is no block type 'Q'; known are S, G, C" in line
    assert "space.user_blocks" in line


def test_user_block_that_is_not_there_or_does_not_import(fails, case):
    block = case.path / "mine.py"
    case.set("space.user_blocks", [str(block)])
    assert fails(case.write()) == f"space.user_blocks: {block} is not a file"
    block.write_text("import nothing_of_this_name\n")
    assert "could not be imported: ModuleNotFoundError" in fails(case.write())
    block.write_text(BLOCK.replace('"R"', '"S"'))
    assert fails(case.write()) == "block letter 'S' is one of the built-in types; choose another letter"


# The pictures.


def test_empty_folder(fails, case):
    (case.path / "empty").mkdir()
    case.set("data.hr", str(case.path / "empty"))
    assert fails(case.write()).startswith(f"{case.path / 'empty'}: holds no pictures (")


def test_missing_folder(fails, case):
    case.set("data.hr", str(case.path / "none"))
    assert fails(case.write()).startswith(f"{case.path / 'none'}: no such folder; check the path")


def test_corrupt_picture(fails, case):
    path = case.path / "photos" / "3.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    line = fails(case.write())
    assert line.startswith(f"{path}: cannot be decoded (")
    assert line.endswith("; replace or remove the file")


def test_file_that_is_no_picture(fails, case):
    path = case.path / "photos" / "3.png"
    path.write_text("not a picture")
    assert fails(case.write()) == f"{path}: not a picture that Pillow can read; remove it or save it as PNG"


def test_lr_of_another_size(fails, case):
    (case.path / "lr").mkdir()
    for seed in range(6):
        photo(seed).resize((32, 32)).save(case.path / "lr" / f"{seed}.png")
    photo(2).resize((21, 21)).save(case.path / "lr" / "2.png")
    case.set("data.lr", str(case.path / "lr"))
    assert "2.png is 21x21, but " in fails(case.write())


def three_sets(case, **seeds):
    case.content["data"] = {name: {"hr": photos(case.path / name, *which)} for name, which in seeds.items()}
    return case


def test_picture_in_two_sets(fails, case):
    three_sets(case, train=[0, 1], validation=[2], test=[3])
    photo(1).save(case.path / "test" / "other.png")
    line = fails(case.write())
    assert "(train) and " in line
    assert "other.png (test) are the same picture; sets must not overlap, remove one" in line


def test_pictures_smaller_than_a_crop(fails, case):
    case.set("full_training.crop_size", 48)
    line = fails(case.write())
    assert "full_training.crop_size 48: 4 of 4 training pictures are smaller, such as" in line
    assert "with 32x32 LR pixels; set it to at most 32 or remove small pictures" in line


def test_too_few_pictures(fails, case):
    case.set("data.hr", photos(case.path / "few", 1, 2))
    assert "at least 3 photos are needed" in fails(case.write())


def test_benchmark_folder_that_is_missing(fails, case):
    case.set("benchmarks", [{"name": "Set5", "hr": str(case.path / "Set5")}])
    assert fails(case.write()).startswith(f"{case.path / 'Set5'}: no such folder")


def test_folders_are_read_as_evaluate_reads_them(case, monkeypatch):
    """Layouts of public data sets, in every place of a configuration that names pictures."""
    monkeypatch.setitem(sys.modules, "esr_ray.runtime.client", None)
    for name, seeds in (("train", range(3)), ("validation", [3]), ("test", [4]), ("Set5", [5])):
        for seed in seeds:
            hr = np.asarray(photo(seed))
            for place, pixels in (("HR", hr), ("LR_bicubic/X2", downscale(hr, 2))):
                (case.path / name / place).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(case.path / name / place / f"{seed}.png")
                marked = case.path / f"{name}_mixed" / f"img_{seed}_SRF_2_{place[:2]}.png"
                marked.parent.mkdir(exist_ok=True)
                Image.fromarray(pixels).save(marked)
    for mixed in ("", "_mixed"):
        case.content["data"] = {
            part: {"hr": str(case.path / f"{part}{mixed}")} for part in ("train", "validation", "test")
        }
        case.set("benchmarks", [{"name": "Set5", "hr": str(case.path / f"Set5{mixed}")}])
        plan = plan_pictures(check_config(case.content, "test"))
        specs = [*plan.sets.sets, *plan.benchmarks[0].sets]
        assert [(part, len(pairs)) for part, pairs in specs] == [
            ("train", 3),
            ("validation", 1),
            ("test", 1),
            ("Set5", 1),
        ]
        assert all(pair.lr is not None for _, pairs in specs for pair in pairs)
        with pytest.raises(ImportError, match=r"esr_ray\.runtime\.client"):
            main([case.write()])
    case.content["data"] = {"hr": str(case.path / "train_mixed")}
    assert {name: len(pairs) for name, pairs in plan_pictures(check_config(case.content, "test")).sets.sets} == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    # Noise is made from HR: there LR pictures count for nothing.
    del case.content["benchmarks"]
    case.content["task"] = {"name": "denoising"}
    plan = plan_pictures(check_config(case.content, "test"))
    assert [(len(pairs), pairs[0].lr) for _, pairs in plan.sets.sets] == [(1, None)] * 3


def test_lr_of_other_colours(fails, case):
    for seed in range(6):
        path = case.path / "low" / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(downscale(np.asarray(photo(seed)), 2)[..., ::-1]).save(path)
    case.set("data.lr", str(case.path / "low"))
    assert "has red and blue swapped" in fails(case.write())


# The run folder.


def test_name_that_is_taken(fails, case):
    folder = case.run_folder()
    assert fails(case.write()) == (
        f"{folder.path}: is already a run folder; go on with it by --resume {folder.path}, or give another output.name"
    )


def test_output_folder_that_is_a_file(fails, case):
    (case.path / "runs").touch()
    assert fails(case.write()) == f"{case.path / 'runs'}: is a file, not a folder; give another output.dir"


def test_disk_without_room(fails, case, monkeypatch):
    monkeypatch.setattr("esr_ray.plan._JOURNAL_BYTES", 10**18)
    line = fails(case.write())
    assert line.startswith(f"{case.path / 'runs' / 'first'}: the run needs about ")
    assert line.endswith("make room, or set output.dir to another disk")


def test_resume_of_a_folder_that_is_no_run(fails, case):
    assert fails("--resume", case.path) == (
        f"{case.path}: is not a run folder (it has no config.yml); give the folder of a run"
    )
    assert "is not a run folder" in fails("--resume", case.path / "none")


def test_resume_with_another_configuration(fails, case):
    folder = case.run_folder()
    case.set("seed", 5)
    line = fails(case.write(), "--resume", folder.path)
    assert line.startswith(f"{folder.path}: is a run of another configuration: seed is 0 there and 5 here; only ")


def test_resume_with_an_override_that_may_not_change(fails, case):
    folder = case.run_folder()
    assert "task.scale is 2 there and 3 here" in fails("--resume", folder.path, "--set", "task.scale=3")
    assert "space.base_channels is 8 there and 4 here" in fails(
        "--resume", folder.path, "--set", "space.base_channels=4"
    )
    assert "unknown key; did you mean evolution.num_generation?" in fails(
        "--resume", folder.path, "--set", "evolution.num_gen=3"
    )


def test_resume_as_it_was_or_with_more_generations_comes_as_far_as_ray(case, monkeypatch):
    folder = case.run_folder()
    monkeypatch.setitem(sys.modules, "esr_ray.runtime.client", None)
    for arguments in (
        ["--resume", str(folder.path)],
        [case.write(), "--resume", str(folder.path)],
        ["--resume", str(folder.path), "--retry-failed", "--set", "evolution.num_generation=9"],
    ):
        with pytest.raises(ImportError, match=r"esr_ray\.runtime\.client"):
            main(arguments)


def test_folder_in_which_another_search_runs(fails, case):
    folder = case.run_folder()
    code = (
        "import sys; from pathlib import Path; from esr_ray.runs.folder import RunFolder, lock; "
        "held = lock(RunFolder(Path(sys.argv[1]))); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        assert fails("--resume", folder.path) == (
            f"{folder.path}: another run is at work in this folder; wait for it, or stop it there (Ctrl-C)"
        )
    finally:
        process.communicate("")


def test_retry_failed_without_resume(fails, case):
    assert fails(case.write(), "--retry-failed") == "--retry-failed goes with --resume RUN_DIR"
