"""The environment in which the published pondsocket runs: made once, and kept.

It lies in the repository's root, where git ignores it.
"""

import sys
from pathlib import Path

from benchmarks.fanout.environments import UnavailableError, interpreter_at

__all__ = ["UnavailableError", "prepare_published"]

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
KEPT = Path(__file__).parents[3] / ".venv-published"


def prepare_published() -> Path:
    """Return the interpreter of an environment that has the published pondsocket.

    Raises:
        UnavailableError: If it cannot be made; says what pip said.
    """
    return interpreter_at(
        KEPT,
        Path(sys.executable),
        ("--requirement", str(REQUIREMENTS)),
        wanted=REQUIREMENTS.read_text(encoding="utf-8"),
        lock=REQUIREMENTS,
    )
