"""The command line in this process, with adapters that the tests bring along."""

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pondsocket import LocalPubSub, PondSocket, __version__
from pondsocket.cli import main

served = []  # what the adapters below were called with


async def record(pond, **arguments):
    served.append(SimpleNamespace(pond=pond, **arguments))
    arguments["on_ready"](arguments["port"] or 49_152)


async def wait_for_stop(pond, **arguments):
    await record(pond, **arguments)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    await arguments["stop"].wait()
    signal.raise_signal(signal.SIGTERM)


async def ignore_stop(pond, **arguments):
    await record(pond, **arguments)
    signal.raise_signal(signal.SIGINT)
    await arguments["stop"].wait()
    signal.raise_signal(signal.SIGINT)
    await asyncio.Event().wait()


async def listen(pond, *, host, port, stop, on_ready, **_):
    server = await asyncio.start_server(lambda *_: None, host, port)
    server.close()
    await server.wait_closed()


async def fail_to_read(pond, **_):
    raise FileNotFoundError(errno.ENOENT, "no certificate")


async def lose_address_later(pond, *, on_ready, **_):
    on_ready(8000)
    raise OSError(errno.EADDRINUSE, "a backend's address")


@pytest.fixture(autouse=True)
def adapters(tmp_path, monkeypatch):
    """Install the functions above as adapters, as another distribution would."""
    installed = tmp_path / "site"
    metadata = installed / "pond_test_adapters-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: pond-test-adapters\nVersion: 1.0\n")
    functions = (
        record,
        wait_for_stop,
        ignore_stop,
        listen,
        fail_to_read,
        lose_address_later,
    )
    lines = [f"{each.__name__} = {__name__}:{each.__name__}" for each in functions]
    lines += ["asgi = needs_uvicorn:serve", "broken = needs_nothing_known:serve"]
    (metadata / "entry_points.txt").write_text(
        "[pondsocket.adapters]\n"
        + "\n".join(lines)
        + "\n[pondsocket.pubsub]\nbroken = needs_nothing_known:open"
    )
    (installed / "needs_uvicorn.py").write_text("import uvicorn")
    (installed / "needs_nothing_known.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(installed)
    yield
    served.clear()
    gc.unfreeze()


@pytest.fixture(autouse=True)
def working_directory(tmp_path, monkeypatch):
    """Make an empty current directory whose modules are forgotten afterwards."""
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        if not name.startswith("pondsocket"):
            del sys.modules[name]


@pytest.fixture
def chat(working_directory):
    """Write an application, as its author would."""
    (working_directory / "chat.py").write_text(
        "from pondsocket import PondSocket\n"
        "pond = PondSocket()\n"
        "class nested:\n"
        "    pond = PondSocket()\n"
        "not_a_pond = 1\n"
    )


@pytest.fixture
def linked(working_directory, monkeypatch):
    """Write an application that several processes may share."""
    monkeypatch.delenv("POND_PUBSUB", raising=False)
    (working_directory / "linked.py").write_text(
        "import os\n"
        "from pondsocket import PondSocket\n"
        "pond = PondSocket(pubsub=os.environ.get('POND_PUBSUB'))\n"
    )
    yield
    os.environ.pop("POND_PUBSUB", None)


def serve(*arguments, adapter="record"):
    return main(["serve", "--adapter", adapter, *arguments])


def error_of(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pondsocket: error: ")
    assert err.count("\n") == 1
    return err.removeprefix("pondsocket: error: ").rstrip()


# What is served.


def test_serve_hands_the_adapter_the_pond_of_the_current_directory(chat):
    assert serve("chat:pond", "--host", "::1", "--port", "9000", "--grace", "2.5") == 0

    (call,) = served
    assert call.pond is sys.modules["chat"].pond
    assert isinstance(call.pond, PondSocket)
    assert (call.host, call.port, call.grace, call.pages) == ("::1", 9000, 2.5, None)


def test_serve_listens_on_loopback_port_8000_unless_told_otherwise(chat):
    serve("chat:pond")

    (call,) = served
    assert (call.host, call.port, call.grace) == ("127.0.0.1", 8000, 10.0)


def test_a_dotted_name_reaches_into_the_module(chat):
    assert serve("chat:nested.pond") == 0

    assert served[0].pond is sys.modules["chat"].nested.pond


def test_a_second_serve_does_not_lengthen_the_module_path(chat):
    serve("chat:pond")
    length = len(sys.path)
    serve("chat:pond")

    assert len(sys.path) == length
    assert sys.path[0] == str(Path.cwd())


def test_demo_hands_the_adapter_the_demo_and_its_pages():
    assert main(["demo", "--adapter", "record"]) == 0

    (call,) = served
    assert isinstance(call.pond, PondSocket)
    content_type, body = call.pages["/"]
    assert content_type.startswith("text/html")
    assert b"<html" in body.lower()


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (["--port", "9000"], "http://127.0.0.1:9000 "),
        (["--port", "0"], "http://127.0.0.1:49152 "),
        (["--host", "::1"], "http://[::1]:8000 "),
    ],
)
def test_the_url_is_printed_once_clients_can_connect(chat, capsys, arguments, url):
    serve("chat:pond", *arguments)

    assert url in capsys.readouterr().out


def test_what_start_up_made_is_kept_from_the_garbage_collector(chat):
    serve("chat:pond")

    assert gc.get_freeze_count() > 1000


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["serve", "chat:pond"], "INFO"),
        (["serve", "chat:pond", "--log-level", "error"], "ERROR"),
        (["demo"], "WARNING"),
        (["demo", "--log-level", "debug"], "DEBUG"),
    ],
)
def test_the_log_has_the_level_asked_for(chat, monkeypatch, arguments, level):
    asked = {}
    monkeypatch.setattr("logging.basicConfig", lambda **options: asked.update(options))

    main([*arguments, "--adapter", "record"])

    assert asked["level"] == level


def test_uvloop_runs_the_loop_if_it_is_installed(chat, monkeypatch):
    made = []

    def new_event_loop():
        made.append(asyncio.new_event_loop())
        return made[-1]

    uvloop = SimpleNamespace(new_event_loop=new_event_loop)
    monkeypatch.setitem(sys.modules, "uvloop", uvloop)

    assert serve("chat:pond") == 0
    assert len(made) == 1


def test_the_standard_loop_runs_without_uvloop(chat, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert serve("chat:pond") == 0


# Several processes.


def test_pubsub_names_what_links_the_application_to_others(linked):
    assert serve("linked:pond", "--pubsub", "memory://cli") == 0

    assert isinstance(served[0].pond.pubsub, LocalPubSub)


def test_the_environment_may_name_it_too(linked, monkeypatch):
    monkeypatch.setenv("POND_PUBSUB", "memory://cli")

    assert serve("linked:pond") == 0
    assert isinstance(served[0].pond.pubsub, LocalPubSub)


def test_the_option_counts_more_than_the_environment(linked, monkeypatch):
    monkeypatch.setenv("POND_PUBSUB", "pigeon://roof")

    assert serve("linked:pond", "--pubsub", "memory://cli") == 0


def test_without_either_the_application_is_alone(linked):
    assert serve("linked:pond") == 0

    assert served[0].pond.pubsub is None


def test_the_demo_is_linked_to_others_too(linked):
    assert main(["demo", "--adapter", "record", "--pubsub", "memory://cli"]) == 0

    assert isinstance(served[0].pond.pubsub, LocalPubSub)


def test_an_application_that_does_not_read_the_url_is_told_how(linked, chat, capsys):
    assert serve("chat:pond", "--pubsub", "memory://cli") == 2

    assert error_of(capsys) == (
        "'chat:pond' is to be linked to other processes but has no pubsub; make it "
        'with PondSocket(pubsub=os.environ.get("POND_PUBSUB"))'
    )


@pytest.mark.parametrize("command", [["serve", "linked:pond"], ["demo"]])
def test_a_url_that_no_backend_opens_is_refused_without_its_password(
    linked, capsys, command
):
    assert main([*command, "--pubsub", "pigeon://:secret@roof"]) == 2

    error = error_of(capsys)
    assert "'memory'" in error
    assert "secret" not in error


def test_a_backend_without_its_library_is_answered_with_the_install_command(
    linked, capsys, monkeypatch
):
    loaded = [name for name in sys.modules if name.startswith("pondsocket_redis")]
    for name in loaded:  # as in a process that has not imported it yet
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)

    assert serve("linked:pond", "--pubsub", "redis://host") == 2
    assert error_of(capsys).endswith('not installed: pip install "pondsocket[redis]"')


def test_a_library_that_a_backend_misses_otherwise_is_its_own_error(linked):
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        serve("linked:pond", "--pubsub", "broken://roof")


# Signals.


def test_sigterm_stops_the_adapter_however_often_it_comes(chat):
    assert serve("chat:pond", adapter="wait_for_stop") == 0


def test_a_second_sigint_interrupts_an_adapter_that_does_not_stop(chat):
    assert serve("chat:pond", adapter="ignore_stop") == 130


def test_the_handlers_of_before_are_back_after_serving(chat):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    serve("chat:pond", adapter="wait_for_stop")

    after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert after == before


# What the user can mend.


@pytest.mark.parametrize("target", ["chat", "chat:", ":pond", ".chat:pond"])
def test_a_target_without_module_and_name_is_refused(chat, capsys, target):
    assert serve(target) == 2

    assert error_of(capsys) == (
        f"expected MODULE:NAME such as chat:pond, got {target!r}"
    )


@pytest.mark.parametrize("module", ["no_such", "no_such.inner", "chat.py"])
def test_a_module_that_does_not_exist_is_named(chat, capsys, module):
    assert serve(f"{module}:pond") == 2

    assert error_of(capsys) == f"there is no module {module!r}"


def test_a_name_that_does_not_exist_is_named(chat, capsys):
    assert serve("chat:nested.nobody") == 2

    assert error_of(capsys) == "'chat' has no 'nested.nobody'"


def test_what_is_not_a_pondsocket_is_refused_with_its_type(chat, capsys):
    assert serve("chat:not_a_pond") == 2

    assert error_of(capsys) == "expected a PondSocket at 'chat:not_a_pond', got int"


def test_an_unknown_adapter_is_answered_with_the_installed_ones(chat, capsys):
    assert serve("chat:pond", adapter="pigeon") == 2

    error = error_of(capsys)
    assert error.startswith("there is no adapter 'pigeon'; installed: ")
    assert "record" in error


def test_without_any_adapter_installed_the_answer_says_none(chat, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [])

    assert serve("chat:pond") == 2
    assert error_of(capsys).endswith("installed: none")


@pytest.mark.parametrize(
    ("adapter", "library"),
    [("aiohttp", "aiohttp"), ("asgi", "uvicorn"), ("websockets", "websockets")],
)
def test_a_missing_extra_is_answered_with_its_install_command(
    adapter, library, chat, capsys, monkeypatch
):
    package = f"pondsocket_{adapter}"
    loaded = [name for name in sys.modules if name.partition(".")[0] == package]
    for name in loaded:  # as in a process that has not imported it yet
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)

    assert serve("chat:pond", adapter=adapter) == 2
    assert error_of(capsys) == (
        f"the {adapter} adapter needs {library}; install it with: "
        f'pip install "pondsocket[{adapter}]"'
    )


def test_a_taken_port_is_named(chat, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert serve("chat:pond", "--port", str(port), adapter="listen") == 1

    reason = os.strerror(errno.EADDRINUSE)
    assert error_of(capsys) == f"cannot serve http://127.0.0.1:{port}: {reason}"


def test_a_host_without_address_is_named(chat, capsys):
    assert serve("chat:pond", "--host", "a host", adapter="listen") == 1

    assert error_of(capsys).startswith("cannot serve http://a host:8000: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: COMMAND"),
        (["serve"], "required: MODULE:NAME"),
        (["demo", "--port", "65536"], "expected 0 to 65535, got '65536'"),
        (["demo", "--port", "-1"], "expected 0 to 65535, got '-1'"),
        (["demo", "--port", "http"], "expected 0 to 65535, got 'http'"),
        (["serve", "a:b", "--grace", "-1"], "expected seconds from 0 up, got '-1'"),
        (["serve", "a:b", "--grace", "nan"], "expected seconds from 0 up, got 'nan'"),
        (["serve", "a:b", "--grace", "long"], "expected seconds from 0 up, got 'long'"),
        (["demo", "--log-level", "loud"], "'loud'"),
    ],
)
def test_wrong_usage_is_answered_with_what_is_expected(arguments, complaint, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)

    assert complaint in capsys.readouterr().err


def test_version_prints_the_version_of_the_package(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])

    assert capsys.readouterr().out == f"pondsocket {__version__}\n"


# What is a defect keeps its traceback.


def test_a_module_that_the_application_misses_is_its_own_error(working_directory):
    (working_directory / "chat.py").write_text("import chatty")

    with pytest.raises(ModuleNotFoundError, match="chatty"):
        serve("chat:pond")


def test_a_library_that_is_in_no_extra_is_the_adapters_own_error(chat):
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        serve("chat:pond", adapter="broken")


def test_an_error_of_another_kind_than_the_address_is_raised(chat):
    with pytest.raises(FileNotFoundError, match="no certificate"):
        serve("chat:pond", adapter="fail_to_read")


def test_an_address_error_after_the_start_is_not_about_our_address(chat):
    with pytest.raises(OSError, match="a backend's address"):
        serve("chat:pond", adapter="lose_address_later")
