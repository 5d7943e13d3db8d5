"""What is measured: phases of a load, who meets it, and which tables tell of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.fanout.contenders import (
    AIOHTTP,
    BY_NAME,
    C_JOINED,
    C_SEND,
    CONTENDERS,
    OUR_ADAPTERS,
    OUR_AIOHTTP,
    OUR_ASGI,
    OUR_WEBSOCKETS,
    PLAIN,
    PUBLISHED,
    STARLETTE,
    WEBSOCKETS,
    Contender,
)
from benchmarks.fanout.figures import (
    BARE_HOST,
    KB,
    MB,
    Table,
    at_once,
    bytes_of,
    cost,
    growth,
    load_busy,
    pairs,
    percentile,
    rate,
    server_busy,
    total,
)

__all__ = ["Scenario", "echo_on", "full_scenarios", "quick_scenarios"]

REFERENCES = (PUBLISHED, WEBSOCKETS, STARLETTE, C_SEND)
FLIGHTS = {1: "quiet", 8: "busy"}  # broadcasts on their way
SIZES = (64, 2000)
AT_FIRST = 200  # idle clients that are not counted
STUFFING = 30_000  # bytes of an answer that is not read
CYCLES = 3  # with and without a slow member, in one run
HANDLERS = {  # kind of room -> for what its outgoing handler is
    "room": "none",
    "unhandled": "for another event",
    "handled": "for this event",
}

Contenders = Sequence[Contender]


@dataclass(frozen=True)
class Scenario:
    """A load that several contenders meet.

    Attributes:
        key: Names it, for ``--only``.
        phases: As ``load.c`` describes them.
        contenders: Who meets it.
        tables: What is told of it.
        rounds: How often.
        is_echo: Whether clients are to get their own messages only.
        options: More options of the load.
        python: What servers run on, by default the Python of this process.
    """

    key: str
    phases: tuple[str, ...]
    contenders: tuple[Contender, ...]
    tables: tuple[Table, ...]
    rounds: int
    is_echo: bool = False
    options: tuple[str, ...] = ()
    python: Path | None = None


def quick_scenarios() -> list[Scenario]:
    """Return few and short ones, run once, that take less than two minutes."""
    ours = [BY_NAME[OUR_AIOHTTP]]
    published = BY_NAME[PUBLISHED]
    few = [each for each in PLAIN if each.is_pond or each.is_host]
    five = [BY_NAME[name] for name in (AIOHTTP, STARLETTE, OUR_ASGI)]
    five += [published, *ours]
    batch = [each for each in CONTENDERS if each.name == f"{OUR_ASGI}, batch frames"]
    short = ("--warm", "0.15")
    some = [
        fan_out(1000, [*PLAIN, *batch], sizes=(64,), seconds=0.4, rounds=1),
        saturation(seconds=0.3, rounds=1),
        echo((64,), few, seconds=0.4, rounds=1),
        join_and_idle(1000, five, rounds=1),
        fixed_rate(100, five, seconds=0.6, rounds=1),
        slow_member(200, _patient(ours), seconds=0.4, rounds=1),
        outgoing(1000, [published, *ours], seconds=0.4, rounds=1),
        presence(200, [published, *ours], rounds=1),
    ]
    return [replace(each, options=(*each.options, *short)) for each in some]


def full_scenarios() -> list[Scenario]:
    """Return all of them, as the figures that are kept were measured."""
    ours = [BY_NAME[name] for name in OUR_ADAPTERS]
    two = [BY_NAME[OUR_AIOHTTP], BY_NAME[OUR_ASGI]]
    published = BY_NAME[PUBLISHED]
    return [
        fan_out(100, PLAIN, seconds=0.7, rounds=3),
        fan_out(1000, CONTENDERS, seconds=1.0, rounds=5),
        fan_out(5000, PLAIN, seconds=2.0, rounds=3),
        saturation(seconds=1.0, rounds=3),
        echo((1, 64, 512), seconds=1.0, rounds=3),
        join_and_idle(5000, PLAIN, rounds=3),
        fixed_rate(100, PLAIN, seconds=3.0, rounds=3),
        slow_member(
            1000, [published, *ours, *_patient(two)], seconds=2.0, rounds=3
        ),
        outgoing(1000, [published, *two], seconds=1.0, rounds=3),
        presence(200, [published, *ours], rounds=3),
        presence(1000, ours, rounds=3),
    ]  # fmt: skip


def echo_on(python: Path, version: str, *, is_quick: bool = False) -> Scenario:
    """Return the echo that has a target of its own on a newer Python."""
    names = {PUBLISHED, *OUR_ADAPTERS, BY_NAME[OUR_AIOHTTP].bare, WEBSOCKETS, STARLETTE}
    scenario = echo(
        (64,),
        [each for each in PLAIN if each.name in names],
        seconds=0.5 if is_quick else 1.0,
        rounds=1 if is_quick else 3,
    )
    (table,) = scenario.tables
    table = replace(table, title=f"{table.title}, Python {version}")
    key = f"echo-{version}"
    return replace(scenario, key=key, tables=(table,), python=python)


def fan_out(
    members: int,
    contenders: Contenders,
    *,
    seconds: float,
    rounds: int,
    sizes: tuple[int, ...] = SIZES,
) -> Scenario:
    """Return broadcasts, as many and as fast as a server can."""
    phases, tables = [f"join:{members}"], []
    for size in sizes:
        for flight, kind in FLIGHTS.items():
            at = len(phases)
            phases.append(f"fan:{flight}:{size}:{seconds}")
            tables.append(
                Table(
                    f"{kind}-{size}",
                    f"Fan-out, {members:,} members, {size:,} bytes, {kind} room "
                    f"({flight} in flight)",
                    rate("deliveries/s", at),
                    (cost("delivery", at), at_once(at), server_busy(at), load_busy(at)),
                    REFERENCES,
                )
            )
    return Scenario(
        f"fan-{members}", tuple(phases), tuple(contenders), tuple(tables), rounds
    )


def saturation(*, seconds: float, rounds: int) -> Scenario:
    """Return what the load itself can take, from servers that do nothing else."""
    flights = (8, 64, 256)
    tables = tuple(
        Table(
            str(flight),
            f"The load's own limits: 1,000 members, 64 bytes, {flight} in flight",
            rate("deliveries/s", at),
            (cost("delivery", at), at_once(at), server_busy(at), load_busy(at)),
        )
        for at, flight in enumerate(flights, 1)
    )
    phases = ("join:1000", *(f"fan:{flight}:64:{seconds}" for flight in flights))
    who = (BY_NAME[C_SEND], BY_NAME[C_JOINED])
    return Scenario("load", phases, who, tables, rounds)


def echo(
    counts: tuple[int, ...],
    contenders: Contenders = PLAIN,
    *,
    seconds: float,
    rounds: int,
) -> Scenario:
    """Return requests, one of each client on its way, and their answers."""
    phases: list[str] = []
    tables: list[Table] = []
    connected = 0
    for count in counts:
        at = len(phases) + 1
        phases += [f"join:{count - connected}", f"echo:64:{seconds}"]
        connected = count
        tables.append(
            Table(
                str(count),
                f"Echo, {count:,} connection{'s' * (count > 1)}, 64 bytes",
                rate("echoes/s", at),
                (
                    cost("echo", at),
                    percentile("p50", at),
                    percentile("p99", at),
                    load_busy(at),
                ),
                (PUBLISHED, BARE_HOST),
            )
        )
    who = tuple(each for each in contenders if each.name != C_JOINED)
    return Scenario("echo", tuple(phases), who, tuple(tables), rounds, is_echo=True)


def join_and_idle(count: int, contenders: Contenders, *, rounds: int) -> Scenario:
    """Return a crowd that comes and then does nothing."""
    first, joining, last = 2, 3, 5
    phases = (
        f"join:{AT_FIRST}", "settle:0.2", "idle",
        f"join:{count}", "settle:0.2", "idle",
    )  # fmt: skip
    tables = (
        Table(
            "rate",
            f"Connect and join, {count:,} clients, 64 at a time",
            rate("clients/s", joining),
            (cost("client", joining), load_busy(joining)),
            (PUBLISHED, BARE_HOST),
        ),
        Table(
            "memory",
            f"Memory of {count:,} idle members",
            growth("KB per member", first, last, divisor=count * KB),
            references=(BARE_HOST,),
        ),
    )
    return Scenario("join", phases, tuple(contenders), tables, rounds)


def fixed_rate(
    members: int, contenders: Contenders, *, seconds: float, rounds: int
) -> Scenario:
    """Return broadcasts at a rate that all can keep, to see how late they come."""
    each_second = 10_000 // members
    table = Table(
        "p99",
        f"Latency at 10,000 deliveries/s: {members:,} members, {each_second} "
        "broadcasts/s",
        percentile("p99", 1),
        (
            percentile("p50", 1),
            cost("delivery", 1),
            bytes_of("delivery", 1),
            load_busy(1),
        ),
        (PUBLISHED, BARE_HOST),
    )
    phases = (f"join:{members}", f"rate:{each_second}:64:{seconds}")
    who = tuple(each.enveloped() for each in contenders)
    return Scenario("rate", phases, who, (table,), rounds)


def slow_member(
    members: int, contenders: Contenders, *, seconds: float, rounds: int
) -> Scenario:
    """Return a room in which one reads nothing, and the same room without it."""
    load = f"rate:20:64:{seconds}"
    # what the kernel takes for it and what the server keeps are filled at once
    cycle = (load, f"slow:1:{STUFFING}:250", load, "gone")
    phases = (f"join:{members}", *cycle * CYCLES)
    without = range(1, len(phases), 4)
    with_slow = range(3, len(phases), 4)
    table = Table(
        "p99",
        f"One member that reads nothing among {members:,}; 20 broadcasts/s",
        pairs("p99 with / without", "p99", with_slow, without),
        (
            percentile("p99", *without, title="p99 without, us"),
            percentile("p99", *with_slow, title="p99 with, us"),
            growth("MB kept for it", without[0], with_slow[0]),
            growth("MB more at the end", with_slow[0], with_slow[-1]),
        ),
    )
    return Scenario("slow", phases, tuple(contenders), (table,), rounds)


def _patient(contenders: Contenders) -> list[Contender]:
    """Return them with a policy under which a slow member stays."""
    return [
        replace(
            each,
            name=f"{each.name}, drop_oldest",
            program=(*each.program, "--slow-consumer", "drop_oldest"),
        )
        for each in contenders
    ]


def outgoing(
    members: int, contenders: Contenders, *, seconds: float, rounds: int
) -> Scenario:
    """Return rooms whose messages a handler may see on their way to each member."""
    who = [
        replace(each.in_rooms(kind), name=f"{each.name}: {words}")
        for each in contenders
        for kind, words in HANDLERS.items()
    ]
    table = Table(
        "busy",
        f"Rooms with an outgoing handler, {members:,} members, 8 in flight, 64 bytes",
        rate("deliveries/s", 1),
        (cost("delivery", 1),),
        tuple(
            f"{each.name}: {HANDLERS['room']}"
            for each in contenders
            if each.name in OUR_ADAPTERS
        ),
    )
    phases = (f"join:{members}", f"fan:8:64:{seconds}")
    return Scenario("outgoing", phases, tuple(who), (table,), rounds)


def presence(count: int, contenders: Contenders, *, rounds: int) -> Scenario:
    """Return many who come within a second and whose presence all are told of."""
    table = Table(
        "cpu",
        f"Presence: {count:,} join one channel within a second",
        total("server CPU, s", "server_cpu", 2, digits=2),
        (
            total("MB to all members", "bytes", 2, divisor=MB, digits=1),
            total("messages", "messages", 2),
            total("s until all was told", "seconds", 2, digits=2),
        ),
        (PUBLISHED,) if BY_NAME[PUBLISHED] in contenders else (),
    )
    who = [each.tracking() for each in contenders]
    who += [
        each.tracking(is_told_changes=True)
        for each in contenders
        if each.name in {OUR_AIOHTTP, OUR_WEBSOCKETS, OUR_ASGI}
    ]
    phases = (f"join:{count}:1000", "settle:1")
    many = ("--pending", str(count))
    return Scenario(
        f"presence-{count}", phases, tuple(who), (table,), rounds, options=many
    )
