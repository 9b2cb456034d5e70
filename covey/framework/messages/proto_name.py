"""Protobuf names of Python classes: the same class gets the same name in every process."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import NamedTuple

__all__ = ["ProtoName", "distinct", "identifier", "name_of"]

_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class ProtoName(NamedTuple):
    """A full protobuf name, split where the package ends."""

    package: str
    path: tuple[str, ...]
    """Enclosing scopes and the name itself: `("Outer", "Inner")`."""

    @property
    def full(self) -> str:
        """`package.Outer.Inner`."""
        return ".".join((self.package, *self.path)) if self.package else ".".join(self.path)

    @classmethod
    def parse(cls, full: str) -> ProtoName:
        """Split a name that a user chose. Raises ValueError if it is no full protobuf name."""
        if not _FULL_NAME.fullmatch(full):
            raise ValueError(
                f"{full!r} is no protobuf name: use dotted ASCII identifiers, such as shop.Order"
            )
        if full.startswith("google.protobuf."):
            raise ValueError(f"{full!r} belongs to protobuf itself: choose a package of your own")
        package, _, name = full.rpartition(".")
        return cls(package, (name,))


def identifier(text: str) -> str:
    """Spell `text` as a protobuf identifier; ASCII punctuation becomes `_`, other characters `_u<hex>`."""
    ascii_text = "".join(
        c if c.isascii() and (c.isalnum() or c == "_") else "_" if c.isascii() else f"_u{ord(c):x}"
        for c in text
    )
    return f"_{ascii_text}" if not ascii_text or ascii_text[0].isdigit() else ascii_text


def distinct(named: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Names as protobuf identifiers, each with its number.

    protoc refuses names in one message or enum that differ only in case or underscores, because JSON would
    confuse them: the later one gets its number appended.
    """
    seen: set[str] = set()
    for text, number in named:
        name = identifier(text)
        while (folded := name.replace("_", "").lower()) in seen:
            name += f"_{number}".replace("-", "minus_")
        seen.add(folded)
        yield name, number


def name_of(cls: type) -> ProtoName:
    """The default name of a class: its module and its qualified name without `<locals>`.

    A class of a script is named after the script, so that the script and a node that imports it agree.
    """
    package = ".".join(identifier(part) for part in _importable_module(cls.__module__).split("."))
    scopes = cls.__qualname__.replace(".<locals>", "").split(".")
    return ProtoName(package, tuple(identifier(scope) for scope in scopes))


def _importable_module(module: str) -> str:
    if module not in ("__main__", "__mp_main__"):
        return module
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    script = getattr(main, "__file__", None)
    return PurePath(script).stem if script else "__main__"
