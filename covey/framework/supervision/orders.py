"""What supervisors of different nodes say to each other about a child, and how its spec travels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from covey.framework.errors import ConfigurationError, NotSerializableError
from covey.framework.messages import codec
from covey.framework.messages.message import message
from covey.framework.supervision.child import Child
from covey.framework.supervision.restart import RestartType
from covey.framework.supervision.verdict import Verdict

if TYPE_CHECKING:
    from covey.framework.agent import Agent

__all__ = ["ChildOrder", "ChildReport", "Taken", "TravellingChild", "check_travels", "travelling"]


@message
class TravellingValue:
    """One argument of a constructor: a message, or one of the scalar types; `name` is that of a keyword."""

    name: str = ""
    text: str | None = None
    integer: int | None = None
    number: float | None = None
    flag: bool | None = None
    data: bytes | None = None
    type_name: str = ""
    payload: bytes = b""


@message
class TravellingChild:
    """A child's spec. Classes do not travel: the other node hosts the kind, and knows errors by name."""

    kind: str
    key: str
    values: list[TravellingValue]
    restart: str
    shutdown_s: float
    preserve_state: bool
    errors: list[str]
    """Names of exception classes, `module.Class`."""
    verdicts: list[str]
    """The verdict on each of them."""


@message
class ChildOrder:
    """A supervisor tells the node where its child is to live what to do."""

    what: str
    """`start`, `halt` or `end`."""
    supervisor: str
    """Its path."""
    number: int
    """Grows with each order of this supervisor about this child: an older one, or the same again, is void."""
    epoch: int
    """Of the supervisor's view of the child: a restarted supervisor counts anew."""
    child: TravellingChild
    cause: str = ""
    restarts: int = 0
    """How often the child was restarted so far, wherever."""


@message
class ChildReport:
    """The node where a child lives tells its supervisor what happened."""

    what: str
    """`up`, `down` or `ended`."""
    supervisor: str
    address: str
    number: int
    """Grows with each report about this child since its first order there."""
    order: int
    """Number of the last order that was taken."""
    epoch: int
    """Of that order."""
    verdict: str = ""
    """Empty where the child's spec names none for the error."""
    failure: bytes = b""
    """The error, packed; empty when it stopped without one."""
    restarts: int = 0


@message
class Taken:
    """An order or a report has arrived."""


def travelling(child: Child) -> TravellingChild:
    """The spec as a message.

    Raises:
        NotSerializableError: a constructor argument cannot travel.
    """
    named = [("", value) for value in child.args] + list(child.kwargs.items())
    return TravellingChild(
        kind=child.cls.kind,
        key=child.key,
        values=[_packed(name, value) for name, value in named],
        restart=child.restart,
        shutdown_s=child.shutdown_s,
        preserve_state=child.preserve_state,
        errors=[name_of_error(cls) for cls in child.verdicts],
        verdicts=list(child.verdicts.values()),
    )


def check_travels(child: Child) -> None:
    """Refuse a child of another node whose arguments cannot go there.

    Raises:
        ConfigurationError: names the argument's type and what to do.
    """
    try:
        travelling(child)
    except NotSerializableError as error:
        raise ConfigurationError(
            f"{child!r}: node={child.node!r}, but {error}; scalars (str, int, float, bool, bytes) travel too"
        ) from error


def arrived(spec: TravellingChild, cls: type[Agent]) -> Child:
    """The spec on the node where the child is to live; raises `CoveyError` for what makes no sense."""
    args = tuple(_unpacked(value) for value in spec.values if not value.name)
    kwargs = {value.name: _unpacked(value) for value in spec.values if value.name}
    return Child(
        cls,
        spec.key,
        args,
        kwargs,
        restart=cast("RestartType", spec.restart),
        shutdown_s=spec.shutdown_s,
        preserve_state=spec.preserve_state,
    )


def verdict_by_name(error: BaseException, verdicts: Mapping[str, Verdict]) -> Verdict | None:
    """As `verdict_of`, where the classes are known by name only."""
    for cls in type(error).__mro__:
        verdict = verdicts.get(name_of_error(cls))
        if verdict is not None:
            return verdict
    return None


def verdicts_of(spec: TravellingChild, known: Iterable[Verdict]) -> dict[str, Verdict]:
    """The table of a spec that has arrived, less what is no verdict here."""
    names = {str(verdict): verdict for verdict in known}
    pairs = zip(spec.errors, spec.verdicts, strict=False)
    return {error: names[verdict] for error, verdict in pairs if verdict in names}


def name_of_error(cls: type) -> str:
    """`module.Class`."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _packed(name: str, value: Any) -> TravellingValue:
    kind = type(value)
    if value is None:
        return TravellingValue(name=name)
    if kind is bool:
        return TravellingValue(name=name, flag=value)
    if kind is int:
        return TravellingValue(name=name, integer=value)
    if kind is float:
        return TravellingValue(name=name, number=value)
    if kind is str:
        return TravellingValue(name=name, text=value)
    if kind is bytes:
        return TravellingValue(name=name, data=value)
    type_name, payload = codec.encode(value)
    return TravellingValue(name=name, type_name=type_name, payload=payload)


def _unpacked(value: TravellingValue) -> Any:
    if value.type_name:
        return codec.decode(value.type_name, value.payload)
    for scalar in (value.text, value.integer, value.number, value.flag, value.data):
        if scalar is not None:
            return scalar
    return None
