"""Runs that were never run, for tests of what is made of them."""

from typing import Any

__all__ = ["answer"]


def answer(**figures: Any) -> dict[str, Any]:
    """Return what a phase might have measured."""
    return {
        "seconds": 1.0,
        "deliveries": 1000,
        "per_second": 1000.0,
        "reads": 500,
        "bytes": 66_000,
        "messages": 1000,
        "cpu": 0.25,
        "server_cpu": 0.5,
        "p50": 100.0,
        "p99": 200.0,
        "memory": 1_000_000,
        "others": 0.0,
        **figures,
    }
