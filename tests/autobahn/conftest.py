"""The marker of the tests that run Autobahn's suite."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "autobahn: needs Python 2.7")
