import pytest
from wsproto.frame_protocol import ParseFailed

from pondsocket_asgi.ws_bridge.close_codes import may_be_sent, parse_close


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_registered_or_private_code_may_be_sent(code):
    assert may_be_sent(code)


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]
)
def test_a_reserved_code_may_not(code):
    assert not may_be_sent(code)


def test_a_close_frame_without_anything_has_no_status():
    assert parse_close(b"") == (1005, "")


def test_a_close_frame_has_a_code_and_a_reason():
    assert parse_close(b"\x03\xe8" + "späť".encode()) == (1000, "späť")


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x13\x88"])
def test_a_close_frame_with_a_bad_code_is_refused(payload):
    with pytest.raises(ParseFailed):
        parse_close(payload)


def test_a_reason_that_is_no_text_is_refused():
    with pytest.raises(UnicodeDecodeError):
        parse_close(b"\x03\xe8\xff")
