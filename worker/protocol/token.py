"""When an access token is good, when it is time for a new one, and when it is too late."""

from dataclasses import dataclass, field
from enum import Enum


class Freshness(Enum):
    """What to do with a token that we have."""

    FRESH = "use it"
    DUE = "use it, and let one of us fetch the next"
    EXPIRED = "do not use it"


@dataclass(frozen=True, slots=True)
class Grant:
    """A fresh access token, and the seconds it is good for."""

    value: str = field(repr=False)
    expires_in: float


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes:
        value: The secret itself; never shown.
        generation: Random name of this very token, so that a late refusal of an old token cannot
            remove a newer one.
        expires_at: On the monotonic clock of this process.
        lifetime: Seconds it was issued for.
    """

    value: str = field(repr=False)
    generation: str
    expires_at: float
    lifetime: float


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """When to refresh.

    Attributes:
        early: Seconds before expiry at which a refresh falls due, if that is more than `share`.
        share: The same as a share of the lifetime; the larger of both counts, but never more than
            half the lifetime, so that a short-lived token does not fall due as soon as it is issued.
        spread: Share of that time by which processes differ, so that they do not all ask at once.
        margin: Seconds before expiry from which a token is not used any more: a handshake must
            arrive before the end.
    """

    early: float = 60.0
    share: float = 0.2
    spread: float = 0.25
    margin: float = 10.0

    def judge(self, token: Token, now: float, chance: float) -> Freshness:
        """What to do with `token`.

        Args:
            token: The token.
            now: Monotonic time.
            chance: A number in 0..1, constant for a process: how early it is among its peers.
        """
        left = token.expires_at - now
        lead = min(max(self.early, self.share * token.lifetime), token.lifetime / 2)
        if left <= min(self.margin, token.lifetime / 4):
            return Freshness.EXPIRED
        if left <= lead * (1 - self.spread * chance):
            return Freshness.DUE
        return Freshness.FRESH
