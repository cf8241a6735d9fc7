"""The time at which a session expires: what it may be, which protocols accept it, and when it is over."""

from dataclasses import replace
from typing import Final

import pytest

from protocols import LightSecAgg, ParameterError, PlainSum, SecAgg, SecureSum, Session
from protocols.errors import LocalError, RemoteError, SessionExpired
from protocols.session import MAX_TIME, Extra

SESSION: Final = Session(session_id=bytes(16), clients=(0, 1, 2), threshold=2, length=3, modulus=256)


class Timed(PlainSum):
    """A protocol that accepts sessions that expire."""

    accepts = frozenset((Extra.EXPIRES,))


@pytest.mark.parametrize("expires", [None, 0, 1, 1_800_000_000, MAX_TIME])
def test_session_expires_at_a_second_or_never(expires: int | None) -> None:
    assert replace(SESSION, expires=expires).expires == expires


@pytest.mark.parametrize("expires", [-1, MAX_TIME + 1, 2**70, 1.0, float("nan"), True, "1", b"1"])
def test_session_that_expires_at_no_second_is_refused(expires: object) -> None:
    with pytest.raises(ParameterError, match="expires: expected seconds since 1970"):
        replace(SESSION, expires=expires)  # type: ignore[arg-type]  # that is the test


def test_expiry_is_an_extra_that_a_protocol_accepts_only_if_it_says_so() -> None:
    """A party of any other protocol would not look at the time, so such a session must be refused."""
    session = replace(SESSION, expires=7)
    assert session.extras() == (Extra.EXPIRES,)
    assert SESSION.extras() == ()
    for protocol in (PlainSum(), SecAgg(), LightSecAgg(privacy=1, responders=2)):
        with pytest.raises(ParameterError, match=f"expires: .* which {protocol.name} does not accept, found one"):
            protocol.validate(session)
    Timed().validate(session)
    Timed().validate(SESSION)


def test_digest_changes_with_the_expiry_and_not_without_one() -> None:
    digests = {Timed().digest(replace(SESSION, expires=expires)) for expires in (None, 0, 7, 8)}
    assert len(digests) == 4
    assert dict(replace(SESSION, expires=0).transcript())["expires"] == (("expires", 0),)
    assert "expires" not in dict(SESSION.transcript())


@pytest.mark.parametrize(("now", "over"), [(6.0, False), (6.999, False), (7, True), (7.5, True), (10**12, True)])
def test_session_is_over_from_its_last_second_on(now: float, *, over: bool) -> None:
    session = replace(SESSION, expires=7)
    if not over:
        Timed().check_time(session, now)
        return
    with pytest.raises(SessionExpired, match=r"expected a time before 7, when the session expires, found \d+\. Start"):
        Timed().check_time(session, now)


@pytest.mark.parametrize("now", [float("nan"), float("inf")])
def test_time_that_is_no_number_is_not_before_the_expiry(now: float) -> None:
    """A broken clock gives a time that compares with nothing: the session must count as expired."""
    with pytest.raises(SessionExpired):
        Timed().check_time(replace(SESSION, expires=7), now)


@pytest.mark.parametrize("now", [0.0, -1.0, 10**12, float("nan")])
def test_session_that_never_expires_has_no_time(now: float) -> None:
    Timed().check_time(SESSION, now)
    SecureSum.check_time(SecAgg(), SESSION, now)


def test_expired_session_is_no_fault_of_the_other_side() -> None:
    """It is raised here and blames nobody, so that a driver does not ban the server or a client for it."""
    assert issubclass(SessionExpired, LocalError)
    assert not issubclass(SessionExpired, RemoteError)
