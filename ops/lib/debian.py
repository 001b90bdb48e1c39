"""Installs Debian packages where that is possible."""

import os
import shutil

from ops.lib import children


class InstallError(RuntimeError):
    """A package could not be installed; the message says what apt-get said."""


def may_install() -> bool:
    """Whether this is a Debian machine and we are root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install packages without those they only recommend.

    Raises:
        InstallError: apt-get could not.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        done = children.run(command, env=environment, stdout=children.PIPE, stderr=children.STDOUT)
        if done.returncode != 0:
            raise InstallError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
