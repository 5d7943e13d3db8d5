from types import SimpleNamespace

import pytest

from tests.hosts.commands import HOSTS
from tests.hosts.table import (
    BEGIN,
    DOCUMENT,
    END,
    MODULES,
    QUESTIONS,
    Table,
    is_whole,
    read,
)

EMPTY = f"# Hosts\n\n{BEGIN}\n{END}\n\nmore\n"


@pytest.fixture
def table() -> Table:
    table = Table()
    table.note("daphne", "exit code", "0")
    return table


def test_what_was_noted_is_written_and_read_again(table):
    text = table.write_into(EMPTY)

    assert read(text)["daphne", "exit code"] == "0"


def test_every_cell_has_a_place(table):
    assert len(read(table.write_into(EMPTY))) == len(HOSTS) * len(QUESTIONS)


def test_what_stands_around_the_table_stays(table):
    text = table.write_into(EMPTY)

    assert text.startswith(f"# Hosts\n\n{BEGIN}\n|")
    assert text.endswith(f"|\n{END}\n\nmore\n")


def test_cells_that_were_not_noted_stay(table):
    other = Table()
    other.note("granian", "exit code", "1")

    text = other.write_into(table.write_into(EMPTY))

    assert read(text)["daphne", "exit code"] == "0"


def test_a_document_that_says_the_same_is_no_difference(table):
    assert not table.compare(table.write_into(EMPTY))


def test_a_difference_names_its_cell(table):
    assert table.compare(EMPTY) == [
        "daphne, exit code: observed '0', documented '?'",
    ]


def test_two_answers_to_one_question_are_an_error(table):
    with pytest.raises(ValueError, match="noted '1', but '0' before"):
        table.note("daphne", "exit code", "1")


@pytest.mark.parametrize(
    ("host", "question"), [("apache", "exit code"), ("daphne", "favourite colour")]
)
def test_what_the_table_has_no_cell_for_is_an_error(table, host, question):
    with pytest.raises(ValueError, match="no cell"):
        table.note(host, question, "0")


def test_a_document_without_a_place_for_the_table_is_an_error(table):
    with pytest.raises(ValueError, match="expected"):
        table.write_into("# Hosts\n")


def test_the_document_has_a_place_for_the_table(table):
    assert table.write_into(DOCUMENT.read_text())


def test_each_cell_without_an_answer_is_missing(table):
    missing = table.missing()

    assert len(missing) == len(HOSTS) * len(QUESTIONS) - 1
    assert "granian, exit code: not observed" in missing
    assert "daphne, exit code: not observed" not in missing


def test_a_table_with_all_answers_misses_nothing():
    table = Table()
    for host in HOSTS:
        for question in QUESTIONS:
            table.note(host, question, "yes")

    assert table.missing() == []


def test_the_tests_that_note_something_are_known():
    assert {each.name for each in MODULES} >= {
        "test_handshake.py",
        "test_protocol.py",
        "test_sigterm.py",
        "test_slow_reader.py",
        "test_vanished.py",
    }
    assert all(each.exists() for each in MODULES)


def make_session(
    *,
    modules=MODULES,
    arguments=("tests",),
    exit_code=pytest.ExitCode.OK,
    collect_only=False,
):
    """Return what the table looks at of a run that ends."""
    return SimpleNamespace(
        exitstatus=exit_code,
        items=[SimpleNamespace(path=each) for each in modules],
        config=SimpleNamespace(
            args=list(arguments), option=SimpleNamespace(collectonly=collect_only)
        ),
    )


def test_a_run_of_all_modules_is_whole():
    session = make_session(modules=[*MODULES, DOCUMENT])

    assert is_whole(session, has_deselected=False)


def test_a_run_that_left_tests_out_is_not_whole():
    assert not is_whole(make_session(), has_deselected=True)


@pytest.mark.parametrize(
    "part",
    [
        {"modules": sorted(MODULES)[1:]},
        {"arguments": ["tests", "tests/hosts/test_table.py::test_it"]},
        {"exit_code": pytest.ExitCode.TESTS_FAILED},
        {"exit_code": pytest.ExitCode.INTERRUPTED},
        {"collect_only": True},
    ],
    ids=str,
)
def test_a_part_of_a_run_is_not_whole(part):
    assert not is_whole(make_session(**part), has_deselected=False)
