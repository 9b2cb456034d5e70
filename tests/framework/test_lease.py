"""Leases: until when the holder trusts its own, and when an observer may end another's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.framework.cluster.claims import Lease, Life, Owner, end_of, life_of, may_claim
from covey.framework.cluster.lease import (
    DECIDES_S,
    HINTED_S,
    LEASE_S,
    MARGIN_S,
    RENEW_S,
    Expired,
    Leases,
    OwnLease,
)

TRUST_S = LEASE_S - MARGIN_S
TINY_S = 0.001
times = st.floats(0, 1e6)


@pytest.fixture
def own() -> OwnLease:
    """Connected at 9, renewed at 10 with revision 5."""
    own = OwnLease()
    own.connected(True, 9.0)
    own.renewed(5, sent_at=10.0)
    return own


@pytest.fixture
def leases() -> Leases:
    """It has seen `other` at 10 with revision 5, over the connection c1; the store has just answered."""
    leases = Leases()
    leases.watching(True, 10.0)
    leases.answered(10.0)
    leases.saw("other", 5, 10.0, "c1")
    return leases


def expired(leases: Leases, now: float) -> list[tuple[str, int]]:
    """What may be ended at that time, if the store has answered all along."""
    at = leases._answered_at
    while at < now:
        at = min(now, at + RENEW_S)
        leases.answered(at)
    return [(each.node, each.revision) for each in leases.expired(now)]


# -- the holder ------------------------------------------------------------------------------------


def test_a_lease_is_not_valid_before_the_first_renewal() -> None:
    own = OwnLease()
    own.connected(True, 0.0)
    assert not own.is_valid(0.0)


def test_a_renewal_is_trusted_from_its_sending_less_a_margin(own: OwnLease) -> None:
    assert own.is_valid(10.0 + TRUST_S - TINY_S)
    assert not own.is_valid(10.0 + TRUST_S)


@given(times, times, st.floats(-1e-3, 1e-3), st.floats(-1e-3, 1e-3))
def test_a_holder_stops_before_an_observer_whose_clock_is_another_may_end_its_lease(
    sent_at: float, late_s: float, drift: float, other_drift: float
) -> None:
    """In true time, with clocks that are wrong by up to 1 in 1000."""
    own, leases = OwnLease(), Leases()
    own.connected(True, sent_at * (1 + drift) - 1.0)
    own.renewed(1, sent_at * (1 + drift))
    seen_at = sent_at + late_s
    leases.watching(True, seen_at * (1 + other_drift))
    leases.saw("holder", 1, seen_at * (1 + other_drift))
    may_end_at = leases.due_at() / (1 + other_drift)
    assert not own.is_valid(may_end_at * (1 + drift))


def test_a_later_renewal_prolongs_it(own: OwnLease) -> None:
    own.renewed(6, sent_at=11.0)
    assert own.revision == 6
    assert own.is_valid(11.0 + TRUST_S - TINY_S)


def test_an_old_revision_takes_nothing_back(own: OwnLease) -> None:
    own.renewed(4, sent_at=9.5)
    assert own.revision == 5
    assert own.is_valid(10.0 + TRUST_S - TINY_S)


def test_an_acknowledgement_counts_though_its_revision_is_known_from_the_watch(own: OwnLease) -> None:
    own.adopt(6)
    assert own.trusted_until == 10.0 + TRUST_S
    own.renewed(6, sent_at=11.0)
    assert own.trusted_until == 11.0 + TRUST_S


def test_a_node_that_is_disconnected_pauses_at_once(own: OwnLease) -> None:
    own.connected(False, 10.2)
    assert not own.is_valid(10.2)


def test_a_connection_alone_does_not_make_it_valid_again(own: OwnLease) -> None:
    own.connected(False, 10.2)
    own.connected(True, 10.3)
    assert not own.is_valid(10.3)


def test_only_a_renewal_that_was_sent_after_the_connection_came_back_makes_it_valid_again(
    own: OwnLease,
) -> None:
    own.connected(False, 10.2)
    own.connected(True, 10.3)
    own.renewed(6, sent_at=10.1)
    own.renewed(7, sent_at=10.3)  # on a coarse clock this may have been before it broke
    assert own.revision == 7
    assert not own.is_valid(10.4)
    own.renewed(8, sent_at=10.4)
    assert own.is_valid(10.4)


def test_an_acknowledgement_that_comes_while_disconnected_does_not_make_it_valid(own: OwnLease) -> None:
    own.connected(False, 10.2)
    own.renewed(6, sent_at=10.3)
    assert not own.is_valid(10.3)


def test_a_connection_that_breaks_and_comes_back_while_a_renewal_is_booked_is_not_overlooked() -> None:
    class Late(float):
        """A time of sending; the connection breaks right after it was found to be recent enough."""

        def __add__(self, other: float) -> float:
            own.connected(False, 10.2)
            own.connected(True, 10.3)
            return float(self) + other

    own = OwnLease()
    own.connected(True, 9.0)
    own.renewed(5, sent_at=Late(10.0))
    assert own.revision == 5
    assert not own.is_valid(10.3)


def test_another_connection_of_which_no_break_was_told_counts_as_a_break(own: OwnLease) -> None:
    own.connected(True, 10.2)
    assert not own.is_valid(10.2)


def test_a_lost_lease_is_lost_whatever_is_acknowledged_later(own: OwnLease) -> None:
    own.lost()
    own.renewed(6, sent_at=10.5)
    assert not own.is_valid(10.5)


def test_a_lease_that_is_taken_anew_is_valid_by_its_own_first_write(own: OwnLease) -> None:
    own.lost()
    own.taken_anew()
    assert not own.is_valid(10.5)
    own.renewed(9, sent_at=10.5)
    assert own.revision == 9
    assert own.is_valid(10.5)


# -- an observer -----------------------------------------------------------------------------------


def test_a_lease_expires_when_it_stood_still_for_its_whole_time_since_it_was_seen(leases: Leases) -> None:
    assert expired(leases, 10.0 + LEASE_S - TINY_S) == []
    assert expired(leases, 10.0 + LEASE_S) == [("other", 5)]


def test_a_renewal_begins_the_wait_anew_and_is_what_may_be_ended(leases: Leases) -> None:
    assert leases.saw("other", 7, 11.0)
    assert expired(leases, 11.0 + LEASE_S - TINY_S) == []
    assert expired(leases, 11.0 + LEASE_S) == [("other", 7)]


@pytest.mark.parametrize("revision", [4, 5])
def test_an_old_revision_is_no_news(leases: Leases, revision: int) -> None:
    assert not leases.saw("other", revision, 11.0)
    assert expired(leases, 10.0 + LEASE_S) == [("other", 5)]


def test_a_hint_shortens_the_wait(leases: Leases) -> None:
    leases.hint("other", "c1")
    assert expired(leases, 10.0 + HINTED_S - TINY_S) == []
    assert expired(leases, 10.0 + HINTED_S) == [("other", 5)]


def test_a_hint_about_a_lease_that_has_stood_still_works_at_once(leases: Leases) -> None:
    assert expired(leases, 11.0) == []
    leases.hint("other", "c1")
    assert expired(leases, 11.0) == [("other", 5)]


def test_a_renewal_disproves_a_hint(leases: Leases) -> None:
    leases.hint("other", "c1")
    leases.saw("other", 6, 10.1, "c1")
    assert expired(leases, 10.1 + LEASE_S - TINY_S) == []


def test_a_late_hint_about_an_earlier_connection_does_not_count(leases: Leases) -> None:
    leases.saw("other", 6, 10.1, "c2")
    leases.hint("other", "c1")
    assert expired(leases, 10.1 + LEASE_S - TINY_S) == []


def test_a_hint_about_a_stranger_is_nothing(leases: Leases) -> None:
    leases.hint("stranger", "c1")
    assert "stranger" not in leases
    assert expired(leases, 11.0) == []


def test_the_reason_says_whether_there_was_a_hint(leases: Leases) -> None:
    leases.saw("hinted", 6, 10.0, "c7")
    leases.hint("hinted", "c7")
    assert expired(leases, 10.0 + LEASE_S) == [("other", 5), ("hinted", 6)]
    assert leases.expired(10.0 + LEASE_S) == [
        Expired("other", 5, "its lease was not renewed for 2.0 s"),
        Expired("hinted", 6, "its connection is gone, and its lease was not renewed for 2.00 s"),
    ]


def test_who_has_no_answers_of_the_store_judges_nobody(leases: Leases) -> None:
    assert not leases.is_frozen(10.0 + DECIDES_S)
    assert leases.is_frozen(10.0 + DECIDES_S + TINY_S)
    assert leases.expired(10.0 + LEASE_S) == []


def test_waits_begin_anew_when_the_store_answers_again(leases: Leases) -> None:
    leases.hint("other", "c1")
    leases.answered(14.0)
    assert expired(leases, 14.0 + LEASE_S - TINY_S) == []
    assert expired(leases, 14.0 + LEASE_S) == [("other", 5)]


def test_waits_go_on_while_the_store_answers_often_enough(leases: Leases) -> None:
    for tenths in range(104, 124, 4):
        leases.answered(tenths / 10)
    assert [each.node for each in leases.expired(10.0 + LEASE_S)] == ["other"]


def test_a_blind_watch_judges_nobody_and_begins_all_waits_anew(leases: Leases) -> None:
    leases.hint("other", "c1")
    leases.watching(False, 10.1)
    assert expired(leases, 13.0) == []
    leases.watching(True, 13.0)
    assert expired(leases, 13.0 + LEASE_S - TINY_S) == []
    assert expired(leases, 13.0 + LEASE_S) == [("other", 5)]


def test_an_observer_that_never_watched_judges_nobody() -> None:
    leases = Leases()
    leases.answered(0.0)
    leases.saw("other", 5, 0.0)
    assert expired(leases, 2 * LEASE_S) == []


def test_who_was_forgotten_does_not_expire(leases: Leases) -> None:
    leases.forget("other")
    leases.forget("stranger")
    assert "other" not in leases
    assert expired(leases, 10.0 + LEASE_S) == []
    assert leases.due_at() == float("inf")


def test_the_first_that_is_due_says_when_to_look_again(leases: Leases) -> None:
    leases.saw("later", 6, 10.5, "c9")
    assert leases.due_at() == 10.0 + LEASE_S
    leases.hint("later", "c9")
    assert leases.due_at() == 10.5 + HINTED_S


@given(times, st.booleans())
def test_a_look_at_the_time_that_is_due_finds_something(now: float, is_hinted: bool) -> None:
    """However the sum is rounded: else a loop would look again at once, for ever on a clock that stands."""
    leases = Leases()
    leases.watching(True, now)
    leases.saw("other", 1, now)
    if is_hinted:
        leases.hint("other")
    leases.answered(now)
    due_at = leases.due_at()
    assert expired(leases, due_at) == [("other", 1)]


# -- claims ----------------------------------------------------------------------------------------


def test_what_nobody_owns_may_be_claimed() -> None:
    assert may_claim(None, {})


@pytest.mark.parametrize(
    ("life", "may"),
    [
        (None, False),  # never seen
        (Life(3, True), False),  # what was seen is older than the claim
        (Life(4, False), False),
        (Life(4, True), True),
        (Life(9, False), True),
        (Life(9, True), True),
    ],
)
def test_what_a_life_owned_may_be_claimed_once_that_life_is_seen_to_be_over(
    life: Life | None, may: bool
) -> None:
    assert may_claim(Owner("a", 4), {} if life is None else {"a": life}) is may


def test_the_first_write_of_a_life_names_it() -> None:
    first, later = Lease("a/1", "c1"), Lease("a/1", "c2", life=4)
    assert life_of(first, 4) == life_of(later, 17) == Life(4, False)


@pytest.mark.parametrize(("lease", "revision"), [(Lease("a/1", "c1"), 4), (Lease("a/1", "c1", life=4), 17)])
def test_the_end_of_a_lease_names_the_life_that_it_ends(lease: Lease, revision: int) -> None:
    assert life_of(end_of(lease, revision), 99) == Life(4, True)
