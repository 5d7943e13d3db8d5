import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.fanout import __main__ as module
from benchmarks.fanout.contenders import BY_NAME, C_SEND
from benchmarks.fanout.figures import Table, rate
from benchmarks.fanout.runs import FailedError
from benchmarks.fanout.scenarios import Scenario
from tests.benchmarks.measured import answer

ROOT = Path(module.__file__).parents[2]
SCENARIO = Scenario(
    "tiny",
    ("fan",),
    (BY_NAME[C_SEND],),
    (Table("busy", "Busy", rate("deliveries/s", 0)),),
    2,
)
PATIENCE = 10.0


@pytest.fixture
def results(monkeypatch, tmp_path):
    """A file of results; nothing is compiled, pinned or run."""
    file = tmp_path / "RESULTS.md"
    monkeypatch.setattr(module, "RESULTS", file)
    monkeypatch.setattr(module, "CORES", [0])
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    monkeypatch.setattr(module, "find_python", lambda _: None)
    monkeypatch.setattr(module, "compiled", lambda *_: None)
    monkeypatch.setattr(module, "full_scenarios", lambda: [SCENARIO])
    monkeypatch.setattr(module, "quick_scenarios", lambda: [SCENARIO])
    monkeypatch.setattr("benchmarks.fanout.rounds.run", lambda *_: [answer()])
    return file


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["fanout", *arguments])
    return module.main()


def test_a_whole_run_is_recorded(results, monkeypatch):
    assert run_main(monkeypatch, "--record") == 0

    assert f"| {C_SEND} | 1,000 | 1,000 to 1,000 |" in results.read_text()


@pytest.mark.parametrize(
    "part", [["--quick"], ["--only", "tiny"], ["--contenders", "C"], ["--rounds", "1"]]
)
def test_a_part_of_a_run_is_not_recorded(part, results, monkeypatch):
    run_main(monkeypatch, "--record", *part)

    assert not results.exists()


def test_a_run_goes_on_when_a_contender_fails(results, monkeypatch):
    def fail(*_):
        raise FailedError("no port")

    monkeypatch.setattr("benchmarks.fanout.rounds.run", fail)
    run_main(monkeypatch, "--record")

    assert f"2 of 2 runs of {C_SEND} failed: `no port`." in results.read_text()


def test_figures_can_be_written_elsewhere(results, monkeypatch, tmp_path):
    run_main(monkeypatch, "--only", "tiny", "--out", str(tmp_path / "out.md"))

    assert (tmp_path / "out.md").read_text().startswith("# Fan-out")


def test_what_is_written_names_no_path_of_the_machine(results, monkeypatch):
    run_main(monkeypatch, "--record")

    assert str(ROOT) not in results.read_text()


def test_a_scenario_that_is_not_there_is_an_error(results, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run_main(monkeypatch, "--only", "nothing")

    assert ended.value.code == 2
    assert "no scenario has such a name" in capsys.readouterr().err


def test_an_interrupted_run_ends_what_it_started_and_records_nothing(programs):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.fanout", "--kept", programs),
            *("--only", "load", "--rounds", "5"),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            children = wait_for_children(process.pid)
            process.send_signal(signal.SIGINT)
            _, complaint = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()

    assert (process.returncode, "nothing was recorded" in complaint) == (130, True)
    assert poll(lambda: all(has_ended(child) for child in children))


def wait_for_children(process_id):
    """Wait until a server and its load run."""
    process = psutil.Process(process_id)
    assert poll(lambda: len(process.children()) == 2)
    return process.children()


def has_ended(process):
    """Tell whether it runs no more; who has to take note of that may be slow."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def poll(is_so):
    """Ask until it is so, as there is no event to wait for; tell whether it became."""
    until = time.monotonic() + PATIENCE
    while not (found := is_so()) and time.monotonic() < until:
        pass
    return found
