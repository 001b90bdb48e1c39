"""The retry policy: attempts, outages, jitter, a server's Retry-After, and the job's own deadline."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import EPOCH
from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.jobs.retry import OUTAGES, GiveUp, RetryPolicy, RetryState, TryAgain

POLICY = RetryPolicy(attempts=5, base=1.0, cap=60.0)
CUT = TransientError(Reason.STREAM_INTERRUPTED, "the connection was lost")
AWAY = TransientError(Reason.UPSTREAM_UNAVAILABLE, "no connection")
chances = st.floats(0, 1)


def asked_for(seconds: float) -> TransientError:
    """An error of a server that names a time to come back."""
    return TransientError(Reason.RATE_LIMITED, "HTTP 429", retry_after=seconds)


def delay(error: JobError, number: int, chance: float) -> float:
    """The wait before the next attempt, or before the next try in an outage; attempts never run out."""
    state = RetryState(1, tries=number) if error.reason in OUTAGES else RetryState(number)
    decision = RetryPolicy(attempts=100, base=1.0, cap=60.0).decide(error, state, chance, EPOCH, None)
    assert isinstance(decision, TryAgain)
    return decision.delay


@pytest.mark.parametrize("error_class", [PermanentError, JobError])
def test_an_error_that_is_not_transient_is_given_up_at_once_with_its_own_reason(
    error_class: type[JobError],
) -> None:
    error = error_class(Reason.FORBIDDEN, "not for this tenant")
    assert POLICY.decide(error, RetryState(1), 0.5, EPOCH, None) == GiveUp(
        Reason.FORBIDDEN, "not for this tenant"
    )


def test_a_refused_token_is_worth_another_attempt() -> None:
    assert isinstance(
        POLICY.decide(TokenRefused("HTTP 401"), RetryState(1, tries=1), 0.5, EPOCH, None), TryAgain
    )


def test_the_last_attempt_is_the_last() -> None:
    assert isinstance(POLICY.decide(CUT, RetryState(4), 0.5, EPOCH, None), TryAgain)
    decision = POLICY.decide(CUT, RetryState(5), 0.5, EPOCH, None)
    assert decision == GiveUp(
        Reason.ATTEMPTS_EXHAUSTED,
        "5 attempts failed, the last one because: the connection was lost",
        cause=Reason.STREAM_INTERRUPTED,
    )


def test_one_attempt_means_no_second_one() -> None:
    assert isinstance(RetryPolicy(attempts=1).decide(CUT, RetryState(1), 0.0, EPOCH, None), GiveUp)


@pytest.mark.parametrize("error", [CUT, AWAY])
@pytest.mark.parametrize(("number", "widest"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (99, 60)])
def test_each_range_is_twice_as_wide_as_the_one_before_up_to_the_cap(
    error: JobError, number: int, widest: float
) -> None:
    assert (delay(error, number, 0.0), delay(error, number, 1.0)) == (0.0, widest)
    assert delay(error, number, 0.25) == widest / 4


@given(st.integers(1, 99), chances, st.floats(0, 1e6))
def test_a_server_that_names_a_time_gets_at_least_that_and_at_most_the_cap_besides_jitter(
    attempt: int, chance: float, seconds: float
) -> None:
    wait = delay(asked_for(seconds), attempt, chance)
    assert min(seconds, 60.0) <= wait <= min(seconds, 60.0) + 60.0
    assert wait == pytest.approx(delay(AWAY, attempt, chance) + min(seconds, 60.0))


def test_a_time_that_never_comes_is_cut_at_the_cap() -> None:
    assert delay(asked_for(float("inf")), 1, 0.0) == 60.0


def test_a_job_that_would_be_too_late_for_its_next_attempt_is_expired() -> None:
    decision = POLICY.decide(asked_for(30), RetryState(1, tries=1), 0.0, EPOCH, EPOCH + timedelta(seconds=30))
    assert isinstance(decision, GiveUp)
    assert (decision.reason, decision.cause) == (Reason.EXPIRED, Reason.RATE_LIMITED)
    assert decision.detail.endswith("the last one failed: HTTP 429")
    in_time = EPOCH + timedelta(seconds=30.001)
    assert POLICY.decide(asked_for(30), RetryState(1, tries=1), 0.0, EPOCH, in_time) == TryAgain(
        30.0, counts=False
    )


def test_exhausted_attempts_are_told_before_a_deadline_that_passed() -> None:
    decision = POLICY.decide(CUT, RetryState(5), 0.0, EPOCH, EPOCH - timedelta(days=1))
    assert isinstance(decision, GiveUp)
    assert decision.reason is Reason.ATTEMPTS_EXHAUSTED


@pytest.mark.parametrize("reason", sorted(OUTAGES))
def test_an_outage_is_waited_out_and_costs_no_attempt(reason: Reason) -> None:
    error = TransientError(reason, "HTTP 503")
    late = RetryState(attempt=5, tries=2, lasting=3599.9)
    assert POLICY.decide(error, late, 0.5, EPOCH, None) == TryAgain(1.0, counts=False)


@pytest.mark.parametrize("reason", sorted(OUTAGES))
def test_an_outage_that_outlasts_patience_is_the_reason_itself(reason: Reason) -> None:
    error = TransientError(reason, "HTTP 503")
    decision = POLICY.decide(error, RetryState(1, tries=70, lasting=3600.0), 0.5, EPOCH, None)
    assert decision == GiveUp(reason, "it lasted 3600 s: HTTP 503")


def test_the_time_of_an_outage_is_nothing_to_another_failure() -> None:
    assert POLICY.decide(CUT, RetryState(4, lasting=1e6), 0.0, EPOCH, None) == TryAgain(0.0, counts=True)


def test_an_outage_of_any_number_of_tries_has_a_delay() -> None:
    assert delay(AWAY, 10**9, 1.0) == 60.0


def test_a_job_does_not_wait_for_the_end_of_an_outage_beyond_its_own_time() -> None:
    soon = EPOCH + timedelta(seconds=30)
    decision = POLICY.decide(AWAY, RetryState(1, tries=9, lasting=300), 1.0, EPOCH, soon)
    assert isinstance(decision, GiveUp)
    assert (decision.reason, decision.cause) == (Reason.EXPIRED, Reason.UPSTREAM_UNAVAILABLE)
