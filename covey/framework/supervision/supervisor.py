"""`Supervisor`: what a user says of a group of agents that are supervised together; can be nested."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from covey.framework.address import check_key
from covey.framework.errors import ConfigurationError
from covey.framework.supervision.backoff import Backoff
from covey.framework.supervision.child import Child
from covey.framework.supervision.restart import RestartType
from covey.framework.supervision.verdict import Verdict

if TYPE_CHECKING:
    from covey.framework.agent import Agent

__all__ = ["Strategy", "Supervisor"]

DEFAULT_BACKOFF = Backoff()
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


@dataclass(frozen=True)
class Supervisor:
    """A supervisor's spec: its children (agents and further supervisors) and its limits.

    Children start in order, each once the one before it is up, and stop in reverse order. A child that
    fails is restarted at its address, with the mailbox that it had, at most `intensity` times within
    `period_s`; one more, and the supervisor stops its children and fails towards its own supervisor, which
    starts it anew within its own limits; mailboxes are kept until somebody gives up for good. The root's
    failure ends the swarm with `SwarmFailedError`.

    Strategies, as in Erlang/OTP: `one_for_one` restarts the child that failed, `one_for_all` all children,
    `rest_for_one` that child and those after it. Subclass and override `decide` to choose per error.
    """

    children: Sequence[Child | Supervisor]
    strategy: Strategy = "one_for_one"
    intensity: int = 5
    period_s: float = 10.0
    backoff: Backoff | None = DEFAULT_BACKOFF
    """None never waits."""
    name: str = "supervisor"
    """What its own supervisor knows it by; part of the path in reports."""
    template: Child | None = None
    """For a pool: what its children are like; see `pool`."""

    @classmethod
    def pool(
        cls,
        agent: type[Agent] | str,
        size: int,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        restart: RestartType = "permanent",
        shutdown_s: float | None = None,
        verdicts: Mapping[type[BaseException], Verdict] | None = None,
        preserve_state: bool | None = None,
        node: str | None = None,
        **limits: Any,
    ) -> Supervisor:
        """A supervisor of `size` identical children, with the keys `NAME-1`, `NAME-2`, ...

        `name` is the agent's kind unless given, `limits` are those of a supervisor (`intensity`, `backoff`,
        ...). The running pool can be resized.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ConfigurationError(f"Supervisor.pool({agent!r}, {size!r}): give a number of children")
        known = {field.name for field in fields(cls)} - {"children", "name", "template"}
        unknown = sorted(limits.keys() - known)
        if unknown:
            raise ConfigurationError(
                f"Supervisor.pool(..., {unknown[0]}=...): a pool has no such option: choose among those of a "
                f"child, and {', '.join(sorted(known))}"
            )
        more = {} if shutdown_s is None else {"shutdown_s": shutdown_s}
        template = Child(
            agent,
            "template",
            args,
            kwargs,
            restart=restart,
            verdicts=verdicts,
            preserve_state=preserve_state,
            node=node,
            **more,
        )
        name = template.cls.kind if name is None else name
        children = [numbered(template, name, number) for number in range(1, size + 1)]
        return cls(children, name=name, template=template, **limits)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if inspect.iscoroutinefunction(cls.decide) or inspect.isasyncgenfunction(cls.decide):
            raise ConfigurationError(
                f"{cls.__name__}.decide is async, but it is called where the agent has failed and nobody can "
                "await it: write a plain `def decide`"
            )

    def decide(self, error: BaseException) -> Verdict:
        """What to do about an error that the child's own `verdicts` do not name.

        Override it in a subclass. It is called in the failed agent's executor (for agents with a thread,
        in that), must be quick, and must not raise: a supervisor whose `decide` raises has crashed itself
        and fails towards its own supervisor.
        """
        del error
        return "restart"

    @property
    def id(self) -> str:
        """What its own supervisor knows it by: its name."""
        return self.name

    def walk(self) -> Iterator[Child]:
        """All agents that the spec names, at any depth, in the order in which they start."""
        pending = [iter(self.children)]
        while pending:
            child = next(pending[-1], None)
            if child is None:
                pending.pop()
            elif isinstance(child, Child):
                yield child
            else:
                pending.append(iter(child.children))

    def addresses(self) -> list[str]:
        """Addresses of all agents that the spec names, at any depth."""
        return [child.id for child in self.walk()]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise ConfigurationError(
                f"Supervisor(name={str(self.name)[:40]!r}): "
                "give it a name without '/', which separates names in a path"
            )
        check_key(self.name, "Supervisor(...): the name")
        here = f"Supervisor(name={self.name!r})"
        if self.strategy not in get_args(Strategy):
            choices = ", ".join(map(repr, get_args(Strategy)))
            raise ConfigurationError(f"{here}: strategy={self.strategy!r}: choose one of {choices}")
        if isinstance(self.intensity, bool) or not isinstance(self.intensity, int) or self.intensity < 0:
            raise ConfigurationError(
                f"{here}: intensity={self.intensity!r}: give a number of restarts, 0 or more"
            )
        if not _is_period(self.period_s):
            raise ConfigurationError(f"{here}: period_s={self.period_s!r}: give seconds, more than 0")
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            raise ConfigurationError(f"{here}: backoff={self.backoff!r}: give a Backoff(...), or None")
        if self.template is not None and not isinstance(self.template, Child):
            raise ConfigurationError(
                f"{here}: template={self.template!r}: give a Child(cls, key), or use Supervisor.pool(...)"
            )
        if not isinstance(self.children, Iterable):
            raise ConfigurationError(
                f"{here}: children={self.children!r}: give a list, such as [Child(cls, key), ...]"
            )
        object.__setattr__(self, "children", tuple(self.children))  # nobody changes a spec that runs
        _check_children(self, here)


def numbered(template: Child, name: str, number: int) -> Child:
    """A pool's child of that number."""
    return Child(
        template.cls,
        f"{name}-{number}",
        template.args,
        template.kwargs,
        restart=template.restart,
        shutdown_s=template.shutdown_s,
        verdicts=template.verdicts,
        preserve_state=template.preserve_state,
        node=template.node,
    )


def _is_period(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= sys.float_info.max  # type: ignore[operator]


def _check_children(spec: Supervisor, here: str) -> None:
    seen: set[str] = set()
    for child in spec.children:
        if not isinstance(child, Child | Supervisor):
            raise ConfigurationError(
                f"{here}: children=[...]: {child!r} is no Child and no Supervisor: "
                "wrap an agent's class as Child(cls, key)"
            )
        if child.id in seen:
            raise ConfigurationError(
                f"{here}: children=[...]: {child.id} stands in it twice: give each its own key or name"
            )
        seen.add(child.id)
    addresses: set[str] = set()
    for address in spec.addresses() if any(isinstance(c, Supervisor) for c in spec.children) else ():
        if address in addresses:
            raise ConfigurationError(f"{here}: children=[...]: {address} stands in it twice")
        addresses.add(address)
