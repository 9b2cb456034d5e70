"""Valid bytes, spoilt: flipped, cut, doubled, spliced, with the numbers that break decoders."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

__all__ = ["mutated"]

_VARINTS = (
    b"\x00",
    b"\x7f",
    b"\x80\x01",
    b"\xff\xff\xff\xff\x07",  # 2**31 - 1
    b"\xff\xff\xff\xff\x0f",  # 2**32 - 1
    b"\x80\x80\x80\x80\x10",  # 2**32
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # 2**63 - 1
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # 2**63
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # 2**64 - 1
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # no end
    b"\x80\x00",  # longer than it need be
)


def mutated(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to three changes of the data; the others are what it may be spliced with."""
    for _ in range(1 if random.random() < 0.7 else random.randint(2, 3)):
        data = _CHANGES[int(random.random() * len(_CHANGES))](random, data, others)
    return data


def _at(random: Random, data: bytes) -> int:
    return int(random.random() * (len(data) + 1))


def _flip(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x01"
    place = int(random.random() * len(data))
    return data[:place] + bytes((data[place] ^ 1 << int(random.random() * 8),)) + data[place + 1 :]


def _insert(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    place = _at(random, data)
    return data[:place] + random.randbytes(random.randint(1, 8)) + data[place:]


def _delete(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    place = _at(random, data)
    return data[:place] + data[place + random.randint(1, 8) :]


def _double(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    place, end = sorted((_at(random, data), _at(random, data)))
    return data[:end] + data[place:]


def _splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    return data[: _at(random, data)] + other[_at(random, other) :]


def _join(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data + random.choice(others)


def _number(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    place = _at(random, data)
    return data[:place] + random.choice(_VARINTS) + data[place + 1 :]


def _cut(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    return data[: _at(random, data)]


_CHANGES = (_flip, _flip, _insert, _delete, _double, _splice, _join, _number, _cut)
