"""What the grants that were tried mean for a node. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from covey.transports.diagnosis.facts import ServerFacts, Trial
from covey.transports.diagnosis.finding import Finding, Verdict
from covey.transports.grants import Grant, client_grants

__all__ = ["permission_findings"]

CHECK = "permissions"


def permission_findings(facts: ServerFacts) -> Iterable[Finding]:
    """One finding for each grant that a node lacks, or one for what explains all of them."""
    refused = [trial.grant for trial in facts.trials if trial.outcome == "refused"]
    granted = [trial.grant for trial in facts.trials if trial.outcome == "granted"]
    whole = _whole(facts, granted, refused) if refused else _all_granted(facts, granted)
    if whole is not None:
        yield whole
    else:
        yield from (_lack(facts, grant) for grant in refused)
    if whole is None or not refused:
        yield from _untried([trial for trial in facts.trials if trial.outcome == "untried"])
        names_clients = any(trial.grant.about == "client" for trial in facts.trials)
        if facts.answers_anybody is False and not names_clients:
            seen = "which clients this node may answer was not tried: it is not any of them"
            fix = "name them to have it tried: --client NAME, again for each"
            yield Finding("clients", Verdict.SKIPPED, seen, fix)


def _all_granted(facts: ServerFacts, granted: Sequence[Grant]) -> Finding:
    who = f"node {facts.name}" if facts.is_named else "a node of any name"
    return Finding(CHECK, Verdict.OK, f"all {len(granted)} that were tried are granted to {who}")


def _whole(facts: ServerFacts, granted: Sequence[Grant], refused: Sequence[Grant]) -> Finding | None:
    """What explains all that is refused: a client, no name, or another's."""
    name, count = facts.name, f"{len(refused)} of the {len(facts.trials)} subjects of a node"
    if any(grant.about == "name" for grant in granted):
        of_clients = {(grant.action, grant.subject) for grant in client_grants(facts.swarm, name)}
        if any((grant.action, grant.subject) not in of_clients for grant in granted):
            return None
        seen = f"{name} is a client, which has an inbox and topics, and is refused {count}"
        fix = "as a client all is well, if `covey send` can ask; for a node give --name and key of a node"
        return Finding(CHECK, Verdict.WARNING, seen, fix)
    if not facts.is_named:
        seen = f"a node that makes up its name, as {name}, is refused {count}"
        return Finding(CHECK, Verdict.FAILURE, seen, "say with --name whose login this is")
    if granted:
        seen = f"this login is not that of {name}: it is refused {count}"
        return Finding(CHECK, Verdict.FAILURE, seen, "give --name and login of one and the same node")
    return None


def _lack(facts: ServerFacts, grant: Grant) -> Finding:
    # Topics are narrowed on purpose at times, and a node starts without them.
    verdict = Verdict.WARNING if grant.about == "topics" else Verdict.FAILURE
    seen = f"node {facts.name} may not {grant.action} {grant.entry}: {grant.without}"
    return Finding(CHECK, verdict, seen, f'let its user {grant.action} "{grant.entry}"')


def _untried(trials: Sequence[Trial]) -> Iterable[Finding]:
    if trials:
        entries = ", ".join(f"{trial.grant.action} {trial.grant.entry}" for trial in trials)
        yield Finding(CHECK, Verdict.SKIPPED, f"not tried: {entries}; {trials[0].why_untried}")
