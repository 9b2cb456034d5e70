"""How large everything is that a node keeps: no table may grow with what strangers send."""

from __future__ import annotations

import functools
import gc
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from covey.framework.watchdog import Watchdog
from covey.testing import ManualClock

__all__ = ["caches", "grown", "sizes"]

LARGE = 1_200
"""Above what any table needs in these tests; a thousand dead letters are kept."""
BOUNDED = {"._sent._frames": 4_096, "._locator._located": 65_536}
"""Tables with a larger bound of their own, by the ends of their paths."""

_TABLES = (dict, set, frozenset, list, deque, tuple, bytearray)
_OTHERS = (ManualClock, Watchdog)
"""What a node shares with other nodes."""
_LEAVES = (str, bytes, int, float, bool, type(None), type, tuple)


def sizes(root: object) -> dict[str, int]:
    """The length of the largest table under each path of attributes, such as `inbound._asks`.

    It follows attributes and tables, into objects of Covey's own only.
    """
    found: dict[str, int] = {}
    seen: set[int] = {id(root)}
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        path, thing = waiting.pop()
        for name, value in _parts(thing):
            if id(value) in seen or isinstance(value, _LEAVES):
                continue
            seen.add(id(value))
            where = f"{path}.{name}".lstrip(".") if name else path
            if isinstance(value, _TABLES):
                found[where] = max(found.get(where, 0), len(value))
                waiting.append((where, value))
            elif type(value).__module__.startswith("covey.") and not isinstance(value, _OTHERS):
                waiting.append((where, value))
    return found


def grown(root: object) -> dict[str, int]:
    """The tables that are larger than they should be."""
    return {path: size for path, size in sizes(root).items() if size > _bound(path)}


def _bound(path: str) -> int:
    return next((bound for end, bound in BOUNDED.items() if path.endswith(end)), LARGE)


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        yield from (("", value) for value in tuple(thing.values()))
        yield from (("", key) for key in tuple(thing))
    elif isinstance(thing, _TABLES):
        yield from (("", value) for value in tuple(thing))
    else:
        yield from tuple(vars(thing).items()) if hasattr(thing, "__dict__") else ()
        for cls in type(thing).__mro__:
            for slot in getattr(cls, "__slots__", ()):
                if hasattr(thing, slot):
                    yield slot, getattr(thing, slot)


def caches() -> list[Any]:
    """Every `lru_cache` of Covey."""
    kind = type(functools.lru_cache(maxsize=1)(len))
    return [
        thing
        for thing in gc.get_objects()
        if type(thing) is kind and str(getattr(thing, "__module__", "")).startswith("covey.")
    ]
