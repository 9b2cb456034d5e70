"""Tries grants on a server without anybody noticing it."""

from __future__ import annotations

from collections.abc import Iterable

from covey.transports.diagnosis.facts import Trial
from covey.transports.diagnosis.probe import Probe
from covey.transports.grants import Grant

__all__ = ["trace_headers", "try_grants"]

_TOO_OLD = "a server older than 2.11 would deliver what tries it"


def trace_headers(destination: str) -> dict[str, str]:
    """Headers by which a server only tells, on the destination, where a message would go.

    NATS ADR-41: nothing is delivered; what we may not publish is refused as ever, and so is a destination.
    """
    return {"Nats-Trace-Dest": destination, "Nats-Trace-Only": "true"}


async def try_grants(
    probe: Probe, grants: Iterable[Grant], nowhere: str, *, can_trace: bool
) -> tuple[Trial, ...]:
    """Try each grant on a subject that nobody uses.

    A subscription is tried on one with the probe's token for its wildcards: a pattern would take requests,
    and hide that nobody listens. Publications on subjects that others may listen to are only traced.

    Args:
        nowhere: a subject of the node that goes to nobody.
        can_trace: whether the server knows `trace_headers`.
    """
    headers, why_untried = None, _TOO_OLD
    if can_trace:
        destination, why_untried = await _destination(probe, nowhere)
        headers = trace_headers(destination) if destination else None
    trials = []
    for grant in grants:
        subject = grant.narrowed(probe.token)
        if grant.action == "subscribe":
            allowed = await probe.may_subscribe(subject, grant.queue)
        elif subject == nowhere:
            allowed = await probe.may_publish(subject)
        elif headers is not None:
            allowed = await probe.may_publish(subject, headers)
        else:
            trials.append(Trial(grant, "untried", why_untried))
            continue
        trials.append(Trial(grant, "granted" if allowed else "refused"))
    return tuple(trials)


async def _destination(probe: Probe, nowhere: str) -> tuple[str, str]:
    """Where traces may go, which is nowhere; or why they may not."""
    for subject in (nowhere, f"{probe.inbox}.trace"):
        if await probe.may_publish(subject):
            return subject, ""
    return "", "it cannot be tried while the user may not publish to other nodes"
