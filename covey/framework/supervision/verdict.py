"""What a supervisor decides about an error: a pure look-up, the most specific class first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from covey.framework.errors import ConfigurationError

__all__ = ["Verdict", "check_verdict", "check_verdicts", "verdict_of"]

Verdict = Literal["resume", "restart", "stop", "escalate"]
"""`resume`: the instance lives on with its state, only the message is lost. `restart`: a fresh instance, if
the child's restart type wants one. `stop`: the child ends for good. `escalate`: the supervisor gives up
without trying."""


def verdict_of(error: BaseException, verdicts: Mapping[type[BaseException], Verdict]) -> Verdict | None:
    """The verdict on the error's class, or on the nearest of its bases that has one."""
    for cls in type(error).__mro__:
        verdict = verdicts.get(cls)
        if verdict is not None:
            return verdict
    return None


def check_verdict(verdict: object, where: str) -> Verdict:
    """Refuse what is no verdict.

    Raises:
        ConfigurationError: names the place and the choices.
    """
    for known in get_args(Verdict):
        if verdict == known:
            return known  # type: ignore[no-any-return]
    raise ConfigurationError(f"{where}: {verdict!r} is no verdict: choose one of {_choices()}")


def check_verdicts(
    verdicts: Mapping[type[BaseException], Verdict] | None, where: str
) -> dict[type[BaseException], Verdict]:
    """A checked copy of a table from exception class to verdict.

    Raises:
        ConfigurationError: a key is no exception class, or a value no verdict.
    """
    if verdicts is None:
        return {}
    if not isinstance(verdicts, Mapping):
        raise ConfigurationError(
            f"{where}: verdicts={verdicts!r}: give a dict such as {{OSError: 'restart'}}"
        )
    checked = {}
    for cls, verdict in verdicts.items():
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise ConfigurationError(f"{where}: verdicts={{{cls!r}: ...}}: the keys are exception classes")
        checked[cls] = check_verdict(verdict, f"{where}: verdicts={{{cls.__name__}: {verdict!r}}}")
    return checked


def _choices() -> str:
    return ", ".join(map(repr, get_args(Verdict)))
