"""The levels of confinement, and which one is asked for; README.md says what they are."""

import os

LEVEL_VARIABLE = "R1ZERO_SANDBOX_LEVEL"
LEVELS = (3, 2, 1)
DEFAULT_MIN_LEVEL = 2


def requested_level(level: int | None) -> int | None:
    """The level asked for in the call or in the environment."""
    if level is None and os.environ.get(LEVEL_VARIABLE):
        try:
            level = int(os.environ[LEVEL_VARIABLE])
        except ValueError as error:
            raise ValueError(f"{LEVEL_VARIABLE} = {os.environ[LEVEL_VARIABLE]}: must be 1, 2 or 3.") from error
    if level is not None and level not in LEVELS:
        raise ValueError(f"level = {level}: must be 1, 2 or 3; code is never run without seccomp.")
    return level
