"""When a token is fresh, due or expired."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.protocol.token import Freshness, Token, TokenPolicy

FRESH, DUE, EXPIRED = Freshness.FRESH, Freshness.DUE, Freshness.EXPIRED
ORDER = [FRESH, DUE, EXPIRED]


def judged(lifetime: float, left: float, chance: float = 0.0, policy: TokenPolicy | None = None) -> Freshness:
    """The judgement of a token of this lifetime when so many seconds of it are left."""
    token = Token("secret", "g1", expires_at=1000.0 + lifetime, lifetime=lifetime)
    return (policy or TokenPolicy()).judge(token, 1000.0 + lifetime - left, chance)


@pytest.mark.parametrize(
    ("lifetime", "left", "expected"),
    [
        # A lifetime of five minutes: due a minute (which is a fifth) before the end, expired 10 s before it.
        (300, 300, FRESH),
        (300, 60.001, FRESH),
        (300, 60, DUE),
        (300, 10.001, DUE),
        (300, 10, EXPIRED),
        (300, -1, EXPIRED),
        # An hour: due when a fifth is left, which is more than a minute.
        (3600, 720.001, FRESH),
        (3600, 720, DUE),
        (3600, 10, EXPIRED),
        # A minute: due when half is left, and never before that.
        (60, 60, FRESH),
        (60, 30.001, FRESH),
        (60, 30, DUE),
        (60, 10, EXPIRED),
        # Ten seconds: expired when a quarter is left; with a margin of 10 s it would never be usable.
        (10, 10, FRESH),
        (10, 5, DUE),
        (10, 2.501, DUE),
        (10, 2.5, EXPIRED),
    ],
)
def test_a_token_ages(lifetime: float, left: float, expected: Freshness) -> None:
    assert judged(lifetime, left) is expected


def test_processes_differ_by_their_share_of_the_lead_and_no_more() -> None:
    assert judged(300, 60, chance=0.0) is DUE
    assert judged(300, 45.001, chance=1.0) is FRESH
    assert judged(300, 45, chance=1.0) is DUE
    assert judged(300, 10, chance=1.0) is EXPIRED


def test_a_policy_can_be_told_other_numbers() -> None:
    policy = TokenPolicy(early=5, share=0, spread=0, margin=1)
    assert [judged(300, left, policy=policy) for left in (5.1, 5, 1.1, 1)] == [FRESH, DUE, DUE, EXPIRED]


@given(st.floats(0.1, 1e5), st.floats(0, 1))
def test_a_token_is_fresh_at_first_expired_at_its_end_and_never_becomes_fresher(
    lifetime: float, chance: float
) -> None:
    ages = [judged(lifetime, lifetime * (100 - step) / 100, chance) for step in range(101)]
    assert (ages[0], ages[-1]) == (FRESH, EXPIRED)
    assert ages == sorted(ages, key=ORDER.index)
    assert DUE in ages


def test_the_secret_does_not_show() -> None:
    assert "secret" not in repr(Token("secret", "g1", 0.0, 0.0))
