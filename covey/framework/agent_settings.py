"""What an agent class may declare: checked once, when the class is defined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.address import check_kind
from covey.framework.errors import ConfigurationError
from covey.framework.mailbox import Mailbox

if TYPE_CHECKING:
    from covey.framework.agent import Agent

__all__ = ["check_passivation", "check_settings"]

_CHOICES = {"dispatcher": ("loop", "thread"), "trace": ("off", "sampled")}
_NOT_YET = {"durable": False}
"""Names that are reserved, with the only value that says nothing: none of them may be ignored in silence."""


def check_settings(cls: type[Agent]) -> None:
    """Refuse settings that make no sense, or that would have no effect yet.

    Raises:
        ConfigurationError: names the class, the setting, and what to write instead.
    """
    check_kind(cls.kind)
    for name, choices in _CHOICES.items():
        value = getattr(cls, name)
        if value not in choices:
            options = " or ".join(map(repr, choices))
            raise ConfigurationError(f"{cls.__name__}.{name} = {value!r}: choose {options}")
    for name, nothing in _NOT_YET.items():
        value = getattr(cls, name, nothing)
        if value != nothing:
            raise ConfigurationError(f"{cls.__name__}.{name} = {value!r}: not available yet; leave it out")
    for name in ("idle_after_s", "handler_deadline_s"):
        seconds = getattr(cls, name)
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.01 <= seconds < 1e9
        ):
            raise ConfigurationError(f"{cls.__name__}.{name} = {seconds!r}: give seconds, at least 0.01")
    retries = cls.max_retries
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 1_000:
        raise ConfigurationError(f"{cls.__name__}.max_retries = {retries!r}: give a number, 0 to 1,000")
    if not isinstance(cls.preserve_state, bool):
        raise ConfigurationError(f"{cls.__name__}.preserve_state = {cls.preserve_state!r}: True or False")
    if not isinstance(cls.concurrency, int) or cls.concurrency < 1:
        raise ConfigurationError(f"{cls.__name__}.concurrency = {cls.concurrency!r}: at least 1")
    if cls.concurrency > 1 and cls.dispatcher == "thread":
        raise ConfigurationError(
            f"{cls.__name__}: concurrency = {cls.concurrency} needs dispatcher = 'loop': "
            "a thread of its own handles one message at a time"
        )
    if not isinstance(cls.mailbox, Mailbox):
        raise ConfigurationError(f"{cls.__name__}.mailbox = {cls.mailbox!r}: give a Mailbox(capacity=...)")


def check_passivation(cls: type[Agent]) -> None:
    """Refuse a subscriber that would miss what is published while it is passive.

    Raises:
        ConfigurationError: names the class and what to do.
    """
    if cls.idle_after_s is not None and cls._routes.subscriptions:
        raise ConfigurationError(
            f"{cls.__name__}: an agent that subscribes cannot be passive, it would miss publications: "
            "leave idle_after_s out, or let another agent subscribe and tell this one"
        )
