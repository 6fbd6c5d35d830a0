"""Configurations that are meant to take all memory, or all time, are refused in one line."""

import tracemalloc

import pytest

from esr_ray.config.load import MOST_CHARACTERS, load_config
from esr_ray.cores import usable_cores, why_fewer
from esr_ray.errors import UserError
from esr_ray.tasks.make import space_of

BILLIONS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BILLIONS, "it has more than 100,000 values, those that its aliases stand for included"),
        ("data: &me\n  hr: *me\n", "it is nested deeper than 50 levels"),
        ("data: " + "[" * 60 + "]" * 60, "it is nested deeper than 50 levels"),
        ("data: " + "[" * 20_000 + "]" * 20_000, "it is nested deeper than 50 levels"),
        ("data: " + "{a: " * 5_000 + "}" * 5_000, "it is nested deeper than 50 levels"),
        ("data: " + "[" * 500_000, "it is nested deeper than 50 levels"),
        ("data:" + "".join("\n" + " " * n + "a:" for n in range(1, 1_000)), "it is nested deeper than 50 levels"),
        ("data:\n" + "- " * 100_000, "it is nested deeper than 50 levels"),
        ("#" * (MOST_CHARACTERS + 1), "a configuration has at most 2,000,000"),
    ],
    ids=[
        "aliases",
        "itself",
        "lists",
        "deep lists",
        "deep mappings",
        "open lists",
        "deep blocks",
        "deep items",
        "long",
    ],
)
def test_more_than_a_configuration_can_have_is_refused(tmp_path, text, message):
    path = tmp_path / "my.yml"
    path.write_text(text)
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            load_config(str(path))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: is not a configuration: ")
    assert message in str(caught.value)
    assert most < 200e6


def test_values_on_the_command_line_are_bounded_too(tmp_path):
    path = tmp_path / "my.yml"
    path.write_text("data: {hr: photos}\n")
    with pytest.raises(UserError, match="the value is not valid YAML"):
        load_config(str(path), ["data.hr=" + "[" * 5_000])


@pytest.mark.parametrize(
    ("section", "message"),
    [("node_num: 3000", "space.node_num"), ("growth_rate: [8, 160000]", "no number of a block has more than 4 digits")],
)
def test_spaces_that_no_memory_holds_are_refused(tmp_path, section, message):
    path = tmp_path / "my.yml"
    path.write_text(f"data: {{hr: photos}}\nspace:\n  {section}\n")
    with pytest.raises(UserError, match=message):
        space_of(load_config(str(path)).config)


# Cores.


def test_a_quota_counts_and_is_said(monkeypatch):
    """As of `docker --cpus=1`, which Ray and Python do not see in the number of cores."""
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert usable_cores() == 1
    assert why_fewer().startswith("1 of 8 cores: a CPU quota of this container")
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    assert why_fewer() == "4 of 8 cores: this process may run on no others (affinity)"
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    assert why_fewer() is None
