"""The incident book: one incident and at most one repair per patient, one end for each incident."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from examples.aiops.reasoning.band import SeriesDetector
from examples.aiops.reasoning.incident import Incident, IncidentBook, IncidentState, WrongStateError
from examples.aiops.reasoning.knowledge import KnowledgeGraph
from examples.aiops.reasoning.series import PATIENT_TRAITS, traits_of
from tests.examples.measured_series import LEVELS, PERIOD_S

S = IncidentState


def repairing(book: IncidentBook, remedy: str = "restart") -> Incident:
    """An incident of `api` opened at 0 and repaired from 0.4 on."""
    incident = book.on_anomaly("api", "up:low", 0.0)
    assert incident is not None
    assert book.tick(0.4) == [incident]
    book.start_repair("api", remedy, "hang", 0.4)
    return incident


def test_anomalies_of_one_patient_are_one_incident_that_waits_for_more() -> None:
    book = IncidentBook()
    first = book.on_anomaly("api", "up:low", 10.0)
    assert first is not None
    assert book.on_anomaly("api", "latency_ms:high", 10.2) is first
    assert book.on_anomaly("shop", "up:low", 10.2) is not first
    assert book.tick(10.39) == []
    assert book.tick(10.41) == [first]
    assert first.state is S.DECIDING
    assert first.evidence == {"up:low", "latency_ms:high"}


def test_a_decisive_symptom_ends_the_waiting() -> None:
    book = IncidentBook()
    book.on_anomaly("api", "up:low", 10.0)
    incident = book.on_anomaly("api", "alive:low", 10.1)
    assert book.tick(10.1) == [incident]


def test_an_incident_passes_through_its_states_to_closed() -> None:
    book = IncidentBook()
    incident = repairing(book)
    assert incident.state is S.REPAIRING
    assert book.on_acted("api", 1, 0.9).state is S.VERIFYING
    assert book.on_outcome("api", 1, True, 1.2).state is S.CLOSED
    assert (incident.repaired, incident.reason, incident.ended_at_s) == (True, "restart repaired it", 1.2)
    assert book.live("api") is None
    assert list(book.ended) == [incident]


def test_what_recovers_before_a_decision_needs_no_repair() -> None:
    book = IncidentBook()
    incident = book.on_anomaly("api", "up:low", 0.0)
    assert incident is not None
    book.on_recovered("api", "up:low", 0.2)
    assert (incident.state, incident.repaired, incident.attempts) == (S.CLOSED, False, [])
    assert book.tick(9.0) == []
    assert book.on_anomaly("api", "up:low", 0.3) is not None


def test_a_second_repair_of_a_patient_is_refused_while_one_is_under_way() -> None:
    book = IncidentBook()
    repairing(book)
    with pytest.raises(WrongStateError, match="api-1 is repairing"):
        book.start_repair("api", "resume", "hang", 0.5)
    book.on_acted("api", 1, 0.6)
    with pytest.raises(WrongStateError, match="api-1 is verifying"):
        book.start_repair("api", "resume", "hang", 0.7)


def test_a_failed_repair_leads_to_the_next_and_then_to_giving_up() -> None:
    book = IncidentBook(max_attempts=2)
    incident = repairing(book, "resume")
    assert book.on_outcome("api", 1, False, 1.0).state is S.DECIDING
    assert incident.tried == ["resume"]
    assert book.start_repair("api", "restart", "hang", 1.0).number == 2
    assert book.on_outcome("api", 2, False, 2.0).state is S.GAVE_UP
    assert incident.reason == "2 repairs failed"
    assert incident.tried == ["resume", "restart"]


def test_giving_up_says_why() -> None:
    book = IncidentBook()
    incident = repairing(book, "resume")
    with pytest.raises(WrongStateError):
        book.give_up("api", "no remedy left", 0.5)
    book.on_outcome("api", 1, False, 1.0)
    book.give_up("api", "no remedy left", 1.0)
    assert (incident.state, incident.reason) == (S.GAVE_UP, "no remedy left")


def test_symptoms_of_a_fault_under_repair_join_its_incident() -> None:
    book = IncidentBook()
    incident = repairing(book, "resume")
    assert book.on_anomaly("api", "cpu_percent:high", 0.6) is incident
    assert incident.evidence == {"up:low", "cpu_percent:high"}


def test_what_a_restart_stirs_up_is_no_evidence_of_the_cause() -> None:
    book = IncidentBook()
    incident = repairing(book, "restart")
    assert book.on_anomaly("api", "alive:low", 0.6) is incident
    assert set(incident.symptoms) == {"up:low", "alive:low"}
    assert incident.evidence == {"up:low"}


def test_an_echo_in_the_quiet_time_opens_nothing() -> None:
    book = IncidentBook(quiet_s=1.5)
    repairing(book)
    book.on_outcome("api", 1, True, 1.0)
    assert book.on_anomaly("api", "latency_ms:high", 1.5) is None
    book.on_recovered("api", "latency_ms:high", 2.0)
    assert book.tick(3.0) == []
    assert book.all_live() == []


def test_an_echo_that_outlasts_the_quiet_time_is_an_incident() -> None:
    book = IncidentBook(quiet_s=1.5)
    repairing(book)
    book.on_outcome("api", 1, True, 1.0)
    book.on_anomaly("api", "folder_mb:high", 1.5)
    turned = book.tick(2.5)
    assert [(i.id, i.state, i.evidence) for i in turned] == [("api-2", S.DECIDING, {"folder_mb:high"})]


def test_a_repair_without_a_result_has_failed_and_its_late_result_is_refused() -> None:
    book = IncidentBook(repair_limit_s=5.0)
    incident = repairing(book)
    assert book.tick(5.3) == []
    assert book.tick(5.5) == [incident]
    assert incident.state is S.DECIDING
    book.start_repair("api", "restart", "hang", 5.5)
    with pytest.raises(WrongStateError, match="not repairing or verifying, attempt 1"):
        book.on_outcome("api", 1, True, 5.6)
    assert incident.state is S.REPAIRING


def test_a_result_for_a_patient_without_incident_is_refused() -> None:
    with pytest.raises(WrongStateError, match="no live incident"):
        IncidentBook().on_outcome("api", 1, True, 0.0)


def test_only_the_last_ended_incidents_are_kept() -> None:
    book = IncidentBook(kept=3)
    for n in range(10):
        book.on_anomaly("api", "up:low", float(n))
        book.on_recovered("api", "up:low", n + 0.1)
    assert [incident.id for incident in book.ended] == ["api-8", "api-9", "api-10"]


# What the monitor measures from the n-th sample of a fault on; metrics left out stay as they were.
MEASURED = {
    "leak": ("restart", lambda n: {"rss_mb": 14.0 + 5.0 * n}),
    "spin": (
        "kill_child",
        lambda n: {"up": 0.0, "latency_ms": 206.0, "cpu_percent": 50.0 if n == 1 else 97.0},
    ),
    "slow": ("restart", lambda n: {"up": 0.0, "latency_ms": 250.0}),
    "hang": ("resume", lambda n: {"running": 0.0, "up": 0.0, "latency_ms": 250.0}),
    "crash": (
        "restart",
        lambda n: {"up": 0.0, "alive": 0.0, "running": 0.0, "rss_mb": 0.0, "latency_ms": 250.0},
    ),
    "fill": ("free_folder", lambda n: {"folder_mb": 1.0 + 4.0 * n, "up": 1.0 if n < 13 else 0.0}),
}


@pytest.mark.parametrize("fault", MEASURED)
def test_each_fault_is_one_incident_decided_rightly_within_six_samples(fault: str) -> None:
    remedy, measure = MEASURED[fault]
    detectors = {metric: SeriesDetector(traits_of(metric)) for metric in PATIENT_TRAITS}
    book, knowledge = IncidentBook(), KnowledgeGraph()
    for n in range(-30, 7):
        values = LEVELS | (measure(n) if n > 0 else {})
        for metric, detector in detectors.items():
            verdict = detector.observe(values[metric], n * PERIOD_S)
            if verdict.event == "anomaly":
                book.on_anomaly("api", f"{metric}:{verdict.direction}", verdict.at_s)
        if turned := book.tick(n * PERIOD_S):
            break
    (incident,) = turned
    ranking = knowledge.diagnose(incident.evidence)
    choice = knowledge.choose_remedy(ranking)
    assert choice is not None
    assert (choice.cause, choice.remedy) == (fault, remedy)
    assert len(book.all_live()) == 1


PATIENTS = st.sampled_from(["api", "shop"])
SYMPTOMS = st.sampled_from(["up:low", "alive:low", "latency_ms:high", "rss_mb:high"])
REMEDIES = st.sampled_from(["restart", "resume"])


class IncidentCourse(RuleBasedStateMachine):
    """Any order of anomalies, recoveries, repairs, results (late ones too) and time."""

    def __init__(self) -> None:
        super().__init__()
        self.book = IncidentBook(max_attempts=3)
        self.now_s = 0.0
        self.seen: dict[str, Incident] = {}
        self.finals: dict[str, tuple[IncidentState, float | None]] = {}
        self.under_way: dict[str, int] = {}
        self.results = 0

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        for incident in self.book.tick(self.now_s):
            self.seen[incident.id] = incident
            self.under_way.pop(incident.patient, None)

    @rule(patient=PATIENTS, symptom=SYMPTOMS)
    def anomaly(self, patient: str, symptom: str) -> None:
        live = self.book.live(patient)
        incident = self.book.on_anomaly(patient, symptom, self.now_s)
        assert live is None or incident is live
        if incident is not None:
            self.seen[incident.id] = incident

    @rule(patient=PATIENTS, symptom=SYMPTOMS)
    def recovery(self, patient: str, symptom: str) -> None:
        self.book.on_recovered(patient, symptom, self.now_s)

    @rule(patient=PATIENTS, remedy=REMEDIES)
    def repair(self, patient: str, remedy: str) -> None:
        try:
            attempt = self.book.start_repair(patient, remedy, "hang", self.now_s)
        except WrongStateError:
            return
        assert patient not in self.under_way, "two repairs of one patient at once"
        self.under_way[patient] = attempt.number

    @rule(patient=PATIENTS, number=st.integers(1, 3))
    def acted(self, patient: str, number: int) -> None:
        try:
            self.book.on_acted(patient, number, self.now_s)
        except WrongStateError:
            return
        assert self.under_way[patient] == number

    @rule(patient=PATIENTS, number=st.integers(1, 3), repaired=st.booleans())
    def result(self, patient: str, number: int, repaired: bool) -> None:
        try:
            self.book.on_outcome(patient, number, repaired, self.now_s)
        except WrongStateError:
            assert self.under_way.get(patient) != number
            return
        assert self.under_way.pop(patient) == number
        self.results += 1

    @rule(patient=PATIENTS)
    @precondition(lambda self: bool(self.book.all_live()))
    def give_up(self, patient: str) -> None:
        try:
            self.book.give_up(patient, "tired", self.now_s)
        except WrongStateError:
            return
        assert patient not in self.under_way

    @invariant()
    def each_incident_ends_once_and_stays_ended(self) -> None:
        for incident in self.seen.values():
            if incident.state.is_final:
                end = (incident.state, incident.ended_at_s)
                assert self.finals.setdefault(incident.id, end) == end
                assert [kept.id for kept in self.book.ended].count(incident.id) == 1
                assert self.book.live(incident.patient) is not incident
            else:
                assert incident.id not in self.finals
                assert self.book.live(incident.patient) is incident

    @invariant()
    def no_more_attempts_than_allowed_and_one_open_at_most(self) -> None:
        for incident in self.seen.values():
            assert len(incident.attempts) <= 3
            unfinished = [a for a in incident.attempts if a.repaired is None]
            assert len(unfinished) <= 1
            assert bool(unfinished) == (incident.state in (S.REPAIRING, S.VERIFYING))


TestIncidentCourse = IncidentCourse.TestCase
TestIncidentCourse.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
