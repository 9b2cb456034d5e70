"""`Child`: what a user says of one supervised agent."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from covey.framework.address import Address, check_key
from covey.framework.errors import ConfigurationError
from covey.framework.supervision.restart import RestartType
from covey.framework.supervision.verdict import Verdict, check_verdicts

if TYPE_CHECKING:
    from covey.framework.agent import Agent

__all__ = ["ANY_NODE", "SHUTDOWN_S", "Child"]

ANY_NODE = "*"
"""Stands for whichever node hosts the kind."""

SHUTDOWN_S = 5.0
"""As in Erlang/OTP's child specs."""


class Child:
    """One supervised agent: its class, key and constructor arguments, and what becomes of it.

    Args:
        cls: a subclass of `Agent`, or its place as text, `"package.module:Class"`.
        key: second half of its address; the address is the child's id.
        args: the constructor's arguments, for every instance.
        kwargs: its keyword arguments.
        restart: `permanent`: it always comes back. `transient`: only when it failed. `temporary`: never.
        shutdown_s: how long it may take to stop before it is killed; 0 kills at once.
        verdicts: what is done about which error, for instance `{ValueError: "resume"}`; the most specific
            class decides. Without one `Supervisor.decide` does, which says `restart`.
        node: the name of the node on which it lives, which has its class in `hosts`; `"*"`: any such node,
            and another one when that is lost; by default the supervisor's own. The arguments have to travel:
            messages and scalars only.
        preserve_state: whether the next instance takes over the attributes of the one that failed, see
            `Agent.restore_state`; by default as the class says.

    Raises:
        ConfigurationError: an argument makes no sense, or the class cannot be imported.
    """

    __slots__ = (
        "args",
        "cls",
        "key",
        "kwargs",
        "node",
        "preserve_state",
        "restart",
        "shutdown_s",
        "verdicts",
    )

    def __init__(
        self,
        cls: type[Agent] | str,
        key: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        restart: RestartType = "permanent",
        shutdown_s: float = SHUTDOWN_S,
        verdicts: Mapping[type[BaseException], Verdict] | None = None,
        preserve_state: bool | None = None,
        node: str | None = None,
    ) -> None:
        self.cls = _agent_class(cls)
        self.key = check_key(key)
        here = f"Child({self.cls.__name__}, {key!r}, ...)"
        if restart not in get_args(RestartType):
            raise ConfigurationError(
                f"{here}: restart={restart!r}: choose one of {', '.join(map(repr, get_args(RestartType)))}"
            )
        _check_kwargs(kwargs, here)
        if not isinstance(preserve_state, bool | None):
            raise ConfigurationError(f"{here}: preserve_state={preserve_state!r}: give True, False or None")
        if not isinstance(args, tuple | list):
            raise ConfigurationError(
                f"{here}: args={args!r}: give the constructor's arguments as a tuple, such as (x, y)"
            )
        if (
            isinstance(shutdown_s, bool)
            or not isinstance(shutdown_s, int | float)
            or not 0 <= shutdown_s < 1e9
        ):
            raise ConfigurationError(
                f"{here}: shutdown_s={shutdown_s!r}: give seconds, 0 or more (0 kills it at once)"
            )
        self.node = None if node in (None, ANY_NODE) else check_key(node, "the child's node")
        self.node = ANY_NODE if node == ANY_NODE else self.node
        self.args = tuple(args)
        self.kwargs = dict(kwargs or {})
        self.restart: RestartType = restart
        self.shutdown_s = float(shutdown_s)
        self.verdicts = check_verdicts(verdicts, here)
        self.preserve_state = self.cls.preserve_state if preserve_state is None else preserve_state
        if self.node is not None:
            from covey.framework.supervision.orders import check_travels

            check_travels(self)

    @property
    def address(self) -> Address:
        """Where the child can be reached."""
        return Address(self.cls.kind, self.key)

    @property
    def id(self) -> str:
        """What its supervisor knows it by: its address, `kind/key`."""
        return str(self.address)

    def __repr__(self) -> str:
        return f"Child({self.cls.__name__}, {self.key!r}, restart={self.restart!r})"


def _agent_class(cls: type[Agent] | str) -> type[Agent]:
    from covey.framework.agent import Agent

    found = _imported(cls) if isinstance(cls, str) else cls
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise ConfigurationError(f"Child({cls!r}, ...): the first argument is a subclass of Agent")
    if found is Agent:
        raise ConfigurationError(
            f"Child({cls!r}, ...): Agent itself handles nothing: the first argument is a subclass of it"
        )
    return found


def _check_kwargs(kwargs: object, here: str) -> None:
    """Refuse what cannot be the keyword arguments of a constructor."""
    if kwargs is None or (isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)):
        return
    raise ConfigurationError(
        f"{here}: kwargs={kwargs!r}: give a dict from the names of the constructor's arguments, "
        "such as {'limit': 5}"
    )


def _imported(place: str) -> Any:
    module_name, colon, name = place.partition(":")
    if not (module_name and colon and name):
        raise ConfigurationError(
            f"Child({place!r}, ...): write the class as 'package.module:Class', or give the class itself"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module may raise anything while it is imported
        raise ConfigurationError(
            f"Child({place!r}, ...): {module_name} cannot be imported: {type(error).__name__}: {error}; "
            "name a module that Python can import from here"
        ) from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise ConfigurationError(f"Child({place!r}, ...): {module_name} has no {name!r}") from error
