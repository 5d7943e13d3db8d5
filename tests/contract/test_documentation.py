"""The transport that docs/custom-transport.md builds keeps the contract, as it says."""

from pathlib import Path
from typing import Any

from tests.test_docs import programs

PAGE = Path(__file__).parents[2] / "docs" / "custom-transport.md"


def run_page() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "page"}
    exec("\n\n".join(programs(PAGE)), names)  # noqa: S102 - our own page
    return names


TestQueues = run_page()["TestQueues"]
