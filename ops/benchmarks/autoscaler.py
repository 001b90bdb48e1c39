"""A model of how KEDA and the HorizontalPodAutoscaler (HPA) compute the number of replicas.

KEDA creates an HPA and gives it a metric; the HPA decides (`autoscaling/v2`, AverageValue). The model does no
I/O, and gets the time as a number.
"""

import math
from dataclasses import dataclass, field

#: The HPA changes nothing while load and target differ by at most this share.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Direction:
    """How fast replicas are added, or removed.

    Attributes:
        stabilization: The window in seconds. Of all wishes in it, the one that changes least counts.
        pods: Maximum number of replicas added or removed in one period.
        period: Length of the period in seconds.
    """

    stabilization: float
    pods: int
    period: float


@dataclass(frozen=True)
class Policy:
    """The values of the chart.

    Attributes:
        target: Number of jobs for each replica.
        least: Minimum number of replicas.
        most: Maximum number of replicas.
        up: How fast replicas are added.
        down: How fast replicas are removed.
    """

    target: float
    least: int
    most: int
    up: Direction
    down: Direction


@dataclass
class Autoscaler:
    """One HPA. It keeps its recent wishes (computed numbers of replicas) and its recent changes."""

    policy: Policy
    _wishes: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def decide(self, now: float, load: float, replicas: int) -> int:
        """Return the new number of replicas.

        Args:
            now: The time in seconds. It must not decrease from call to call.
            load: The metric: the number of waiting and running jobs.
            replicas: The current number of replicas.
        """
        policy = self.policy
        ratio = load / (policy.target * max(replicas, 1))
        wish = replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(load / policy.target)
        wish = min(max(wish, policy.least), policy.most)
        window = max(policy.up.stabilization, policy.down.stabilization)
        self._wishes = [(at, value) for at, value in self._wishes if at > now - window] + [(now, wish)]
        lowest = min(value for at, value in self._wishes if at >= now - policy.up.stabilization)
        highest = max(value for at, value in self._wishes if at >= now - policy.down.stabilization)
        # Add only as many replicas as every wish in the window for adding asks for, and remove accordingly.
        stable = min(max(replicas, lowest), highest)
        decided = self._limited(now, stable, replicas)
        if decided != replicas:
            self._changes.append((now, decided - replicas))
        return decided

    def _limited(self, now: float, wish: int, replicas: int) -> int:
        up, down = self.policy.up, self.policy.down
        added = sum(change for at, change in self._changes if change > 0 and at > now - up.period)
        taken = -sum(change for at, change in self._changes if change < 0 and at > now - down.period)
        if wish > replicas:
            return max(replicas, min(wish, replicas - added + up.pods))
        return min(replicas, max(wish, replicas + taken - down.pods))
