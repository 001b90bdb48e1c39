"""The arithmetic by which KEDA and the HorizontalPodAutoscaler set a number of replicas.

KEDA hands a metric to an HPA that it makes; the HPA does the rest (`autoscaling/v2`, AverageValue). Pure:
time comes in as a number.
"""

import math
from dataclasses import dataclass, field

#: The HPA leaves things as they are while load and target differ by less than this share.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Direction:
    """How fast replicas come, or go.

    Attributes:
        stabilization: Seconds of which the most cautious wish counts.
        pods: Most replicas changed in one period.
        period: Seconds of that period.
    """

    stabilization: float
    pods: int
    period: float


@dataclass(frozen=True)
class Policy:
    """What the chart sets.

    Attributes:
        target: Jobs meant for one replica.
        least: Fewest replicas.
        most: Most replicas.
        up: How fast replicas come.
        down: How fast they go.
    """

    target: float
    least: int
    most: int
    up: Direction
    down: Direction


@dataclass
class Autoscaler:
    """One HPA: asked now and then, it remembers its wishes and its deeds."""

    policy: Policy
    _wishes: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def decide(self, now: float, load: float, replicas: int) -> int:
        """The number of replicas from now on.

        Args:
            now: Seconds, only growing.
            load: The metric: jobs that wait and run.
            replicas: How many there are now.
        """
        policy = self.policy
        ratio = load / (policy.target * max(replicas, 1))
        wish = replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(load / policy.target)
        wish = min(max(wish, policy.least), policy.most)
        window = max(policy.up.stabilization, policy.down.stabilization)
        self._wishes = [(at, value) for at, value in self._wishes if at > now - window] + [(now, wish)]
        lowest = min(value for at, value in self._wishes if at >= now - policy.up.stabilization)
        highest = max(value for at, value in self._wishes if at >= now - policy.down.stabilization)
        # Up as far as every recent wish agrees, down as far as every recent wish agrees.
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
