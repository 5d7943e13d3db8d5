from benchmarks.fanout.contenders import AIOHTTP, BY_NAME, OUR_AIOHTTP, PUBLISHED
from benchmarks.fanout.figures import BARE_HOST, Table, rate
from benchmarks.fanout.scenarios import Scenario
from benchmarks.fanout.tables import median_of, median_ratio, render
from tests.benchmarks.measured import answer

RATE = rate("deliveries/s", 0)
TABLE = Table("busy", "Busy", RATE, references=(PUBLISHED, BARE_HOST))
NAMES = (AIOHTTP, PUBLISHED, OUR_AIOHTTP)
SCENARIO = Scenario("tiny", ("fan",), tuple(BY_NAME[n] for n in NAMES), (TABLE,), 3)


def runs(*rates):
    return [each and [answer(per_second=each)] for each in rates]


def cells(results, failures=None):
    """Return the cells of each contender's row."""
    rows = [
        line.strip("| ").split(" | ")
        for line in render(SCENARIO, results, failures or {})
    ]
    return {each[0].strip(): each[1:] for each in rows if each[0].strip() in NAMES}


def test_a_row_has_the_median_the_spread_and_the_ratios():
    results = {
        AIOHTTP: runs(4000.0, 5000.0, 6000.0),
        PUBLISHED: runs(100.0, 200.0, 300.0),
        OUR_AIOHTTP: runs(1000.0, 3000.0, 9000.0),
    }

    assert cells(results)[OUR_AIOHTTP] == ["3,000", "1,000 to 9,000", "15.00", "0.60"]


def test_a_ratio_is_the_median_of_those_within_a_round():
    results = {"a": runs(10.0, 20.0, 90.0), "b": runs(10.0, 10.0, 30.0)}

    assert median_ratio(results, "a", "b", RATE) == 2


def test_a_round_in_which_one_failed_has_no_ratio():
    results = {"a": runs(10.0, 20.0), "b": runs(None, 10.0)}

    assert median_ratio(results, "a", "b", RATE) == 2


def test_nobody_has_a_ratio_to_itself_or_to_who_was_not_measured():
    results = {"a": runs(10.0)}

    assert median_ratio(results, "a", "a", RATE) is None
    assert median_ratio(results, "a", "b", RATE) is None


def test_a_median_leaves_failed_runs_out():
    assert median_of(runs(10.0, None, 30.0), RATE) == 20


def test_who_failed_in_all_rounds_is_shown_so():
    results = {AIOHTTP: runs(1.0), PUBLISHED: runs(None), OUR_AIOHTTP: runs(2.0)}

    assert cells(results)[PUBLISHED][0] == "failed"


def test_what_a_failed_run_said_is_shown_behind_the_tables():
    results = {AIOHTTP: runs(1.0, None), PUBLISHED: runs(1.0), OUR_AIOHTTP: runs(1.0)}

    lines = render(SCENARIO, results, {AIOHTTP: ["first\nno port"]})

    assert f"1 of 2 runs of {AIOHTTP} failed: `first no port`." in lines
