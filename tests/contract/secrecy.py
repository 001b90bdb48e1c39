"""A check that no error text holds a secret."""

import traceback


def assert_silent(error: BaseException, *secrets: str) -> None:
    """Assert that neither an error's text nor its traceback, as a log would show it, holds a secret."""
    shown = "".join([str(error), repr(error), *traceback.format_exception(error)])
    for secret in ("127.0.0.1", "localhost", "://", "Bearer", *secrets):
        assert secret not in shown, f"{secret!r} is in {shown!r}"
