import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.origin import cors_origin, is_origin_allowed, is_origin_rule
from pondsocket.types import Headers


def headers(origin=None, host="example.com", **others):
    pairs = {"origin": origin, "host": host, **others}
    return Headers(
        [(name.replace("_", "-"), value) for name, value in pairs.items() if value]
    )


def is_allowed(request, *allowed, trust=False):
    return is_origin_allowed(request, allowed_origins=allowed, trust_forwarded=trust)


@pytest.mark.parametrize("host", ["example.com", None])
def test_a_request_without_an_origin_is_allowed(host):
    assert is_allowed(headers(None, host))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://example.com", "example.com"),
        ("http://example.com", "example.com"),
        ("https://EXAMPLE.com", "example.COM"),
        ("https://example.com", "example.com:443"),
        ("https://example.com:443", "example.com"),
        ("http://example.com", "example.com:80"),
        ("http://example.com:80", "example.com"),
        ("https://example.com", "example.com:"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://[2001:DB8::1]", "[2001:db8::1]"),
        ("HTTPS://example.com", "example.com"),
    ],
)
def test_the_own_origin_is_allowed(origin, host):
    assert is_allowed(headers(origin, host))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.com", "example.com"),
        ("https://example.com.evil.com", "example.com"),
        ("https://sub.example.com", "example.com"),
        ("https://example.com:8443", "example.com"),
        ("https://example.com", "example.com:8443"),
        ("https://example.com", "example.com:80"),
        ("http://example.com", "example.com:443"),
        ("https://example.com.", "example.com"),
        ("null", "example.com"),
        ("null", "null"),
        ("", "example.com"),
        ("example.com", "example.com"),
        ("//example.com", "example.com"),
        ("https://example.com/", "example.com"),
        ("https://example.com/path", "example.com"),
        ("https://example.com?q", "example.com"),
        ("https://example.com\n", "example.com"),
        ("https://user@example.com", "example.com"),
        ("https://example.com https://evil.com", "example.com"),
        ("https://example.com, https://evil.com", "example.com"),
        ("https://[::1", "[::1"),
        ("https://example.com:99999999", "example.com:99999999"),
        ("https://example.com:4\u0664", "example.com:4\u0664"),
        ("https://\u212aelvin.com", "kelvin.com"),
        ("https://kelvin.com", "\u212aelvin.com"),
        ("ftp://example.com", "example.com"),
        ("file://", "example.com"),
        ("https://", ""),
        ("https://example.com", None),
        ("https://example.com", "example.com/"),
        ("https://example.com", "user@example.com"),
    ],
)
def test_any_other_origin_is_refused(origin, host):
    request = Headers([("origin", origin), *([("host", host)] if host else [])])

    assert not is_allowed(request)


def test_an_origin_without_a_host_is_allowed_if_listed():
    assert is_allowed(headers("https://a.com", None), "https://a.com")


def test_two_origins_are_refused_even_if_listed():
    request = Headers([("origin", "https://a.com")] * 2)

    assert not is_allowed(request, "https://a.com", "*")


def test_two_hosts_are_nobodys_own():
    request = Headers([("origin", "https://a.com"), ("host", "a.com"), ("host", "b")])

    assert not is_allowed(request)


@pytest.mark.parametrize(
    ("origin", "rule"),
    [
        ("https://good.com", "https://good.com"),
        ("https://GOOD.com", "https://good.COM"),
        ("https://good.com:443", "https://good.com"),
        ("https://good.com", "https://good.com:443"),
        ("http://good.com:8080", "http://good.com:8080"),
        ("https://app.good.com", "https://*.good.com"),
        ("https://APP.good.com", "https://*.Good.com"),
        ("https://app.good.com:8443", "https://*.good.com:8443"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "null"),
        ("null", "*"),
        ("https://evil.com", "*"),
        ("anything", "*"),
    ],
)
def test_a_listed_origin_is_allowed(origin, rule):
    assert is_allowed(headers(origin), "https://first.com", rule)


@pytest.mark.parametrize(
    ("origin", "rule"),
    [
        ("https://good.com.evil.com", "https://good.com"),
        ("https://evil-good.com", "https://good.com"),
        ("http://good.com", "https://good.com"),
        ("https://good.com:8443", "https://good.com"),
        ("https://good.com", "https://*.good.com"),
        ("https://.good.com", "https://*.good.com"),
        ("https://a.b.good.com", "https://*.good.com"),
        ("https://app.good.com.evil.com", "https://*.good.com"),
        ("https://evil-good.com", "https://*.good.com"),
        ("http://app.good.com", "https://*.good.com"),
        ("https://app.good.com:8443", "https://*.good.com"),
        ("https://a.com", "https://*"),
        ("https://app.good.com", "https://app.*.com"),
        ("https://app.good.com", "*.good.com"),
        ("https://good.com", "good.com"),
        ("https://good.com", "https://good.com/"),
        ("https://good.com", "null"),
        ("null", "https://good.com"),
        ("https://good.com", ""),
        ("", ""),
    ],
)
def test_an_origin_that_only_looks_like_a_listed_one_is_refused(origin, rule):
    assert not is_allowed(Headers([("origin", origin), ("host", "h")]), rule)


def test_a_forwarded_host_counts_only_when_trusted():
    request = headers("https://a.com", "internal:8000", x_forwarded_host="a.com")

    assert not is_allowed(request)
    assert is_allowed(request, trust=True)


def test_the_first_forwarded_host_is_the_one_that_the_browser_asked():
    request = headers("https://a.com", "internal", x_forwarded_host="a.com , proxy")

    assert is_allowed(request, trust=True)


def test_a_trusted_forwarded_host_takes_the_place_of_the_host():
    request = headers("https://a.com", "a.com", x_forwarded_host="b.com")

    assert not is_allowed(request, trust=True)


def test_without_a_forwarded_host_a_trusting_server_looks_at_the_host():
    assert is_allowed(headers("https://a.com", "a.com"), trust=True)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, None),
        ("https://EXAMPLE.com", "https://EXAMPLE.com"),
        ("https://listed.com", "https://listed.com"),
        ("https://evil.com", None),
    ],
)
def test_cors_names_the_origin_of_a_request_that_is_allowed(origin, expected):
    answer = cors_origin(
        headers(origin), allowed_origins=["https://listed.com"], trust_forwarded=False
    )

    assert answer == expected


def test_cors_names_the_origin_and_no_star_where_all_are_allowed():
    answer = cors_origin(
        headers("https://a.com"), allowed_origins=["*"], trust_forwarded=False
    )

    assert answer == "https://a.com"


def test_cors_trusts_a_forwarded_host_as_the_check_does():
    request = headers("https://a.com", "internal", x_forwarded_host="a.com")

    assert cors_origin(request, allowed_origins=(), trust_forwarded=False) is None
    assert cors_origin(request, allowed_origins=(), trust_forwarded=True) == (
        "https://a.com"
    )


@pytest.mark.parametrize(
    "rule",
    [
        "*",
        "null",
        "https://good.com",
        "http://localhost:8000",
        "https://*.good.com",
        "https://*.good.com:8443",
        "http://[::1]:8000",
        "capacitor://localhost",
    ],
)
def test_a_rule_that_can_match_is_one(rule):
    assert is_origin_rule(rule)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "good.com",
        "https://good.com/",
        "https://good.com/path",
        "https://*",
        "https://*.",
        "https://a.*.com",
        "https://*.*.com",
        "https://a*.com",
        "*.good.com",
        "https://gööd.com",
        " https://good.com",
    ],
)
def test_a_rule_that_cannot_match_is_none(rule):
    assert not is_origin_rule(rule)


@given(st.text(), st.text(), st.booleans())
def test_no_header_whatever_it_holds_raises(origin, host, trust):
    request = Headers([("origin", origin), ("host", host), ("x-forwarded-host", host)])
    allowed = is_allowed(request, "https://*.good.com", trust=trust)

    assert isinstance(allowed, bool)
