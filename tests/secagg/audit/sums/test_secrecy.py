import base64
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from protocols import LightSecAgg, PaillierSum, PlainSum, SecAgg, SecureSum, Step
from protocols.crypto import sealing
from protocols.errors import RemoteError
from protocols.logger import LOGGER
from secagg.audit.attack import Level
from secagg.audit.finding import Finding, Verdict
from secagg.audit.planted.parties import Steps, with_clients
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.sums.secrecy import NoSecrets
from secagg.audit.sums.subject import SumSubject


def _found(kind: type[SecureSum]) -> Finding:
    return finding(SumSubject.suggested(kind), NoSecrets(), level=Level.QUICK, master=b"m")


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, PaillierSum])
def test_protocols_show_no_secret(kind: type[SecureSum]) -> None:
    found = _found(kind)
    assert (found.verdict, found.evidence) == (Verdict.NOT_REJECTED, "")


def test_plain_sum_is_rejected() -> None:
    assert "holds the vector of client 1" in _found(PlainSum).evidence


def _telling(step: str, tell: Callable[[Any], object]) -> type[SecureSum]:
    """Return SecAgg whose clients do something after they have answered a step, before they reply."""

    def telling(row: Step[Any, Any, Any, Any]) -> Step[Any, Any, Any, Any]:
        def answer(party: Any, request: Any) -> Any:
            reply = row.answer(party, request)
            tell(party)
            return reply

        return dataclasses.replace(row, answer=answer)

    class Telling(SecAgg):
        @property
        def steps(self) -> Steps:
            return tuple(telling(row) if row.name == step else row for row in super().steps)

    return Telling


class _Shown:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _raise(text: str) -> None:
    raise RemoteError(text)


@pytest.mark.parametrize(
    ("step", "tell", "where"),
    [
        ("advertise_keys", lambda party: print(list(party.state.masking.reveal())), "what is printed"),  # noqa: T201
        (
            "share_keys",
            lambda party: warnings.warn(base64.b64encode(party.state.seed.reveal()).decode(), stacklevel=1),
            "a warning",
        ),
        ("share_keys", lambda party: _raise(party.state.seed.reveal().hex()), "an error of class RemoteError"),
        ("mask_input", lambda party: LOGGER.debug("%s", party.state.shares[1][1].reveal().hex()), "a log record"),
        (
            "advertise_keys",
            lambda party: setattr(party, "note", _Shown(f"vector {party.state.vector}")),
            "the repr of a _Shown",
        ),
    ],
)
def test_secret_in_a_text_is_rejected_and_not_shown_again(step: str, tell: Callable[[Any], object], where: str) -> None:
    found = _found(_telling(step, tell))
    assert found.verdict is Verdict.REJECTED
    assert where in found.evidence
    assert len(found.evidence) < 120


def test_unsealed_shares_of_masks_are_rejected() -> None:
    tag = bytes(sealing.SEAL_OVERHEAD_BYTES)
    sealed = with_clients(
        LightSecAgg.steps, lambda: replaced(sealing, "seal", lambda _, plaintext: plaintext + tag), "share_masks"
    )

    class Unsealed(LightSecAgg):
        steps = with_clients(  # type: ignore[assignment]  # The same rows.
            sealed, lambda: replaced(sealing, "open_sealed", lambda _, text: bytes(text[: -len(tag)])), "mask_input"
        )

    assert "message of step share_masks from 1 holds a secret value" in _found(Unsealed).evidence


def test_both_secrets_of_one_client_are_rejected() -> None:
    """A client that reveals its shares of masking keys too, beside those of the self-masks' seeds."""

    class Generous(SecAgg):
        @property
        def steps(self) -> Steps:
            def generous(row: Step[Any, Any, Any, Any]) -> Step[Any, Any, Any, Any]:
                def answer(party: Any, request: Any) -> Any:
                    shares = party.state.shares
                    reply = row.answer(party, request)
                    more = b"".join(shares[owner][1].reveal() for owner in sorted(shares))
                    return type(reply)(reply.shares + more)

                return dataclasses.replace(row, answer=answer) if row.name == "reveal_shares" else row

            return tuple(map(generous, super().steps))

    assert "that is not revealed" in _found(Generous).evidence
