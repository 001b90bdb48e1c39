"""One token for the whole fleet: real processes, counted by the sandbox."""

import subprocess
import sys
from pathlib import Path

from ops.sandbox.launch import Sandbox
from tests.contract.corti_side import corti_side
from tests.contract.token_world import new_key

_PROCESSES = 6
_REPOSITORY = Path(__file__).parents[2]


def test_processes_that_start_with_an_empty_cache_make_one_request(sandbox: Sandbox, redis_url: str) -> None:
    with corti_side(sandbox) as side:
        url = side.token_url
    info = sandbox.info
    assert info.ca_file is not None
    command = [sys.executable, "-m", "tests.contract.token_process", str(_PROCESSES), redis_url, url]
    command += [info.ca_file, info.client_id, info.client_secret, new_key()]
    done = subprocess.run(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    digests = done.stdout.split()
    assert len(digests) == _PROCESSES
    assert len(set(digests)) == 1
    assert len(digests[0]) == 64
    assert sandbox.stats(summary=True)["token_requests"] == {"200": 1}
