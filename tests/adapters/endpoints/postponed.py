"""A function whose annotations are all strings."""

from __future__ import annotations

import datetime as dt


def greet(day: dt.date | None = None):
    """Greet."""
