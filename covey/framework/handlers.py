"""`@handles`, `@every`, `@subscribes`: which method gets which message.

An annotation is resolved as early as it can be: when the decorator runs (with the names of the class body
and of the function around it), else when the class is complete, else at the first spawn.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast, overload

from covey.framework.declaration import Declaration, annotated_types, check_parameters, frames_around
from covey.framework.errors import ConfigurationError

__all__ = ["Handler", "RouteTable", "Subscription", "Timer", "every", "handles", "subscribes"]

F = TypeVar("F", bound=Callable[..., Any])

# Pykka's stop is a tuple, and everything is an object: a handler of these must not get it.
_OWN_MESSAGES = ("pykka.messages", "covey.framework.cluster.topic_message")

_HANDLES = "__covey_handles__"
_EVERY = "__covey_every__"
_SUBSCRIBES = "__covey_subscribes__"


@dataclass(frozen=True, slots=True)
class Handler:
    """A method that handles one message type."""

    name: str
    function: Callable[..., Any]
    is_async: bool


@dataclass(frozen=True, slots=True)
class Timer:
    """A method that is called every `period_s` seconds."""

    handler: Handler
    period_s: float


@dataclass(slots=True)
class Subscription:
    """A method that gets the messages of the topics that match a pattern."""

    pattern: str
    group: str
    handler: Handler
    declaration: Declaration

    def accepts(self, message: object) -> bool:
        """Whether the method's annotation allows the message."""
        return isinstance(message, self.declaration.resolved)


@overload  # first: a class is a callable as well
def handles(*message_types: type) -> Callable[[F], F]: ...
@overload
def handles(method: F, /) -> F: ...


def handles(*arguments: Any) -> Any:
    """Mark a method as the handler of a message type: its annotation's, or the types given.

    The return value is the reply to an ask. Base classes and unions match; the most specific handler wins.
    An error in the method is a failure of the agent (its supervisor decides); raise `Reject` to refuse a
    message only.

    Raises:
        ConfigurationError: at class creation, when the method has no annotated parameter or two methods
            handle the same type.
    """
    if len(arguments) == 1 and inspect.isfunction(arguments[0]):
        method = arguments[0]
        check_parameters(method)
        setattr(method, _HANDLES, Declaration(frames_around(sys._getframe(1))))
        return method
    if not arguments or not all(isinstance(argument, type) for argument in arguments):
        raise ConfigurationError(f"@handles takes message types: @handles(Order), not {arguments!r}")

    def mark(method: F) -> F:
        check_parameters(method)
        setattr(method, _HANDLES, Declaration(resolved=arguments))
        return method

    return mark


def every(period_s: float) -> Callable[[F], F]:
    """Call the method every `period_s` seconds while the agent lives, without drift.

    It runs as a message of the agent, never beside another one; when the agent is late, ticks are
    skipped, not queued. An error in it is a failure of the agent.
    """
    if not isinstance(period_s, int | float) or isinstance(period_s, bool) or not 0.001 <= period_s < 1e9:
        raise ConfigurationError(f"@every({period_s!r}): give seconds, at least 0.001")

    def mark(method: F) -> F:
        if len(inspect.signature(method).parameters) != 1:
            raise ConfigurationError(f"@every: {method.__qualname__} takes no parameter but self")
        setattr(method, _EVERY, float(period_s))
        return method

    return mark


def subscribes(pattern: str, *, group: str = "") -> Callable[[F], F]:
    """Give the method every message published on a topic that matches the pattern (NATS wildcards).

    With a group, each message goes to one agent of the swarm among all that subscribe in that group: a node
    with subscribers is chosen first, then one of its agents, in turn.
    """
    from covey.framework.cluster.topics import check_group, check_pattern

    check_pattern(pattern)
    check_group(group)
    frames = frames_around(sys._getframe(1))

    def mark(method: F) -> F:
        check_parameters(method)
        setattr(method, _SUBSCRIBES, (pattern, group, Declaration(frames)))
        return method

    return mark


class RouteTable:
    """From message type to handler for one agent class; resolves what it can, the rest at first use."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.cache: dict[type, Handler | None] = {}
        self.plain: dict[type, Callable[..., Any]] = {}
        """The functions of those handlers in `cache` that are no `async def`, and have no deadline: for the
        fast path."""
        self.timers: tuple[Timer, ...] = ()
        self.subscriptions: tuple[Subscription, ...] = ()
        self._routes: dict[type, Handler] = {}
        self._unresolved: list[tuple[Handler, Declaration, bool]] = []
        self._collect()
        self.resolve(final=False)

    def _collect(self) -> None:
        timers, subscriptions = [], []
        for name in _method_names(self.cls):
            function = inspect.getattr_static(self.cls, name)
            handler = _handler(name, function)
            period_s = self._mark(name, _EVERY)
            subscribed = self._mark(name, _SUBSCRIBES)
            declaration = self._mark(name, _HANDLES)
            if period_s is not None:
                timers.append(Timer(handler, period_s))
            if subscribed is not None:
                pattern, group, declared = subscribed
                subscriptions.append(Subscription(pattern, group, handler, declared))
                self._unresolved.append((handler, declared, False))
            if declaration is not None:
                self._unresolved.append((handler, declaration, True))
        self.timers = tuple(timers)
        self.subscriptions = tuple(subscriptions)

    def _mark(self, name: str, mark: str) -> Any:
        """A decorator's mark on the method, or on the one that it overrides."""
        for base in self.cls.__mro__:
            function = vars(base).get(name)
            if function is not None and hasattr(function, mark):
                return getattr(function, mark)
        return None

    def resolve(self, *, final: bool) -> None:
        """Resolve the annotations.

        Raises:
            ConfigurationError: one cannot be resolved and this is `final`; two methods handle one type.
        """
        if not self._unresolved:
            return
        waiting = []
        for handler, declaration, routed in self._unresolved:
            if not declaration.resolved:
                try:
                    declaration.resolved = annotated_types(
                        _declared(self.cls, handler, declaration), declaration
                    )
                except (NameError, AttributeError) as error:
                    if final:
                        raise ConfigurationError(
                            f"{self.cls.__name__}.{handler.name}: its annotation names {error.name!r}, which "
                            "is not defined: define or import it, or write @handles(TheType)"
                        ) from error
                    waiting.append((handler, declaration, routed))
                    continue
                declaration.frames = ()
            for message_type in declaration.resolved if routed else ():
                self._add(message_type, handler)
        self._unresolved = waiting

    def _add(self, message_type: type, handler: Handler) -> None:
        known = self._routes.get(message_type)
        if known is not None and known.name != handler.name:
            raise ConfigurationError(
                f"{self.cls.__name__}: {known.name} and {handler.name} both handle {message_type.__name__}; "
                "keep one of them"
            )
        self._routes[message_type] = handler

    def find(self, message_type: type) -> Handler | None:
        """The most specific handler for a type, or None; remembered in `cache`."""
        if self._unresolved:
            self.resolve(final=True)
        bases = () if message_type.__module__ in _OWN_MESSAGES else message_type.__mro__
        handler = next((self._routes[base] for base in bases if base in self._routes), None)
        self.cache[message_type] = handler
        is_timed = getattr(self.cls, "handler_deadline_s", None) is not None
        if handler is not None and not handler.is_async and not is_timed:
            self.plain[message_type] = handler.function
        return handler

    @property
    def message_types(self) -> tuple[type, ...]:
        """The types that have a handler."""
        return tuple(self._routes)

    @property
    def handled(self) -> tuple[str, ...]:
        """Names of the types that have a handler."""
        return tuple(sorted(message_type.__name__ for message_type in self._routes))


def _handler(name: str, function: Callable[..., Any]) -> Handler:
    return Handler(name, function, inspect.iscoroutinefunction(function))


def _method_names(cls: type) -> list[str]:
    """Names of methods in order of definition, base classes first; an override takes its base's place."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if inspect.isfunction(value):
                names.setdefault(name)
    return [name for name in names if inspect.isfunction(inspect.getattr_static(cls, name))]


def _declared(cls: type, handler: Handler, declaration: Declaration) -> Callable[..., Any]:
    """The method that carries the decorator: the handler itself, or the one that it overrides."""
    for base in cls.__mro__:
        function = vars(base).get(handler.name)
        mark = getattr(function, _HANDLES, None) or getattr(function, _SUBSCRIBES, (None,))[-1]
        if mark is declaration:
            return cast("Callable[..., Any]", function)
    return handler.function
