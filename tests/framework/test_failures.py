"""Errors on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.framework import errors
from covey.framework.cluster.failures import pack_failure, unpack_failure

COVEY_ERRORS = [
    errors.AgentDeadError("far/x", "it has stopped"),
    errors.AskCancelledError("far/x"),
    errors.AskCycleError(["a/1", "b/2", "a/1"]),
    errors.AskTimeoutError("far/x", 1.5, "shop.Order"),
    errors.AskTimeoutError("far/x", 0.25),
    errors.MailboxFullError("far/x", 10),
    errors.NoHostError("far", ["n1", "n2"], ["near"]),
    errors.NoHostError("far"),
    errors.PayloadTooLargeError("shop.Order", 2_000_000, 1_000_000),
    errors.Reject("not today"),
    errors.Reject(""),
    errors.SchemaChangedError("shop.Order", ["field 1 was str, is int", "field 2 is gone"]),
    errors.UndecodableError("3 bytes that are no shop.Order"),
    errors.UnhandledMessageError("far/x", "shop.Order", ["shop.Quote"]),
    errors.UnhandledMessageError("far/x", "shop.Order"),
]


@pytest.mark.parametrize("error", COVEY_ERRORS, ids=lambda error: type(error).__name__)
def test_coveys_own_errors_come_back_as_themselves(error: errors.CoveyError) -> None:
    back = unpack_failure(pack_failure(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_any_other_error_comes_back_as_text_with_its_traceback() -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError as error:
        back = unpack_failure(pack_failure(error))
    assert isinstance(back, errors.RemoteError)
    assert (back.type_name, back.message) == ("ZeroDivisionError", "a bug")
    assert 'raise ZeroDivisionError("a bug")' in back.traceback_text


def test_an_error_of_a_third_node_keeps_what_that_node_said() -> None:
    back = unpack_failure(pack_failure(errors.RemoteError("KeyError", "'x'", "its traceback")))
    assert isinstance(back, errors.RemoteError)
    assert (back.type_name, back.message, back.traceback_text) == ("KeyError", "'x'", "its traceback")


def test_an_error_that_cannot_be_shown_still_travels() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    back = unpack_failure(pack_failure(Broken()))
    assert isinstance(back, errors.RemoteError)
    assert back.type_name == "Broken"


def test_text_that_utf8_cannot_hold_travels_escaped() -> None:
    back = unpack_failure(pack_failure(errors.Reject("half a pair: \ud800")))
    assert isinstance(back, errors.Reject)
    assert "half a pair" in str(back)


def test_a_long_traceback_is_cut() -> None:
    back = unpack_failure(pack_failure(ValueError("x" * 100_000)))
    assert isinstance(back, errors.RemoteError)
    assert len(back.traceback_text) <= 8_000
    assert len(back.message) <= 8_000


@given(st.binary(max_size=200))
def test_unreadable_bytes_become_an_error_and_raise_nothing(payload: bytes) -> None:
    assert isinstance(unpack_failure(payload), BaseException)
