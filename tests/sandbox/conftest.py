"""Sandboxes to share within a file of tests."""

from collections.abc import Iterator

import pytest

from sandbox import Sandbox, SandboxUnavailableError


@pytest.fixture(scope="module", params=[3, 2, 1])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox at each level; skipped, with the reason, where the machine does not have it."""
    try:
        made = Sandbox(workers=2, level=request.param)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    yield made
    made.close()
