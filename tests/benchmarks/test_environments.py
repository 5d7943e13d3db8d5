import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmarks.fanout import environments as module
from benchmarks.fanout.environments import (
    OURS,
    PEERS,
    UnavailableError,
    find_python,
    interpreter_at,
    interpreter_for,
    pinned,
    version_of,
)


@pytest.mark.parametrize("name", [OURS, *PEERS])
def test_every_requirement_has_one_version(name):
    assert all("==" in each for each in pinned(name)[2 * (name == OURS) :])


def test_what_a_peer_shares_with_ours_has_our_version():
    assert f"uvicorn=={version('uvicorn')}" in pinned("starlette")


def test_what_ours_does_not_have_cannot_be_pinned(monkeypatch):
    monkeypatch.setitem(PEERS, "strange", ("there-is-no-such-library",))

    with pytest.raises(UnavailableError, match="there-is-no-such-library"):
        pinned("strange")


def test_ours_runs_where_this_runs(tmp_path):
    assert interpreter_for(OURS, tmp_path) == Path(sys.executable)


def test_an_environment_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setitem(PEERS, "nothing", ())
    commands = []
    monkeypatch.setattr(module, "version_of", lambda _: "3.11.0")
    monkeypatch.setattr(
        module,
        "_run",
        lambda *each: (
            (tmp_path / "nothing-3.11").mkdir(exist_ok=True) or commands.append(each)
        ),
    )
    for _ in range(2):
        python = interpreter_for("nothing", tmp_path)

    assert python == tmp_path / "nothing-3.11" / "bin" / "python"
    assert len(commands) == 2  # venv, pip


def test_an_environment_is_made_anew_when_it_depends_on_something_else(
    tmp_path, monkeypatch
):
    place, lock = tmp_path / "kept", tmp_path / "lock"
    commands = []
    monkeypatch.setattr(
        module,
        "_run",
        lambda *each: place.mkdir(exist_ok=True) or commands.append(each),
    )
    for wanted in ("this", "that", "that"):
        interpreter_at(place, Path(sys.executable), ["nothing"], wanted, lock=lock)

    assert len(commands) == 4  # venv, pip, twice


def test_an_environment_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    monkeypatch.setitem(PEERS, "nothing", ())
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such luck; exit 1\n")
    broken.chmod(0o755)

    with pytest.raises(UnavailableError, match="no such luck"):
        interpreter_for("nothing", tmp_path, broken)


def test_what_cannot_be_made_is_not_tried_again(tmp_path, monkeypatch):
    monkeypatch.setitem(PEERS, "nothing", ())
    commands = []

    def run(*command):
        commands.append(command)
        raise UnavailableError("no such luck")

    monkeypatch.setattr(module, "version_of", lambda _: "3.11.0")
    monkeypatch.setattr(module, "_run", run)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="no such luck"):
            interpreter_for("nothing", tmp_path)

    assert len(commands) == 1


def test_an_interpreter_tells_its_version():
    assert version_of(Path(sys.executable)) == ".".join(map(str, sys.version_info[:3]))


def test_an_interpreter_is_found_by_its_version():
    wanted = f"{sys.version_info[0]}.{sys.version_info[1]}"

    assert version_of(find_python(wanted)).startswith(wanted)


def test_a_python_that_is_not_there_is_not_found():
    assert find_python("3.1") is None
