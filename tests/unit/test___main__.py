"""`python -m pondsocket` is the `pondsocket` script."""

import runpy
import sys

import pytest

from pondsocket import __version__


def test_it_runs_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pondsocket", "--version"])

    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("pondsocket", run_name="__main__")

    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"pondsocket {__version__}\n"
