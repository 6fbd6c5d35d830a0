"""HCCL's rank tables, damaged."""

import json

from fuzzing import Kind
from mutations import as_json, of_bytes, of_text, of_tree, tree

from esr_ray.runtime.rank_table import check_devices, read_rank_table

SERVERS = {
    f"192.168.1.{number}": [{"device_id": str(one), "device_ip": f"10.0.{number}.{one}"} for one in range(2)]
    for number in (10, 11)
}
TABLE = {
    "version": "1.0",
    "server_count": "2",
    "server_list": [{"server_id": name, "device": devices} for name, devices in SERVERS.items()],
    "status": "completed",
}
for rank, device in enumerate(one for devices in SERVERS.values() for one in devices):
    device["rank_id"] = str(rank)


def make(random):
    match random.randrange(4):
        case 0:
            return of_bytes(random, json.dumps(TABLE).encode())
        case 1:
            return of_text(random, json.dumps(TABLE)).encode("utf-8", "surrogatepass")
        case 2:
            return as_json(tree(random)).encode()
    content = as_json(of_tree(random, TABLE))
    # Deeper than any parser goes, and numbers longer than Python reads.
    deep = random.choice(("",) * 20 + ("[" * 100_000, "9" * 5_000))
    return content.replace("completed", deep).encode() if deep.isdigit() else f"{deep}{content}".encode()


def read(given, place):
    place.write_bytes(given)
    table = read_rank_table(place)
    assert sorted(table.ranks.values()) == list(range(len(table.ranks)))
    for (server, device), rank in table.ranks.items():
        assert table.rank(server, (device,)) == rank
    check_devices(table, dict.fromkeys(SERVERS, 2))


RANK_TABLES = Kind("rank-tables", make, read, lambda: [json.dumps(TABLE).encode()])
