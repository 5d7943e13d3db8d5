import shutil
import subprocess

import pytest

from benchmarks.fanout import programs as module
from benchmarks.fanout.environments import UnavailableError
from benchmarks.fanout.programs import FLAGS, SOURCES, compiled


@pytest.mark.parametrize("source", ["load.c", "room.c"])
def test_a_program_compiles_without_a_warning(source, programs, tmp_path):
    process = subprocess.run(
        [
            shutil.which("cc"),
            *FLAGS,
            "-Werror",
            "-o",
            tmp_path / "out",
            SOURCES / source,
        ],
        check=False,
        capture_output=True,
        text=True,
    )

    assert process.stderr == ""


def test_a_program_is_compiled_once(programs):
    before = compiled("room.c", programs).stat().st_mtime_ns

    assert compiled("room.c", programs).stat().st_mtime_ns == before


def test_a_program_is_compiled_again_when_its_source_changes(
    programs, tmp_path, monkeypatch
):
    shutil.copy(SOURCES / "room.c", tmp_path)
    monkeypatch.setattr(module, "SOURCES", tmp_path)
    before = compiled("room.c", tmp_path)
    with (tmp_path / "room.c").open("a") as source:
        source.write("\n")

    assert compiled("room.c", tmp_path) != before


def test_what_the_compiler_refuses_is_said(programs, tmp_path, monkeypatch):
    (tmp_path / "room.c").write_text("int main(void) { return nothing; }")
    monkeypatch.setattr(module, "SOURCES", tmp_path)

    with pytest.raises(UnavailableError, match="nothing"):
        compiled("room.c", tmp_path)


def test_a_machine_without_a_compiler_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UnavailableError, match="cc"):
        compiled("room.c", tmp_path)
