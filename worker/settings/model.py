"""The settings as a whole: checks across several settings, and values that follow from them."""

from typing import Any, Self

from pydantic import PrivateAttr, model_validator

from worker.network.trust import Trust
from worker.settings import tls
from worker.settings.fields import Fields
from worker.settings.tenants import Tenant


class Settings(Fields):
    """All settings, validated, immutable; secrets do not show in its repr."""

    # Read from files, not from variables.
    _others: tuple[Tenant, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _redis_somewhere(self) -> Self:
        if self.redis_url is None and not self.broker_is_redis:
            raise ValueError("expected CORTI_WORKER_REDIS_URL, because the broker is not Redis")
        return self

    @model_validator(mode="after")
    def _tls_files_where_there_is_tls(self) -> Self:
        tls.check("BROKER", self.broker_url, self.broker_ca_file, self.broker_cert_file, self.broker_key_file)
        tls.check("REDIS", self.redis_url, self.redis_ca_file, self.redis_cert_file, self.redis_key_file)
        return self

    @model_validator(mode="after")
    def _object_stores_over_tls(self) -> Self:
        if (self.s3_endpoint or "").startswith("http:") and not self.s3_allow_http:
            raise ValueError(
                "expected https:// in CORTI_WORKER_S3_ENDPOINT; CORTI_WORKER_S3_ALLOW_HTTP=true allows http://"
            )
        return self

    @property
    def broker_trust(self) -> Trust | None:
        """For connections to the broker; None without TLS."""
        trust = Trust(self.broker_ca_file, self.broker_cert_file, self.broker_key_file)
        return trust if tls.secure(self.broker_url) else None

    @property
    def redis_trust(self) -> Trust | None:
        """For connections to the Redis for soft state; None without TLS."""
        if self.redis_url is None:
            return self.broker_trust
        trust = Trust(self.redis_ca_file, self.redis_cert_file, self.redis_key_file)
        return trust if tls.secure(self.redis_url) else None

    @property
    def broker_is_redis(self) -> bool:
        """Whether the broker is Redis; otherwise it is RabbitMQ."""
        return self.broker_url.get_secret_value().startswith("redis")

    @property
    def redis(self) -> str:
        """URL of the Redis for soft state. Secret."""
        return (self.redis_url or self.broker_url).get_secret_value()

    @property
    def own_tenant(self) -> Tenant | None:
        """The tenant of the settings themselves, or None where all tenants have directories."""
        if not self.client_id:
            return None
        return Tenant(
            name=self.tenant,
            realm=self.tenant,
            client_id=self.client_id,
            client_secret=self.client_secret,
            audio_buckets=self.audio_buckets,
            **self.inherited(),
        )

    def inherited(self) -> dict[str, Any]:
        """What a tenant of `tenants_dir` takes from the settings where it has no file of its own."""
        return {
            "environment": self.environment,
            "auth_url": self.auth_url,
            "api_url": self.api_url,
            "stream_url": self.stream_url,
            "ca_file": self.ca_file,
            "max_streams": self.tenant_streams,
            "retention": self.retention,
        }

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        """Every tenant: the settings' own, if there is one, and those of `tenants_dir`."""
        own = self.own_tenant
        return (*((own,) if own else ()), *self._others)

    def beside(self, others: tuple[Tenant, ...]) -> Self:
        """These settings with the tenants that were found in `tenants_dir`."""
        settings = self.model_copy()
        settings._others = others  # noqa: SLF001  # a copy of ourselves
        return settings
