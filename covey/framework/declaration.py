"""What a handler's decorator knows, and which types the annotation of its parameter means."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from covey.framework.errors import ConfigurationError

__all__ = ["Declaration", "annotated_types", "check_parameters", "frames_around"]


@dataclass(slots=True)
class Declaration:
    """What a decorator knew: explicit types, or the frames whose names an annotation may mean.

    The frames are kept until the annotation is resolved: a class that a function defines below its agent
    is a local of that function only then.
    """

    frames: tuple[types.FrameType, ...] = ()
    resolved: tuple[type, ...] = ()


def check_parameters(method: Callable[..., Any]) -> None:
    if not inspect.isfunction(method):
        raise ConfigurationError(f"@handles goes on a method, not on {method!r}")
    parameters = list(inspect.signature(method).parameters.values())
    required = [p for p in parameters[1:] if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    if len(parameters) < 2 or len(required) > 1:
        raise ConfigurationError(
            f"{method.__qualname__}: a handler takes self and one message, as in "
            f"def {method.__name__}(self, order: Order)"
        )


def frames_around(frame: types.FrameType) -> tuple[types.FrameType, ...]:
    """The class body and the functions around it: their names are not in the module's globals."""
    found: list[types.FrameType] = []
    outer: types.FrameType | None = frame
    while outer is not None and outer.f_code.co_name != "<module>" and len(found) < 8:
        if outer.f_globals is not frame.f_globals:
            break
        found.append(outer)
        outer = outer.f_back
    return tuple(found)


def annotated_types(function: Callable[..., Any], declaration: Declaration) -> tuple[type, ...]:
    parameter = list(inspect.signature(function).parameters.values())[1]
    annotation = parameter.annotation
    if annotation is parameter.empty:
        raise ConfigurationError(
            f"{function.__qualname__}: annotate its parameter {parameter.name!r} with the message type, "
            "or write @handles(TheType)"
        )
    if isinstance(annotation, str):
        names: dict[str, Any] = {}
        for frame in reversed(declaration.frames):
            names.update(frame.f_locals)
        try:
            annotation = eval(annotation, getattr(function, "__globals__", {}), names)  # as get_type_hints
        except (NameError, AttributeError):
            raise
        except Exception as error:
            raise ConfigurationError(
                f"{function.__qualname__}: the annotation {annotation!r} of {parameter.name!r} cannot be "
                f"read ({type(error).__name__}: {error}); write @handles(TheType)"
            ) from error
    return _flatten(annotation, function, parameter.name)


def _flatten(annotation: Any, function: Callable[..., Any], name: str) -> tuple[type, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(t for part in typing.get_args(annotation) for t in _flatten(part, function, name))
    if typing.get_origin(annotation) is typing.Annotated:
        return _flatten(typing.get_args(annotation)[0], function, name)
    if annotation is None:
        return (type(None),)
    if annotation is Any:
        return (object,)
    if not isinstance(annotation, type):
        raise ConfigurationError(
            f"{function.__qualname__}: {name}: {annotation!r} is no class "
            "that a message can be an instance of"
        )
    return (annotation,)
