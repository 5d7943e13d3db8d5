import pytest

from benchmarks.fanout.results import RESULTS, replace_part, write_part

KEPT = "# Load\n\nby hand\n"
PART = "<!-- fan-out: written by make bench -->\n\nnew\n\n<!-- fan-out: end -->"


def replaced(text):
    return replace_part(text, "fan-out", "make bench", ["new"])


def test_a_part_that_is_missing_is_added_at_the_end():
    assert replaced(KEPT) == f"{KEPT}\n{PART}\n"


def test_an_empty_file_gets_the_part_alone():
    assert replaced("") == f"{PART}\n"


def test_a_part_is_replaced_where_it_stands():
    before = PART.replace("new", "old\n\nolder")

    assert replaced(f"above\n{before}\nbelow\n") == f"above\n{PART}\nbelow\n"


def test_another_part_is_left_alone():
    other = PART.replace("fan-out", "instructions")

    assert replaced(f"{other}\n").startswith(other)


def test_replacing_twice_changes_nothing():
    assert replaced(replaced(KEPT)) == replaced(KEPT)


def test_a_part_without_an_end_is_not_guessed_at():
    with pytest.raises(ValueError, match="fan-out: end"):
        replaced("<!-- fan-out: written by make bench -->\nold\n")


def test_a_file_is_written_as_a_whole(tmp_path):
    file = tmp_path / "RESULTS.md"
    file.write_text(KEPT)

    write_part(file, "fan-out", "make bench", ["new"])

    assert file.read_text() == replaced(KEPT)
    assert list(tmp_path.iterdir()) == [file]


def test_the_results_that_are_kept_have_a_part_to_write_into():
    kept = RESULTS.read_text(encoding="utf-8")

    above = kept[: kept.index("<!-- fan-out: ")]
    below = kept.rpartition("<!-- fan-out: end -->")[2]
    assert replaced(kept) == f"{above}{PART}{below}"
