"""Environments for the settings, and the faults of bad ones."""

import pytest

from worker.settings import SettingsError, load

SECRET = "s3cret-Zebedee"
NEEDED = {"CORTI_CLIENT_ID": "client", "CORTI_CLIENT_SECRET": SECRET}


def faults(**changes: str) -> list[str]:
    """The faults of an environment; assert that none shows the secret."""
    with pytest.raises(SettingsError) as caught:
        load({**NEEDED, **changes})
    assert str(caught.value).splitlines()[1:] == [f"  {fault}" for fault in caught.value.faults]
    assert SECRET not in str(caught.value)
    return caught.value.faults
