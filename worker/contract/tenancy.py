"""Which tenants this worker serves, and what a job inherits from its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.contract.job import Job, Retention

#: In labels and logs, in the place of a name that only a producer knows.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Tenancy:
    """The tenants of an installation.

    Attributes:
        default: Whose jobs are those that name no tenant; None where each has to name one.
        retention: Every tenant, with what the service does with the data of its jobs that do not say.
    """

    default: str | None = None
    retention: Mapping[str, Retention | None] = field(default_factory=dict)

    def read(self, body: bytes) -> Job:
        """The job in a message, settled. Raises like `Job.from_message`."""
        return self.settle(Job.from_message(body))

    def settle(self, job: Job) -> Job:
        """The job with its tenant and that tenant's retention filled in."""
        tenant = job.tenant or self.default
        retention = job.output.retention or self.retention.get(tenant or "")
        if (tenant, retention) == (job.tenant, job.output.retention):
            return job
        output = job.output.model_copy(update={"retention": retention})
        return job.model_copy(update={"tenant": tenant, "output": output})
