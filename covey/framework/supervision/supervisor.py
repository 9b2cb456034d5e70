"""What a user writes to have agents supervised: `Supervisor([...Child...])`, a spec that can be nested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from covey.framework.address import Address, check_key
from covey.framework.errors import ConfigurationError
from covey.framework.supervision.restart import Backoff

if TYPE_CHECKING:
    from covey.framework.agent import Agent

__all__ = ["Child", "RestartType", "Strategy", "Supervisor"]

RestartType = Literal["permanent", "transient", "temporary"]
DEFAULT_BACKOFF = Backoff()
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


class Child:
    """One supervised agent: its class, key and constructor arguments, and when it is restarted.

    `permanent`: always. `transient`: only when it failed. `temporary`: never.
    """

    def __init__(
        self,
        cls: type[Agent],
        key: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        restart: RestartType = "permanent",
        verdicts: None = None,
    ) -> None:
        from covey.framework.agent import Agent

        if not (isinstance(cls, type) and issubclass(cls, Agent)):
            raise ConfigurationError(f"Child({cls!r}, ...): the first argument is a subclass of Agent")
        if restart not in get_args(RestartType):
            raise ConfigurationError(
                f"Child({cls.__name__}, {key!r}, restart={restart!r}): "
                f"choose one of {', '.join(get_args(RestartType))}"
            )
        if verdicts is not None:
            raise ConfigurationError(
                f"Child({cls.__name__}, {key!r}, verdicts=...): not available yet; leave it out"
            )
        self.cls = cls
        self.key = check_key(key)
        if not isinstance(args, tuple | list):
            raise ConfigurationError(
                f"Child({cls.__name__}, {key!r}, {args!r}): "
                "give the constructor's arguments as a tuple, such as (x, y)"
            )
        self.args = tuple(args)
        self.kwargs = dict(kwargs or {})
        self.restart: RestartType = restart

    @property
    def address(self) -> Address:
        """Where the child can be reached."""
        return Address(self.cls.kind, self.key)

    def __repr__(self) -> str:
        return f"Child({self.cls.__name__}, {self.key!r}, restart={self.restart!r})"


@dataclass(frozen=True)
class Supervisor:
    """A supervisor's spec: its children (agents and further supervisors) and its limits.

    Children start in order and stop in reverse order. A child that fails is restarted at its address,
    with the mailbox that it had, at most `intensity` times within `period_s`; one more, and the
    supervisor stops its children and fails towards its own supervisor. The root's failure ends the swarm
    with `SwarmFailedError`.

    The strategy is `one_for_one`; `one_for_all` and `rest_for_one` are refused for now.
    """

    children: Sequence[Child | Supervisor]
    strategy: Strategy = "one_for_one"
    intensity: int = 5
    period_s: float = 10.0
    backoff: Backoff | None = DEFAULT_BACKOFF
    name: str = "supervisor"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "decide" in vars(cls):
            raise ConfigurationError(f"{cls.__name__}.decide: not available yet; leave it out")

    def addresses(self) -> list[str]:
        """Addresses of all agents that the spec names, at any depth."""
        found: list[str] = []
        pending: list[Child | Supervisor] = list(self.children)
        while pending:
            child = pending.pop()
            if isinstance(child, Child):
                found.append(str(child.address))
            else:
                pending.extend(child.children)
        return found

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise ConfigurationError(
                f"Supervisor(strategy={self.strategy!r}): choose one of {', '.join(get_args(Strategy))}"
            )
        if self.strategy != "one_for_one":
            raise ConfigurationError(
                f"Supervisor(strategy={self.strategy!r}) is not available yet: use 'one_for_one'"
            )
        if not isinstance(self.intensity, int) or self.intensity < 0:
            raise ConfigurationError(
                f"Supervisor(intensity={self.intensity!r}): give a number of restarts, 0 or more"
            )
        if not self.period_s > 0:
            raise ConfigurationError(f"Supervisor(period_s={self.period_s!r}): give seconds, more than 0")
        seen: set[str] = set()
        for child in self.children:
            if not isinstance(child, Child | Supervisor):
                raise ConfigurationError(
                    f"Supervisor(children=[...]): {child!r} is no Child and no Supervisor"
                )
            label = str(child.address) if isinstance(child, Child) else child.name
            if label in seen:
                raise ConfigurationError(f"Supervisor(children=[...]): {label} stands in it twice")
            seen.add(label)
