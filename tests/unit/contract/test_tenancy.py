"""Which tenant a job belongs to, and what the job inherits from its tenant."""

from tests.unit.examples import body
from worker.contract.job import Job
from worker.contract.tenancy import Tenancy

TENANCY = Tenancy("base", {"base": None, "clinic-a": "none", "clinic-b": "retain"})


def settled(tenancy: Tenancy = TENANCY, **changes: object) -> tuple[str | None, str | None]:
    job = tenancy.settle(Job.from_message(body(**changes)))
    return job.tenant, job.output.retention


def test_a_job_without_a_tenant_belongs_to_the_default_tenant() -> None:
    assert settled() == ("base", None)
    assert settled(Tenancy(None, {"clinic-a": "none"})) == (None, None)


def test_a_job_that_does_not_say_gets_its_tenants_retention() -> None:
    assert settled(tenant="clinic-a") == ("clinic-a", "none")
    assert settled(tenant="clinic-b") == ("clinic-b", "retain")


def test_what_a_job_says_itself_stands() -> None:
    assert settled(tenant="clinic-a", output={"retention": "retain"}) == ("clinic-a", "retain")


def test_an_unknown_tenant_is_left_unchanged() -> None:
    assert settled(tenant="elsewhere") == ("elsewhere", None)


def test_a_job_that_inherits_nothing_is_not_copied() -> None:
    job = Job.from_message(body(tenant="base"))
    assert TENANCY.settle(job) is job
