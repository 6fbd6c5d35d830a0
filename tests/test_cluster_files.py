"""The files of cluster/ are what Ray and KubeRay accept: their own schemas, and no key that Kubernetes would drop."""

import json
import lzma
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from esr_ray.config.load import load_config

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster"
KUBERAY = Path(__file__).with_name("kuberay")
RAY_SCHEMA = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"


def read(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


@pytest.mark.parametrize("name", ["cpu-local.yaml", "ascend-onprem.yaml"])
def test_ray_up_files_are_rays(name):
    jsonschema.validate(read(name), json.loads(RAY_SCHEMA.read_text()))


def unknown(content: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Keys that the schema does not have: Kubernetes drops them in silence."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    if isinstance(content, list):
        return [
            one
            for index, part in enumerate(content)
            for one in unknown(part, schema.get("items", {}), f"{path}[{index}]")
        ]
    if not isinstance(content, dict):
        return []
    properties, more = schema.get("properties"), schema.get("additionalProperties")
    found = []
    for key, value in content.items():
        if properties is not None and key in properties:
            found += unknown(value, properties[key], f"{path}.{key}")
        elif isinstance(more, dict):
            found += unknown(value, more, f"{path}.{key}")
        elif properties is not None:
            found.append(f"{path}.{key}")
    return found


@pytest.mark.parametrize(("name", "schema"), [("kuberay.yaml", "raycluster"), ("kuberay-job.yaml", "rayjob")])
def test_kubernetes_files_are_kuberays(name, schema):
    with lzma.open(KUBERAY / f"{schema}.v1.schema.json.xz") as file:
        content, definition = read(name), json.load(file)
    jsonschema.Draft202012Validator(definition).validate(content)
    # The schema of a custom resource leaves out what every object has.
    definition["properties"]["metadata"] = {"x-kubernetes-preserve-unknown-fields": True}
    assert unknown(content, definition) == []
    worst = {**content, "spec": {**content["spec"], "rayVersoin": "1"}}
    assert unknown(worst, definition) == [".spec.rayVersoin"]


def test_the_job_has_the_cluster_of_the_other_file():
    assert read("kuberay-job.yaml")["spec"]["rayClusterSpec"] == read("kuberay.yaml")["spec"]


def test_the_ray_version_is_the_installed_one():
    assert read("kuberay.yaml")["spec"]["rayVersion"] == ray.__version__


def test_as_many_npus_are_told_to_ray_as_kubernetes_gives_and_devices_are_handed_in():
    (group,) = read("kuberay.yaml")["spec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    asked = int(container["resources"]["limits"]["huawei.com/Ascend910"])
    assert json.loads(json.loads(group["rayStartParams"]["resources"])) == {"NPU": asked}
    onprem = read("ascend-onprem.yaml")
    devices = [option for option in onprem["docker"]["run_options"] if option.startswith("--device=/dev/davinci")]
    assert len([one for one in devices if one[-1].isdigit()]) == 8
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert "--resources='{\"NPU\":8}'" in onprem[commands][-1]


def test_the_jobs_command_is_one_of_ours():
    words = read("kuberay-job.yaml")["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "esr_ray.search"]
    config = ROOT / Path(words[3]).relative_to("/opt/esr_ray")
    overrides = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
    assert load_config(config, overrides).config.output.dir == "/data/runs"
