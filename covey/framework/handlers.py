"""`@handles`, `@every`, `@subscribes`: which method gets which message.

An annotation is resolved as early as it can be: when the decorator runs (with the names of the class body
and of the function around it), else when the class is complete, else at the first spawn.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from covey.framework.errors import ConfigurationError

__all__ = ["Handler", "RouteTable", "Subscription", "Timer", "every", "handles", "subscribes"]

F = TypeVar("F", bound=Callable[..., Any])

_HANDLES = "__covey_handles__"
_EVERY = "__covey_every__"
_SUBSCRIBES = "__covey_subscribes__"


@dataclass(slots=True)
class _Declaration:
    """What a decorator knew: explicit types, or the names it could see for later resolution."""

    explicit: tuple[type, ...] = ()
    names: dict[str, Any] = field(default_factory=dict)
    resolved: tuple[type, ...] = ()


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
    handler: Handler
    declaration: _Declaration

    def accepts(self, message: object) -> bool:
        """Whether the method's annotation allows the message."""
        if not self.declaration.resolved:
            self.declaration.resolved = _annotated_types(self.handler.function, self.declaration)
        return isinstance(message, self.declaration.resolved)


@overload
def handles(method: F, /) -> F: ...
@overload
def handles(*message_types: type) -> Callable[[F], F]: ...


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
        _check_parameters(method)
        setattr(method, _HANDLES, _Declaration(names=_visible_names(sys._getframe(1))))
        return method
    if not arguments or not all(isinstance(argument, type) for argument in arguments):
        raise ConfigurationError(f"@handles takes message types: @handles(Order), not {arguments!r}")

    def mark(method: F) -> F:
        _check_parameters(method)
        setattr(method, _HANDLES, _Declaration(explicit=arguments, resolved=arguments))
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


def subscribes(pattern: str) -> Callable[[F], F]:
    """Give the method every message published on a topic that matches the pattern (NATS wildcards)."""
    from covey.framework.cluster.topics import check_pattern

    check_pattern(pattern)
    names = _visible_names(sys._getframe(1))

    def mark(method: F) -> F:
        _check_parameters(method)
        setattr(method, _SUBSCRIBES, (pattern, _Declaration(names=names)))
        return method

    return mark


class RouteTable:
    """From message type to handler for one agent class; resolves what it can, the rest at first use."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.cache: dict[type, Handler | None] = {}
        self.timers: tuple[Timer, ...] = ()
        self.subscriptions: tuple[Subscription, ...] = ()
        self._routes: dict[type, Handler] = {}
        self._unresolved: list[tuple[str, Callable[..., Any], _Declaration]] = []
        self._collect()
        self.resolve(final=False)

    def _collect(self) -> None:
        timers, subscriptions = [], []
        for name in _method_names(self.cls):
            function = inspect.getattr_static(self.cls, name)
            period_s = getattr(function, _EVERY, None)
            subscribed = getattr(function, _SUBSCRIBES, None)
            if period_s is not None:
                timers.append(Timer(_handler(name, function), period_s))
            if subscribed is not None:
                pattern, declared = subscribed
                subscriptions.append(Subscription(pattern, _handler(name, function), declared))
            declaration = getattr(function, _HANDLES, None)
            if declaration is not None:
                self._unresolved.append((name, function, declaration))
        self.timers = tuple(timers)
        self.subscriptions = tuple(subscriptions)

    def resolve(self, *, final: bool) -> None:
        """Resolve the annotations; `final` raises for those that still cannot be."""
        waiting = []
        for name, function, declaration in self._unresolved:
            if not declaration.resolved:
                try:
                    declaration.resolved = _annotated_types(function, declaration)
                except NameError as error:
                    if final:
                        raise ConfigurationError(
                            f"{self.cls.__name__}.{name}: its annotation names {error.name!r}, which is not "
                            f"defined: define or import it, or write @handles(TheType)"
                        ) from error
                    waiting.append((name, function, declaration))
                    continue
                declaration.names = {}
            for message_type in declaration.resolved:
                self._add(message_type, _handler(name, function))
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
        handler = next((self._routes[base] for base in message_type.__mro__ if base in self._routes), None)
        self.cache[message_type] = handler
        return handler

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


def _check_parameters(method: Callable[..., Any]) -> None:
    if not inspect.isfunction(method):
        raise ConfigurationError(f"@handles goes on a method, not on {method!r}")
    parameters = list(inspect.signature(method).parameters.values())
    required = [p for p in parameters[1:] if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    if len(parameters) < 2 or len(required) > 1:
        raise ConfigurationError(
            f"{method.__qualname__}: a handler takes self and one message, as in "
            f"def {method.__name__}(self, order: Order)"
        )


def _visible_names(frame: types.FrameType) -> dict[str, Any]:
    """Names that an annotation in this class body may mean and that the module's globals do not hold."""
    names: dict[str, Any] = {}
    outer: types.FrameType | None = frame
    frames = []
    while outer is not None and outer.f_code.co_name != "<module>" and len(frames) < 8:
        if outer.f_globals is not frame.f_globals:
            break
        frames.append(outer)
        outer = outer.f_back
    for each in reversed(frames):
        names.update(each.f_locals)
    return names


def _annotated_types(function: Callable[..., Any], declaration: _Declaration) -> tuple[type, ...]:
    parameter = list(inspect.signature(function).parameters.values())[1]
    annotation = parameter.annotation
    if annotation is parameter.empty:
        raise ConfigurationError(
            f"{function.__qualname__}: annotate its parameter {parameter.name!r} with the message type, "
            "or write @handles(TheType)"
        )
    if isinstance(annotation, str):
        function_globals = getattr(function, "__globals__", {})
        annotation = eval(annotation, function_globals, declaration.names)  # as typing.get_type_hints does
    return _flatten(annotation, function, parameter.name)


def _flatten(annotation: Any, function: Callable[..., Any], name: str) -> tuple[type, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(t for part in typing.get_args(annotation) for t in _flatten(part, function, name))
    if typing.get_origin(annotation) is typing.Annotated:
        return _flatten(typing.get_args(annotation)[0], function, name)
    if annotation is None:
        return (type(None),)
    if not isinstance(annotation, type):
        raise ConfigurationError(
            f"{function.__qualname__}: {name}: {annotation!r} is no class that a message can be an instance of"
        )
    return (annotation,)
