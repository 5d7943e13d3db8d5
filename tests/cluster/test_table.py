from types import SimpleNamespace

import pytest

from tests.cluster.table import (
    BEGIN,
    CASES,
    DOCUMENT,
    END,
    MODULES,
    Table,
    is_whole,
    read,
)

EMPTY = f"# Cases\n\n{BEGIN}\n{END}\n\nmore\n"
CASE = "the backend is down at the start"
OTHER = "somebody poisons the bus"


@pytest.fixture
def table() -> Table:
    table = Table()
    table.note(CASE, "redis", recovered_after="0.40 s (at most 2 s)")
    return table


def session_of(modules, exit_status=pytest.ExitCode.OK, arguments=("tests/cluster",)):
    return SimpleNamespace(
        exitstatus=exit_status,
        items=[SimpleNamespace(path=module) for module in modules],
        config=SimpleNamespace(
            args=list(arguments), option=SimpleNamespace(collectonly=False)
        ),
    )


def test_what_was_noted_is_written_and_read_again(table):
    rows = read(table.write_into(EMPTY))

    assert rows[CASE, "redis"]["recovered after"] == "0.40 s (at most 2 s)"
    assert rows[CASE, "redis"]["lost"] == "-"


def test_what_stands_around_the_table_stays(table):
    text = table.write_into(EMPTY)

    assert text.startswith(f"# Cases\n\n{BEGIN}\n|")
    assert text.endswith(f"|\n{END}\n\nmore\n")


def test_rows_that_were_not_noted_stay(table):
    other = Table()
    other.note(OTHER, "nats", lost="0 (0)")

    text = other.write_into(table.write_into(EMPTY))

    assert read(text).keys() == {(CASE, "redis"), (OTHER, "nats")}


def test_another_figure_within_the_same_bound_is_no_difference(table):
    later = Table()
    later.note(CASE, "redis", recovered_after="1.90 s (at most 2 s)")

    assert later.compare(table.write_into(EMPTY)) == []


@pytest.mark.parametrize("cell", ["0.40 s (at most 3 s)", "0.40 s", "-"])
def test_another_bound_is_a_difference(table, cell):
    later = Table()
    later.note(CASE, "redis", recovered_after=cell)

    (line,) = later.compare(table.write_into(EMPTY))

    assert line.startswith(f"{CASE}, redis, recovered after: observed {cell!r}")


def test_a_row_that_the_document_lacks_is_a_difference(table):
    assert len(table.compare(EMPTY)) == 1


def test_a_row_that_nobody_noted_is_missing(table):
    missing = table.missing()

    assert f"{CASE}, nats: not observed" in missing
    assert f"{CASE}, redis: not observed" not in missing


@pytest.mark.parametrize(
    ("case", "backend", "figure"),
    [
        ("nothing", "redis", "lost"),
        (CASE, "kafka", "lost"),
        ("answers to PUBLISH are cut off", "nats", "lost"),
        (CASE, "nats", "colour"),
    ],
)
def test_what_has_no_place_in_the_table_is_refused(table, case, backend, figure):
    with pytest.raises(ValueError, match="has no cells"):
        table.note(case, backend, **{figure: "1 (1)"})


def test_a_row_is_noted_once(table):
    with pytest.raises(ValueError, match="noted before"):
        table.note(CASE, "redis")


def test_a_document_without_a_place_for_the_table_is_refused(table):
    with pytest.raises(ValueError, match="expected"):
        table.write_into("# Cases\n")


def test_the_document_has_a_row_for_each_case():
    rows = {(case, backend) for case, names in CASES.items() for backend in names}

    assert read(DOCUMENT.read_text()).keys() == rows


def test_a_run_with_all_modules_is_whole():
    assert is_whole(session_of(MODULES), has_deselected=False)


@pytest.mark.parametrize(
    ("session", "has_deselected"),
    [
        (session_of([]), False),
        (session_of(MODULES, pytest.ExitCode.TESTS_FAILED), False),
        (session_of(MODULES, arguments=["tests/cluster/test_table.py::x"]), False),
        (session_of(MODULES), True),
    ],
)
def test_a_run_with_a_part_of_the_tests_is_not_whole(session, has_deselected):
    assert not is_whole(session, has_deselected=has_deselected)
