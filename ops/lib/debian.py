"""Installs Debian packages if this process may."""

import os
import shutil

from ops.lib import children


class InstallError(RuntimeError):
    """A package could not be installed; the message has the output of apt-get."""


def may_install() -> bool:
    """Whether apt-get exists and this process is root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install packages without their recommended packages.

    Raises:
        InstallError: apt-get failed.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        done = children.run(command, env=environment, stdout=children.PIPE, stderr=children.STDOUT)
        if done.returncode != 0:
            raise InstallError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
