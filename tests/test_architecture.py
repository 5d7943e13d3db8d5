"""The shape of the code: sizes, names, the front door, options that mean something."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import pondsocket
from pondsocket.options import Options

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path
    for package in (ROOT / "pondsocket", ROOT / "adapters", ROOT / "backends")
    for path in package.rglob("*.py")
)

MODULE_LINES = 400
FUNCTION_LINES = 50
LONG_FUNCTIONS: dict[str, str] = {
    # name of the function -> why it is clearer in one piece
}

TASK_OWNERS = {
    "backends/pondsocket_nats/intake.py": "who hands messages on, in their order",
    "backends/pondsocket_nats/link.py": "who watches the connection",
    "backends/pondsocket_redis/canary.py": "the probe of a link, and who sends it",
    "backends/pondsocket_redis/publisher.py": "the writer of what is published",
    "backends/pondsocket_redis/sharded.py": "who follows a cluster's slots",
    "backends/pondsocket_redis/subscriber.py": "the writer of subscriptions",
    "backends/pondsocket_redis/supervisor.py": "who brings a connection back",
    "pondsocket/base_transport.py": "the closing that the inbox asked for",
    "pondsocket/connections.py": "the end of a connection, which outlives its caller",
    "pondsocket/demo/numbers.py": "the demo's ticker",
    "pondsocket/distributed/cluster.py": "the heartbeat",
    "pondsocket/distributed/link.py": "the opening that several joins wait for",
    "pondsocket/distributed/node.py": "what other nodes asked for",
    "pondsocket/distributed/publisher.py": "who publishes in the background",
    "pondsocket/eager.py": "starts tasks for those who keep them",
    "pondsocket/inbox.py": "one worker per busy lane",
    "pondsocket/membership.py": "each leaving, which outlives its caller",
    "pondsocket/session.py": "the writer, and the ending of the connection",
    "pondsocket/subscriptions.py": "one pump per subscription",
    "pondsocket/web/event_stream.py": "who listens for the client's leaving",
}

# Every name of the public API. One that is gone breaks programs; a new one must be
# written down here, so that none slips out by accident.
DOCUMENTED = """
    PondSocket Endpoint EndpointMatch Lobby Channel ChannelOptions
    Options Limits SlowConsumerPolicy Stats Route parse

    ConnectionHandler JoinHandler EventHandler OutgoingHandler LeaveHandler
    Middleware Next

    ConnectionContext ConnectionDecision JoinContext EventContext OutgoingContext
    LeaveContext LeaveReason

    Event User UserData MessageEvent IncomingConnection Headers
    RecipientSpec AllUsers AllExceptSender ToUsers
    TransportType SystemEvents SystemEntity InternalActions ClientActions ServerActions
    PresenceEventTypes ChannelReceiver ErrorTypes DistributedMessageType
    PondMessage PondPresence PondAssigns JoinParams uuid

    Transport OnCloseCallback OnMessageHandler
    FrameSink ClosesWithCode HasConnectionId PushableTransport
    BaseTransport Frame InMemoryTransport SSEServerTransport Codec

    PubSub PubSubHandler ReconnectAware OnReconnect PublishesBatches
    LocalPubSub Subscriptions open_pubsub
    format_topic format_presence_topic format_message_topic format_system_topic
    format_heartbeat_topic match_topic

    Hooks OnConnect OnDisconnect BeforeJoin AfterJoin BeforeMessage AfterMessage
    RateLimiter TokenBucketRateLimiter with_rate_limiter with_metrics
    MetricsCollector CountsEvents NoopMetrics Telemetry

    event_to_wire event_to_json parse_inbound_text wire_to_event
    event_to_pubsub_bytes pubsub_bytes_to_event

    PondError BadRequest Unauthorized Forbidden NotFound Conflict TooManyRequests
    InternalError Unavailable DeadlineExceeded EncodingError
    bad_request unauthorized forbidden not_found conflict too_many_requests
    internal unavailable timeout
    wrap error_event MultiError ValidationError PubSubClosedError
    close_code_for http_status_for truncate_reason

    __version__
"""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def names_assigned(tree: ast.Module) -> set[str]:
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


each_module = pytest.mark.parametrize("path", MODULES, ids=relative)


@each_module
def test_a_module_fits_in_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES


@each_module
def test_a_function_fits_in_50_lines(path):
    long = {
        function.name
        for function in functions_of(path)
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    }

    assert long <= LONG_FUNCTIONS.keys()


@each_module
def test_a_module_says_what_it_is_and_what_it_offers(path):
    tree = tree_of(path)

    assert ast.get_docstring(tree), "no docstring"
    assert "__all__" in names_assigned(tree)


@each_module
def test_an_import_is_absolute(path):
    levels = [
        node.level
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom)
    ]

    assert not any(levels)


@each_module
def test_a_suppressed_rule_has_a_code_and_a_reason(path):
    bare = [
        line.strip()
        for line in path.read_text(encoding="utf-8").splitlines()
        for comment in re.findall(r"#\s*(?:noqa|type: ignore|pragma)\b.*", line)
        if not re.match(
            r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\]|pragma: no \w+)"
            r" +(-|#) \S",
            comment,
        )
    ]

    assert bare == []


def makes_tasks(path: Path) -> bool:
    called = {
        node.func.attr
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    return bool(called & {"create_task", "Task", "ensure_future", "TaskGroup"})


@each_module
def test_only_a_task_owner_makes_tasks(path):
    is_owner = relative(path).startswith("adapters/") or relative(path) in TASK_OWNERS

    assert is_owner or not makes_tasks(path)


@pytest.mark.parametrize("owner", TASK_OWNERS)
def test_who_is_called_a_task_owner_is_one(owner):
    assert makes_tasks(ROOT / owner)


def test_every_package_is_marked_as_typed():
    packages = {
        ROOT / "pondsocket",
        *(ROOT / "adapters").glob("pondsocket_*"),
        *(ROOT / "backends").glob("pondsocket_*"),
    }

    assert [each.name for each in packages if not (each / "py.typed").exists()] == []


def test_the_front_door_offers_exactly_what_is_documented():
    documented = DOCUMENTED.split()

    assert sorted(pondsocket.__all__) == sorted(documented)
    assert [name for name in documented if not hasattr(pondsocket, name)] == []


def test_every_option_is_read_by_something():
    attributes = {
        node.attr
        for path in MODULES
        if path.name != "options.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    options = {field.name for field in fields(Options)}

    assert options - attributes == set()
