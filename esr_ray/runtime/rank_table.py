"""HCCL's rank table: the file in which owners of Ascend nodes say which device has which rank (RANK_TABLE_FILE)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esr_ray.errors import TooFewDevices, UserError

_ADDRESS = re.compile(r"[\w.:%-]{1,255}", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True)
class RankTable:
    """Ranks by (server's address, physical device id)."""

    path: Path
    ranks: Mapping[tuple[str, int], int]

    def rank(self, server: str, devices: tuple[int, ...]) -> int:
        """The rank of a process by where it is. Raises UserError where the table does not have its device."""
        for device in devices:
            if (server, device) in self.ranks:
                return self.ranks[server, device]
        raise UserError(
            f"{self.path}: has no device {', '.join(map(str, devices)) or '(none)'} of server {server}, which Ray gave "
            "to the training; write a table of all devices of Ray's nodes"
        )

    def of_this_machine(self, address: str) -> RankTable:
        """The table of the one machine that it names, under the address that Ray calls this machine by.

        A Ray that is not to be reached from elsewhere calls it 127.0.0.1. A table of several machines stays as it is.
        """
        if len({server for server, _ in self.ranks}) > 1:
            return self
        return RankTable(self.path, {(address, device): rank for (_, device), rank in self.ranks.items()})


def read_rank_table(path: Path) -> RankTable:
    """Read and check a rank table of version 1.0. Raises UserError with the place of what is wrong."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such rank table") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: could not be read: {error}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}, column {error.colno}: is not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or more brackets than Python reads.
        raise UserError(f"{path}: is not valid JSON: {error}") from None
    servers = _field(content, "server_list", list, str(path))
    ranks: dict[tuple[str, int], int] = {}
    for index, server in enumerate(servers):
        place = f"{path}: server_list[{index}]"
        name = _field(server, "server_id", str, place)
        if _ADDRESS.fullmatch(name) is None:
            raise UserError(f"{place}: server_id is {name!r:.60}, and should be the address of a server")
        for number, device in enumerate(_field(server, "device", list, place)):
            where = f"{place}.device[{number}]"
            key = (name, _number(device, "device_id", where))
            if key in ranks:
                raise UserError(f"{where}: device {key[1]} of server {name} is there twice")
            ranks[key] = _number(device, "rank_id", where)
    if not ranks:
        raise UserError(f"{path}: names no device")
    if sorted(ranks.values()) != list(range(len(ranks))):
        found = f"{sorted(ranks.values())!r:.200}"
        raise UserError(f"{path}: rank_id must be 0 to {len(ranks) - 1}, each once; they are {found}")
    return RankTable(path, ranks)


def check_devices(table: RankTable, npus_by_address: Mapping[str, int]) -> None:
    """Compare the table with the NPUs that Ray has, by node address.

    Raises TooFewDevices where the table names servers, or more devices, than Ray has, UserError where it lacks some:
    Ray chooses which of its devices are used.
    """
    wanted: dict[str, int] = {}
    for server, _ in table.ranks:
        wanted[server] = wanted.get(server, 0) + 1
    for server, count in wanted.items():
        found = npus_by_address.get(server)
        if found is None:
            nodes = ", ".join(sorted(npus_by_address)) or "none"
            raise TooFewDevices(
                f"{table.path}: server {server} is no node with NPUs of Ray's cluster (those are: {nodes})"
            )
        if count > found:
            raise TooFewDevices(f"{table.path}: names {count} devices of server {server}, and Ray has {found} there")
    for server, found in npus_by_address.items():
        if found > wanted.get(server, 0):
            raise UserError(
                f"{table.path}: names {wanted.get(server, 0)} devices of server {server}, and Ray has {found} there, "
                "any of which it may choose; write a table of all, or start Ray on those of the table alone"
            )


def _field(content: Any, key: str, kind: type, place: str) -> Any:
    if not isinstance(content, dict) or key not in content:
        raise UserError(f"{place}: has no {key}; see the rank table in cluster/README.md")
    value = content[key]
    if not isinstance(value, kind):
        raise UserError(f"{place}: {key} is {value!r:.60}, and should be a {kind.__name__}")
    return value


def _number(content: Any, key: str, place: str) -> int:
    text = _field(content, key, object, place)
    # The table's numbers are strings.
    if isinstance(text, bool) or not isinstance(text, int | str) or _NUMBER.fullmatch(str(text)) is None:
        raise UserError(f"{place}: {key} is {text!r:.60}, and should be a number from 0")
    return int(text)
