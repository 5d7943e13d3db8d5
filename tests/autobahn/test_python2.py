"""Autobahn may be skipped where there is no Python 2.7, and for no other reason."""

from pathlib import Path

import pytest

from tests.autobahn.python2 import find_python2


@pytest.fixture(autouse=True)
def pyenv(tmp_path, monkeypatch) -> Path:
    """The root of a pyenv without any Python, on a machine that has none either."""
    root = tmp_path / "pyenv"
    monkeypatch.setenv("PYENV_ROOT", str(root))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{root / 'shims'}")
    monkeypatch.delenv("POND_PYTHON2", raising=False)
    return root


def write_program(path: Path, exit_code: int) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho says {path.name}\nexit {exit_code}\n")
    path.chmod(0o755)
    return path


def test_a_machine_without_any_has_none():
    assert find_python2() is None


def test_one_of_pyenv_is_found(pyenv):
    found = write_program(pyenv / "versions" / "2.7.18" / "bin" / "python2.7", 0)

    assert find_python2() == found


def test_one_of_the_path_is_found(tmp_path):
    found = write_program(tmp_path / "bin" / "python2.7", 0)

    assert find_python2() == found


def test_a_chosen_one_comes_before_all_others(tmp_path, monkeypatch):
    write_program(tmp_path / "bin" / "python2.7", 0)
    chosen = write_program(tmp_path / "mine" / "python", 0)
    monkeypatch.setenv("POND_PYTHON2", str(chosen))

    assert find_python2() == chosen


def test_one_whose_pip_is_broken_gives_way_to_one_that_works(pyenv, tmp_path):
    write_program(pyenv / "versions" / "2.7.18" / "bin" / "python2.7", 1)
    works = write_program(tmp_path / "bin" / "python2.7", 0)

    assert find_python2() == works


def test_a_broken_pip_is_an_error_where_there_is_no_other(pyenv):
    write_program(pyenv / "versions" / "2.7.18" / "bin" / "python2.7", 1)

    with pytest.raises(AssertionError, match=r"says python2\.7"):
        find_python2()


def test_a_chosen_one_that_does_not_exist_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("POND_PYTHON2", str(tmp_path / "nowhere"))

    with pytest.raises(AssertionError, match="nowhere"):
        find_python2()


def test_a_shim_without_a_python_is_none(pyenv):
    write_program(pyenv / "shims" / "python2.7", 127)

    assert find_python2() is None
