"""Which tenants this worker serves, and what a job inherits from its tenant."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.contract.job import Job, Retention

#: Stands in labels and logs for a tenant's name that this worker does not know.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Tenancy:
    """The tenants of an installation.

    Attributes:
        default: The tenant of jobs that name none; None where each job has to name one.
        retention: Every tenant, with the retention of the service's data for those of its jobs that set none.
    """

    default: str | None = None
    retention: Mapping[str, Retention | None] = field(default_factory=dict)

    def read(self, body: bytes) -> Job:
        """The job in a message, completed by `settle`. Raises like `Job.from_message`."""
        return self.settle(Job.from_message(body))

    def settle(self, job: Job) -> Job:
        """The job with its tenant and that tenant's retention filled in."""
        tenant = job.tenant or self.default
        retention = job.output.retention or self.retention.get(tenant or "")
        if (tenant, retention) == (job.tenant, job.output.retention):
            return job
        output = job.output.model_copy(update={"retention": retention})
        return job.model_copy(update={"tenant": tenant, "output": output})
