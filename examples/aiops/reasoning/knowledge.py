"""What the swarm knows: a graph from symptoms to causes to remedies, whose weights each outcome updates."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import networkx as nx

__all__ = ["CAUSES", "REMEDIES", "Choice", "Diagnosis", "KnowledgeGraph", "Outcome"]

CAUSES = ("leak", "spin", "slow", "hang", "crash", "fill")

REMEDIES: Mapping[str, tuple[float, int]] = MappingProxyType(
    {"resume": (0.02, 1), "kill_child": (0.05, 1), "free_folder": (0.05, 1), "restart": (0.5, 2)}
)
"""Each remedy's cost, as the chance of success that one forgoes to avoid it (a restart loses the patient's
state and takes it away for a moment), and how often one incident may try it."""

_SHOWS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "leak": {"rss_mb:high": 0.95, "latency_ms:high": 0.2, "up:low": 0.2},
        "spin": {"cpu_percent:high": 0.95, "up:low": 0.8, "latency_ms:high": 0.8},
        "slow": {"latency_ms:high": 0.95, "up:low": 0.8},
        "hang": {"running:low": 0.98, "up:low": 0.95, "latency_ms:high": 0.9},
        "crash": {
            "alive:low": 0.98,
            "running:low": 0.95,
            "up:low": 0.95,
            "rss_mb:low": 0.9,
            "latency_ms:high": 0.8,
        },
        "fill": {"folder_mb:high": 0.95, "up:low": 0.2, "latency_ms:high": 0.05},
    }
)
_HEALS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "leak": {"restart": 0.95},
        "spin": {"kill_child": 0.95, "restart": 0.8},
        "slow": {"restart": 0.95},
        "hang": {"resume": 0.95, "restart": 0.8},
        "crash": {"restart": 0.95},
        "fill": {"free_folder": 0.95, "restart": 0.8},
    }
)
_STRENGTH = 10.0  # how many outcomes a prior weighs as much as
_UNRELATED = 0.005  # the chance of a symptom in a cause that it has no edge to
_ABSENCE = 0.8  # how sure it is that a symptom not seen yet will not come...
_ABSENCE_LATER = 0.95  # ... and once a remedy has failed, which took its time
_LEAST_HOPE = 0.05  # a remedy expected to work more rarely is not worth a try


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One cause with its probability given what was seen, and why, in a sentence."""

    cause: str
    probability: float
    explanation: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The remedy to try next, the cause it is mainly for, and the chance that it works."""

    remedy: str
    cause: str
    expected: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one repair; `symptoms` are all that its incident showed, as `metric:direction`."""

    symptoms: frozenset[str]
    cause: str
    remedy: str
    repaired: bool


class KnowledgeGraph:
    """A directed graph symptom -> cause -> remedy; each edge is a Beta count (`alpha`, `beta`).

    An edge symptom -> cause weighs how often the cause shows the symptom; cause -> remedy, how often the
    remedy ends the cause. Not thread-safe: one agent owns it.
    """

    def __init__(self) -> None:
        self.graph: nx.DiGraph[str] = nx.DiGraph()
        for remedy in REMEDIES:
            self.graph.add_node(remedy, kind="remedy")
        for cause in CAUSES:
            self.graph.add_node(cause, kind="cause", seen=_STRENGTH / 2)
            for symptom, share in _SHOWS[cause].items():
                self._connect(symptom, cause, share)
            for remedy, share in _HEALS[cause].items():
                self._connect(cause, remedy, share)

    def diagnose(self, symptoms: Collection[str], failed: Sequence[str] = ()) -> list[Diagnosis]:
        """The causes, most probable first; probabilities sum to 1. `failed` are remedies that did not help.

        Naive Bayes over what was seen, what was not seen (yet), and which remedies should have helped.
        """
        weights = {cause: self._likelihood(cause, symptoms, failed) for cause in CAUSES}
        total = sum(weights.values())
        ranked = sorted(weights.items(), key=lambda item: -item[1])
        return [Diagnosis(c, w / total, self._explain(c, symptoms, failed)) for c, w in ranked]

    def choose_remedy(self, ranking: Sequence[Diagnosis], tried: Sequence[str] = ()) -> Choice | None:
        """The remedy with the best chance less its cost over all causes of `ranking`; None when exhausted.

        `tried` lists this incident's remedies so far, repetitions included; `ranking` should come from
        `diagnose(symptoms, failed=tried)`.
        """
        best: tuple[float, Choice] | None = None
        for remedy, (cost, tries) in REMEDIES.items():
            if tried.count(remedy) >= tries:
                continue
            shares = [(d.probability * self._mean(d.cause, remedy, 0.0), d.cause) for d in ranking]
            expected = sum(share for share, _ in shares)
            if expected < _LEAST_HOPE:
                continue
            choice = Choice(remedy, max(shares)[1], expected)
            if best is None or expected - cost > best[0]:
                best = (expected - cost, choice)
        return None if best is None else best[1]

    def record(self, outcome: Outcome) -> None:
        """Learns from one repair: the remedy always, the symptoms only when it proved the cause right.

        Raises: ValueError for a cause or remedy that the graph does not have.
        """
        if outcome.cause not in CAUSES or outcome.remedy not in REMEDIES:
            known = f"causes are {', '.join(CAUSES)}; remedies are {', '.join(REMEDIES)}"
            raise ValueError(f"nothing is known of {outcome.remedy!r} against {outcome.cause!r}; {known}")
        self._count(outcome.cause, outcome.remedy, outcome.repaired)
        if not outcome.repaired:
            return
        self.graph.nodes[outcome.cause]["seen"] += 1.0
        for symptom in {*self._symptoms_of(outcome.cause), *outcome.symptoms}:
            self._count(symptom, outcome.cause, symptom in outcome.symptoms)

    def weight(self, source: str, target: str) -> float:
        """The mean of an edge's Beta count: the share of cases in which it held; 0 without an edge."""
        return self._mean(source, target, 0.0)

    def to_json(self) -> str:
        """All weights as text, to go on from in a later run."""
        seen = {cause: self.graph.nodes[cause]["seen"] for cause in CAUSES}
        edges = [[a, b, data["alpha"], data["beta"]] for a, b, data in self.graph.edges(data=True)]
        return json.dumps({"format": 1, "seen": seen, "edges": edges}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> KnowledgeGraph:
        """The graph that `to_json` wrote.

        Raises: ValueError when the text is something else.
        """
        knowledge = cls()
        try:
            document = json.loads(text)
            edges = [(str(a), str(b), float(alpha), float(beta)) for a, b, alpha, beta in document["edges"]]
            seen = {cause: float(document["seen"][cause]) for cause in CAUSES}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"not a knowledge graph's weights ({error}); remove the file to relearn"
            ) from error
        for source, target, alpha, beta in edges:
            if (target in CAUSES) == (source in CAUSES) or not (alpha > 0 and beta > 0):
                raise ValueError(
                    f"bad edge {source!r} -> {target!r} in a knowledge graph; remove it to relearn"
                )
        knowledge.graph.remove_edges_from(list(knowledge.graph.edges))
        for cause in CAUSES:
            knowledge.graph.nodes[cause]["seen"] = seen[cause]
        for source, target, alpha, beta in edges:
            if target in CAUSES:
                knowledge.graph.add_node(source, kind="symptom")
            knowledge.graph.add_edge(source, target, alpha=alpha, beta=beta)
        return knowledge

    def _likelihood(self, cause: str, symptoms: Collection[str], failed: Sequence[str]) -> float:
        absence = _ABSENCE_LATER if failed else _ABSENCE
        weight = float(self.graph.nodes[cause]["seen"])
        for symptom in symptoms:
            weight *= self._mean(symptom, cause, _UNRELATED)
        for symptom in self._symptoms_of(cause):
            if symptom not in symptoms:
                weight *= 1.0 - absence * self._mean(symptom, cause, 0.0)
        for remedy in failed:
            weight *= 1.0 - self._mean(cause, remedy, 0.0)
        return weight

    def _explain(self, cause: str, symptoms: Collection[str], failed: Sequence[str]) -> str:
        reasons = []
        for symptom in sorted(symptoms):
            share = self._mean(symptom, cause, 0.0)
            reasons.append(f"{symptom} in {share:.0%} of such cases" if share else f"{symptom} does not fit")
        for symptom in self._symptoms_of(cause):
            share = self._mean(symptom, cause, 0.0)
            if symptom not in symptoms and share >= 0.5:
                reasons.append(f"no {symptom}, although {share:.0%} show it")
        reasons += [f"{remedy} did not help" for remedy in failed]
        return f"{cause}: " + ("; ".join(reasons) or "nothing seen yet")

    def _symptoms_of(self, cause: str) -> list[str]:
        return sorted(self.graph.predecessors(cause))

    def _mean(self, source: str, target: str, otherwise: float) -> float:
        edge: dict[str, Any] | None = self.graph.get_edge_data(source, target)
        if edge is None:
            return otherwise
        return float(edge["alpha"] / (edge["alpha"] + edge["beta"]))

    def _connect(self, source: str, target: str, share: float) -> None:
        if target in CAUSES:
            self.graph.add_node(source, kind="symptom")
        self.graph.add_edge(source, target, alpha=share * _STRENGTH, beta=(1.0 - share) * _STRENGTH)

    def _count(self, source: str, target: str, held: bool) -> None:
        if not self.graph.has_edge(source, target):
            self._connect(source, target, _UNRELATED)
        self.graph.edges[source, target]["alpha" if held else "beta"] += 1.0
