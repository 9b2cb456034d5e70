"""Which agent classes may be placed on a node: those that construct without arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from covey.framework.agent import Agent
from covey.framework.errors import ConfigurationError

__all__ = ["check_host", "check_hosts"]


def check_hosts(classes: Iterable[type[Agent]]) -> dict[str, type[Agent]]:
    """The classes by kind.

    Raises:
        ConfigurationError: as `check_host`.
    """
    hosts: dict[str, type[Agent]] = {}
    for cls in classes:
        check_host(cls, hosts)
        hosts[cls.kind] = cls
    return hosts


def check_host(cls: type[Agent], hosts: dict[str, type[Agent]]) -> None:
    """See that the class can be placed beside those that are hosted already.

    Raises:
        ConfigurationError: it is no agent class, needs constructor arguments, or another class has its
            kind.
    """
    if not (isinstance(cls, type) and issubclass(cls, Agent)):
        raise ConfigurationError(f"hosts=[...]: {cls!r} is no subclass of Agent")
    required = [
        p.name
        for p in list(inspect.signature(cls.__init__).parameters.values())[1:]
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if required:
        raise ConfigurationError(
            f"{cls.__name__} cannot be placed: its constructor needs {', '.join(required)}; "
            "give them defaults, or start it with swarm.spawn(...)"
        )
    known = hosts.get(cls.kind, cls)
    if known is not cls and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ConfigurationError(
            f"two classes have the kind {cls.kind!r}: {known.__module__}.{known.__qualname__} and "
            f"{cls.__module__}.{cls.__qualname__}; set kind = '...' on one of them"
        )
