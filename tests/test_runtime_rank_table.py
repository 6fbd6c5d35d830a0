"""Rank tables: read, checked in full, and held against the devices that Ray has."""

import json
from pathlib import Path

import pytest

from esr_ray.errors import TooFewDevices, UserError
from esr_ray.runtime.rank_table import check_devices, read_rank_table

SERVER, OTHER = "192.168.1.10", "192.168.1.11"


def device(physical, rank):
    return {"device_id": str(physical), "device_ip": f"192.1.{rank}.8", "rank_id": str(rank)}


def table(**servers):
    listed = [{"server_id": name, "device": devices, "host_nic_ip": "reserve"} for name, devices in servers.items()]
    return {"version": "1.0", "server_count": str(len(listed)), "server_list": listed, "status": "completed"}


def two_servers():
    content = table(a=[device(0, 0), device(4, 1)], b=[device(0, 2), device(1, 3)])
    content["server_list"][0]["server_id"], content["server_list"][1]["server_id"] = SERVER, OTHER
    return content


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "hccl.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_ranks_are_found_by_server_and_physical_device(tmp_path):
    found = read_rank_table(written(tmp_path, two_servers()))
    assert [found.rank(SERVER, (0,)), found.rank(SERVER, (4,)), found.rank(OTHER, (0,)), found.rank(OTHER, (1,))] == [
        *range(4)
    ]
    with pytest.raises(UserError, match=rf"has no device 1 of server {SERVER}"):
        found.rank(SERVER, (1,))
    check_devices(found, {SERVER: 2, OTHER: 2})


def test_a_ray_of_this_machine_alone_has_the_devices_of_a_table_with_one_server(tmp_path):
    """Ray calls it 127.0.0.1 then, and the table by its address in the network."""
    content = table(**{SERVER: [device(0, 0), device(4, 1)]})
    found = read_rank_table(written(tmp_path, content)).of_this_machine("127.0.0.1")
    assert [found.rank("127.0.0.1", (place,)) for place in (0, 4)] == [0, 1]
    check_devices(found, {"127.0.0.1": 2})
    several = read_rank_table(written(tmp_path, two_servers()))
    assert several.of_this_machine("127.0.0.1") == several


def first(content):
    """The second device of the first server, to be changed."""
    return content["server_list"][0]["device"][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: "{" + json.dumps(c), r"hccl.json, line 1, column \d+: is not valid JSON"),
        (lambda c: "[" * 100_000, "is not valid JSON: maximum recursion depth"),
        (lambda c: "9" * 5_000, "is not valid JSON: Exceeds the limit"),
        (lambda c: [c], "has no server_list"),
        (lambda c: {**c, "server_list": "x" * 5_000}, "server_list is 'xxx"),
        (
            lambda c: c["server_list"][0].update(server_id="a\nb") or c,
            r"server_list\[0\]: server_id is 'a\\nb', and should",
        ),
        (lambda c: {**c, "server_list": {}}, "server_list is {}, and should be a list"),
        (lambda c: {**c, "server_list": []}, "names no device"),
        (lambda c: c["server_list"][1].pop("server_id") and c, r"server_list\[1\]: has no server_id"),
        (
            lambda c: first(c).pop("rank_id") and c,
            r"server_list\[0\].device\[1\]: has no rank_id",
        ),
        (
            lambda c: first(c).update(rank_id="one") or c,
            "rank_id is 'one', and should be a number",
        ),
        *(
            (lambda c, value=value: first(c).update(rank_id=value) or c, "rank_id is .*, and should be a number from 0")
            for value in ("²", "٣", "9" * 20, -1, True, 1.0, None)
        ),
        (lambda c: first(c).update(rank_id="0") or c, r"rank_id must be 0 to 3, each once"),
        (
            lambda c: first(c).update(device_id="0") or c,
            f"device 0 of server {SERVER} is there twice",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, change, message):
    path = written(tmp_path, change(two_servers()))
    with pytest.raises(UserError, match=message) as told:
        read_rank_table(path)
    assert str(path) in str(told.value)
    assert len(str(told.value)) < len(str(path)) + 300
    assert "\n" not in str(told.value)


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(UserError, match="there is no such rank table"):
        read_rank_table(tmp_path / "none.json")


def test_devices_that_ray_does_not_have_are_told(tmp_path):
    found = read_rank_table(written(tmp_path, two_servers()))
    with pytest.raises(
        UserError, match=rf"server {OTHER} is no node with NPUs of Ray's cluster \(those are: {SERVER}\)"
    ):
        check_devices(found, {SERVER: 8})
    with pytest.raises(UserError, match=rf"names 2 devices of server {SERVER}, and Ray has 1 there"):
        check_devices(found, {SERVER: 1, OTHER: 8})


@pytest.mark.parametrize(
    ("npus", "message"),
    [
        (
            {SERVER: 8, OTHER: 2},
            rf"names 2 devices of server {SERVER}, and Ray has 8 there, any of which it may choose",
        ),
        ({SERVER: 2, OTHER: 2, "192.168.1.12": 1}, r"names 0 devices of server 192\.168\.1\.12, and Ray has 1 there"),
    ],
)
def test_a_table_that_lacks_devices_of_rays_is_an_error(tmp_path, npus, message):
    with pytest.raises(UserError, match=message) as raised:
        check_devices(read_rank_table(written(tmp_path, two_servers())), npus)
    assert not isinstance(raised.value, TooFewDevices), "no node that joins would mend it"
