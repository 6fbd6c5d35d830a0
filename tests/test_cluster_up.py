"""A true `ray up` onto two addresses of this machine, a search submitted as a job, and `ray down`. Marked `cluster`.

The configuration is cluster/cpu-local.yaml with this machine's addresses, key and environment in the place of those
that its user would put in.
"""

from __future__ import annotations

import getpass
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from worlds import PAPER

ROOT = Path(__file__).parents[1]
# Ray takes 127.0.0.1 for "this machine", and puts the address of its network in its place.
HEAD, WORKER = "127.0.0.2", "127.0.0.3"
BIN = Path(sys.executable).parent
NPUS = 1
"""Imitated ones of each node."""

SEARCH = {
    "seed": 3,
    "pipeline": ["search", "full_training"],
    "space": {
        "node_num": 3,
        "min_active": 1,
        "base_channels": 4,
        "conv_num": [1, 2],
        "growth_rate": [4, 8],
        "max_params": 8000,
    },
    "evolution": {"num_generation": 3, "num_individual": 6, "num_elitism": 2, "mutation_rate": 0.3, **PAPER},
    "data": {"hr": "sample:scikit-image", "validation_size": 16},
    # Long enough for both evaluators to be up before the last is trained.
    "fast_training": {"steps": 2000, "batch_size": 2, "crop_size": 8, "learning_rate": 1e-3},
    "full_training": {"steps": 20, "batch_size": 2, "crop_size": 8, "learning_rate": 1e-3},
    # Imitated devices compute on CPU only where that is said.
    "runtime": {"target": "cpu", "resource": "NPU"},
}

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def sshd_program() -> str | None:
    return shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if Path(path).exists()), None)


def run(*command: str, timeout: float = 300, **options: Any) -> str:
    """A command's output; what went wrong where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture
def key(tmp_path: Path) -> Iterator[Path]:
    """A private key that an sshd of our own on both addresses accepts."""
    missing = [name for name in ("ssh", "ssh-keygen", "rsync") if shutil.which(name) is None]
    if sshd_program() is None:
        missing.append("sshd")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (packages openssh-server, openssh-client, rsync)")
    for address in (HEAD, WORKER):
        with socket.socket() as probe:
            if probe.connect_ex((address, 22)) == 0:
                pytest.skip(f"something listens on {address}:22 already; `ray up` knows no other port")
    if os.getuid() != 0:
        pytest.skip("sshd can only listen on port 22 for root")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("user", "host"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    lines = [f"ListenAddress {HEAD}", f"ListenAddress {WORKER}", f"HostKey {folder / 'host'}"]
    lines += [f"AuthorizedKeysFile {folder / 'authorized_keys'}", "StrictModes no", "PermitRootLogin yes", "UsePAM no"]
    # A user's home of its own, as Debian, Ubuntu and Red Hat make them: this machine's stays as it is.
    home = tmp_path / "home"
    home.mkdir()
    (home / ".profile").write_text('PATH="$HOME/.local/bin:$PATH"\n')
    (home / ".bashrc").write_text("")
    (home / "esr_ray-venv").symlink_to(BIN.parent)
    lines += [
        f"SetEnv HOME={home}",
        f"PidFile {folder / 'pid'}",
        "PasswordAuthentication no",
        "MaxStartups 100",
        "MaxSessions 100",
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")
    # ssh looks for the key that Ray sent to the head in the home of the user's account, whatever HOME says.
    sent = Path(pwd.getpwuid(os.getuid()).pw_dir) / "ray_bootstrap_key.pem"
    if sent.exists() or sent.is_symlink():
        pytest.skip(f"{sent} is there already: another `ray up` to this machine needs it")
    sent.symlink_to(folder / "user")
    Path("/run/sshd").mkdir(exist_ok=True)
    program = sshd_program()
    assert program is not None
    process = subprocess.Popen([program, "-D", "-f", str(folder / "config")], stderr=(folder / "log").open("w"))
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex((WORKER, 22)) == 0:
                    break
            time.sleep(0.1)
        yield folder / "user"
    finally:
        process.terminate()
        process.wait(30)
        sent.unlink()


def cluster_file(folder: Path, key: Path) -> Path:
    """cluster/cpu-local.yaml for this machine."""
    content = yaml.safe_load((ROOT / "cluster" / "cpu-local.yaml").read_text())
    content["provider"] |= {"head_ip": HEAD, "worker_ips": [WORKER]}
    content["auth"] = {"ssh_user": getpass.getuser(), "ssh_private_key": str(key)}
    content["file_mounts"] = {"~/esr_ray": str(ROOT)}
    # Both "machines" have one disk, and esr_ray is installed on it.
    content["setup_commands"] = [
        command.replace("~/esr_ray-venv/bin/pip install --quiet -e ~/esr_ray", "test -f ~/esr_ray/setup.cfg")
        for command in content["setup_commands"]
    ]
    resources = f"--resources='{{\"NPU\":{NPUS}}}' --num-cpus=2"

    def here(command: str, address: str, name: str) -> str:
        # `ray stop` ends every Ray of the machine; on this one that would be the head as well.
        if command.endswith("ray stop"):
            return "true"
        return f"{command} --node-ip-address={address} --node-name={name} {resources}"

    content["head_start_ray_commands"] = [
        f"{here(command, HEAD, 'head')} --temp-dir={folder}/ray"
        if command.count("--head")
        else here(command, HEAD, "head")
        for command in content["head_start_ray_commands"]
    ]
    # The agents of both listen on 127.0.0.1 as well.
    content["worker_start_ray_commands"] = [
        f"{here(command, WORKER, 'worker')} --dashboard-agent-listen-port=52366"
        if command.count("--address")
        else "true"
        for command in content["worker_start_ray_commands"]
    ]
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def ray_processes() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["name"] in ("raylet", "gcs_server") or line.startswith("ray::") or "/ray/autoscaler" in line:
            found.append(process)
    return found


def nodes(environment: dict[str, str]) -> list[str]:
    code = (
        f"import ray; ray.init(address='{HEAD}:6379', log_to_driver=False); "
        "print(*(node['NodeManagerAddress'] for node in ray.nodes() if node['Alive']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    return sorted(done.stdout.split())


def submitted(command: list[str], environment: dict[str, str]) -> str:
    """A job's output. Ray says `No available agent` until its nodes' agents have started."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return run(str(BIN / "ray"), *command, env=environment, timeout=400)
        except AssertionError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(3)


def test_ray_up_a_search_as_a_job_and_ray_down(key: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert not ray_processes(), "another Ray runs on this machine"
    # Ray's sockets lie below it: their paths may have 107 characters.
    folder = Path(subprocess.run(["mktemp", "-d", "/tmp/esr.XXXX"], capture_output=True, text=True).stdout.strip())
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    path = cluster_file(folder, key)
    try:
        run(str(BIN / "ray"), "up", "--yes", "--no-config-cache", str(path), env=environment)
        try:
            deadline = time.monotonic() + 180
            while nodes(environment) != [HEAD, WORKER]:
                assert time.monotonic() < deadline, nodes(environment)
                time.sleep(3)
            (folder / "search.yml").write_text(
                json.dumps({**SEARCH, "output": {"dir": str(folder / "runs"), "name": "job"}})
            )
            command = f"{sys.executable} -m esr_ray.search {folder / 'search.yml'} --address auto"
            submit = ["job", "submit", "--address=http://127.0.0.1:8265", "--", *command.split()]
            output = submitted(submit, environment)
            assert "Best values: [" in output, output[-3000:]
            assert "succeeded" in output
            events = [json.loads(line) for line in (folder / "runs" / "job" / "journal.jsonl").read_text().splitlines()]
            log = (folder / "runs" / "job" / "log.txt").read_text()
            # An NPU of each node trained candidates, and both together the winner.
            started = {event["node"] for event in events if event["event"] == "started"}
            assert started == {"head", "worker"}, started
            assert "full training on 2 devices" in log, log
            assert [event["reason"] for event in events if event["event"] == "closed"] == ["finished"]
        finally:
            run(str(BIN / "ray"), "down", "--yes", str(path), env=environment)
        deadline = time.monotonic() + 60
        while ray_processes() and time.monotonic() < deadline:
            time.sleep(1)
        assert not ray_processes(), [process.cmdline() for process in ray_processes()]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
