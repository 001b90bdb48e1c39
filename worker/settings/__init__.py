"""Settings from environment variables. No other package of the worker reads any.

The vendor's credentials have the vendor's names (`CORTI_CLIENT_ID` ...); everything of ours starts
with `CORTI_WORKER_`. Each variable may be given as NAME_FILE instead, naming a file that holds the
value (a mounted secret); further tenants have files in a directory. `load` reports all faults at once.
"""

from worker.settings.environment import (
    SettingsError,
    load,
    markdown_table,
    secret_of,
    tracing,
    variable,
)
from worker.settings.model import Settings
from worker.settings.tenants import Tenant

__all__ = [
    "Settings",
    "SettingsError",
    "Tenant",
    "load",
    "markdown_table",
    "secret_of",
    "tracing",
    "variable",
]
