"""A mapping that is never changed, and still grows in constant time: what a state of many thousand jobs is made of.

`plus` gives a new mapping with one entry more. The entries lie in lists that all mappings of one history share, each of
which sees as many of them as it has; only where two histories part are they copied. So a state can be kept, compared
with the one before, and read by another thread while the search goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Entries(Generic[K, V]):
    """Keys and values in the order in which they came, and the place of each key. Only ever appended to."""

    def __init__(self, keys: list[K], values: list[V]) -> None:
        self.keys, self.values = keys, values
        self.places = {key: place for place, key in enumerate(keys)}


class Growing(Mapping[K, V]):
    """The first `size` of shared entries."""

    __slots__ = ("_entries", "_size")

    def __init__(self, entries: _Entries[K, V] | None = None, size: int = 0) -> None:
        self._entries: _Entries[K, V] = _Entries([], []) if entries is None else entries
        self._size = size

    def __getitem__(self, key: K) -> V:
        place = self._entries.places.get(key)
        if place is None or place >= self._size:
            raise KeyError(key)
        return self._entries.values[place]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries.keys[: self._size])

    def __reversed__(self) -> Iterator[K]:
        return (self._entries.keys[place] for place in range(self._size - 1, -1, -1))

    def __repr__(self) -> str:
        return f"Growing({dict(self)})"

    def plus(self, key: K, value: V) -> Growing[K, V]:
        """This mapping with one entry more, or with another value for a key that it has."""
        entries = self._entries
        place = entries.places.get(key)
        if place == self._size and entries.values[place] == value:
            # Another mapping has added the same: the search asks for a job, then its record tells of it.
            return Growing(entries, self._size + 1)
        if len(entries.keys) > self._size or place is not None:
            # Another history has gone on from here, or an old entry changes: from here on it is one of its own.
            entries = _Entries(entries.keys[: self._size], entries.values[: self._size])
            place = entries.places.get(key)
        if place is not None:
            entries.values[place] = value
            return Growing(entries, self._size)
        entries.places[key] = self._size
        entries.values.append(value)
        entries.keys.append(key)
        return Growing(entries, self._size + 1)

    def goes_on_from(self, other: Mapping[K, V]) -> bool:
        """Whether this is the other mapping with entries added. At once where they share their entries."""
        if isinstance(other, Growing) and other._entries is self._entries:
            return other._size <= self._size
        return other.items() <= self.items()

    def first(self, size: int) -> Growing[K, V]:
        """The mapping of the first so many entries, which this one goes on from; in constant time."""
        return Growing(self._entries, min(size, self._size))

    def after(self, size: int) -> list[K]:
        """The keys after the first so many."""
        return self._entries.keys[size : self._size]


def growing(content: Mapping[K, V]) -> Growing[K, V]:
    """A mapping with this content."""
    return Growing(_Entries(list(content), list(content.values())), len(content))
