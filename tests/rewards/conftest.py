"""The sandbox that judges of programs use here."""

import pytest

from sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox(best: Sandbox) -> Sandbox:
    """At the highest level of this machine."""
    return best
