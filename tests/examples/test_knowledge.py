"""The knowledge graph: the right first remedy for each fault, and weights that outcomes correct."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.aiops.reasoning.knowledge import CAUSES, REMEDIES, Choice, KnowledgeGraph, Outcome

CLEAN = {
    "leak": ({"rss_mb:high"}, "restart"),
    "spin": ({"cpu_percent:high"}, "kill_child"),
    "slow": ({"latency_ms:high"}, "restart"),
    "hang": ({"running:low", "up:low", "latency_ms:high"}, "resume"),
    "crash": ({"alive:low", "running:low", "up:low", "rss_mb:low"}, "restart"),
    "fill": ({"folder_mb:high"}, "free_folder"),
}
CONFOUNDED = [
    ({"running:low"}, "hang", "resume"),
    ({"up:low"}, "slow", "restart"),
    ({"up:low", "latency_ms:high"}, "slow", "restart"),
    ({"alive:low"}, "crash", "restart"),
    ({"alive:low", "up:low", "latency_ms:high", "rss_mb:low"}, "crash", "restart"),
    ({"rss_mb:high", "up:low", "latency_ms:high"}, "leak", "restart"),
    ({"cpu_percent:high", "up:low", "latency_ms:high"}, "spin", "kill_child"),
    ({"cpu_percent:high", "up:low"}, "spin", "kill_child"),
    ({"folder_mb:high", "up:low"}, "fill", "free_folder"),
    ({"folder_mb:high", "up:low", "latency_ms:high"}, "fill", "free_folder"),
]
SYMPTOMS = sorted({symptom for symptoms, _, _ in CONFOUNDED for symptom in symptoms})


def first_remedy(knowledge: KnowledgeGraph, symptoms: set[str], tried: tuple[str, ...] = ()) -> Choice | None:
    return knowledge.choose_remedy(knowledge.diagnose(symptoms, failed=tried), tried)


@pytest.mark.parametrize("cause", CAUSES)
def test_each_clean_fault_gets_its_cause_and_its_remedy_first(cause: str) -> None:
    knowledge = KnowledgeGraph()
    symptoms, remedy = CLEAN[cause]
    choice = first_remedy(knowledge, symptoms)
    assert knowledge.diagnose(symptoms)[0].cause == cause
    assert choice is not None
    assert (choice.remedy, choice.cause) == (remedy, cause)


@pytest.mark.parametrize(("symptoms", "cause", "remedy"), CONFOUNDED)
def test_symptoms_that_several_faults_share_do_not_confuse(
    symptoms: set[str], cause: str, remedy: str
) -> None:
    knowledge = KnowledgeGraph()
    choice = first_remedy(knowledge, symptoms)
    assert knowledge.diagnose(symptoms)[0].cause == cause
    assert choice is not None
    assert choice.remedy == remedy


def test_what_looks_like_a_hang_and_is_not_ended_by_resume_is_restarted() -> None:
    choice = first_remedy(KnowledgeGraph(), {"running:low", "up:low", "latency_ms:high"}, ("resume",))
    assert choice is not None
    assert choice.remedy == "restart"


def test_a_late_symptom_changes_the_next_remedy() -> None:
    choice = first_remedy(KnowledgeGraph(), {"up:low", "latency_ms:high", "cpu_percent:high"}, ("resume",))
    assert choice is not None
    assert choice.remedy == "kill_child"


@pytest.mark.parametrize("cause", CAUSES)
def test_the_remedies_run_out(cause: str) -> None:
    knowledge, tried = KnowledgeGraph(), []
    while (choice := first_remedy(knowledge, CLEAN[cause][0], tuple(tried))) is not None:
        tried.append(choice.remedy)
        assert len(tried) <= sum(tries for _, tries in REMEDIES.values())
    assert tried[0] == CLEAN[cause][1]
    assert "restart" in tried


def test_a_wrong_prior_about_a_remedy_is_corrected_by_outcomes() -> None:
    knowledge = KnowledgeGraph()
    knowledge.graph.add_edge("leak", "free_folder", alpha=9.5, beta=0.5)
    leak = frozenset({"rss_mb:high"})
    remedies = []
    for _ in range(30):
        choice = first_remedy(knowledge, set(leak))
        assert choice is not None
        remedies.append(choice.remedy)
        knowledge.record(Outcome(leak, choice.cause, choice.remedy, repaired=choice.remedy == "restart"))
    assert remedies[0] == "free_folder"
    assert remedies[-1] == "restart"
    assert remedies == sorted(remedies)


def test_a_wrong_prior_about_a_symptom_is_corrected_by_outcomes() -> None:
    knowledge = KnowledgeGraph()
    knowledge.graph.edges["folder_mb:high", "fill"].update(alpha=0.1, beta=9.9)
    knowledge.graph.add_edge("folder_mb:high", "spin", alpha=9.0, beta=1.0)
    full = frozenset({"folder_mb:high"})
    assert knowledge.diagnose(full)[0].cause == "spin"
    for _ in range(6):
        knowledge.record(Outcome(full, "spin", "kill_child", repaired=False))
        knowledge.record(Outcome(full, "fill", "free_folder", repaired=True))
    assert knowledge.diagnose(full)[0].cause == "fill"


def test_a_symptom_never_seen_before_is_learned() -> None:
    knowledge = KnowledgeGraph()
    assert knowledge.weight("disk_wait:high", "fill") == 0.0
    knowledge.record(Outcome(frozenset({"disk_wait:high", "folder_mb:high"}), "fill", "free_folder", True))
    assert knowledge.weight("disk_wait:high", "fill") > 0.05


def test_a_failed_repair_teaches_nothing_about_symptoms() -> None:
    knowledge = KnowledgeGraph()
    before = knowledge.weight("up:low", "hang")
    knowledge.record(Outcome(frozenset({"up:low"}), "hang", "resume", repaired=False))
    assert knowledge.weight("up:low", "hang") == before
    assert knowledge.weight("hang", "resume") < 0.95


def test_a_diagnosis_says_why() -> None:
    ranking = KnowledgeGraph().diagnose({"up:low", "latency_ms:high"}, failed=["resume"])
    hang = next(d for d in ranking if d.cause == "hang")
    assert "up:low in 95% of such cases" in hang.explanation
    assert "resume did not help" in hang.explanation
    crash = next(d for d in KnowledgeGraph().diagnose({"up:low"}) if d.cause == "crash")
    assert "no alive:low, although 98% show it" in crash.explanation


@given(
    st.sets(st.sampled_from([*SYMPTOMS, "unheard:of"])),
    st.lists(st.sampled_from(sorted(REMEDIES)), max_size=9),
)
def test_probabilities_sum_to_one_and_fall(symptoms: set[str], failed: list[str]) -> None:
    ranking = KnowledgeGraph().diagnose(symptoms, failed)
    shares = [diagnosis.probability for diagnosis in ranking]
    assert sum(shares) == pytest.approx(1.0)
    assert shares == sorted(shares, reverse=True)
    assert {d.cause for d in ranking} == set(CAUSES)


def test_the_weights_survive_a_round_trip() -> None:
    knowledge = KnowledgeGraph()
    knowledge.record(Outcome(frozenset({"rss_mb:high", "new:high"}), "leak", "restart", repaired=True))
    again = KnowledgeGraph.from_json(knowledge.to_json())
    assert again.to_json() == knowledge.to_json()
    assert again.diagnose({"rss_mb:high"}) == knowledge.diagnose({"rss_mb:high"})


def test_weights_that_are_something_else_are_refused_in_a_sentence() -> None:
    document = json.loads(KnowledgeGraph().to_json())
    document["edges"][0][2] = -1.0
    for text in ("", "[]", '{"edges": 3}', json.dumps(document)):
        with pytest.raises(ValueError, match="relearn"):
            KnowledgeGraph.from_json(text)


def test_an_outcome_of_an_unknown_remedy_is_refused() -> None:
    with pytest.raises(ValueError, match="remedies are resume"):
        KnowledgeGraph().record(Outcome(frozenset(), "leak", "prayer", repaired=True))
