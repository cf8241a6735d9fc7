import math
from typing import Any

import msgspec
import pytest

from secagg.training.records import MemberComplaint, RoundRecord

RECORD = RoundRecord(
    round=3,
    accuracy=0.91237,
    loss=0.31234,
    contributors=90,
    dropped={"share_keys": [3, 4], "mask_input": [8], "reveal_shares": []},
    epsilon=2.130001,
    ledger_head="ab" * 32,
    rounding_bound=1e-5,
    sent_bytes=12345.6,
    received_bytes=2345.0,
    client_s=0.01234,
    server_s=1.5,
)


def test_record_of_a_round_is_a_line_for_people() -> None:
    assert str(RECORD) == (
        "round 3: 90 contributors, accuracy 91.24%, loss 0.3123, epsilon 2.1301 spent, 3 dropped out (2 in share keys, "
        "1 in mask input), a client sent 12,346 bytes, received 2,345, and took 0.0123 CPU s, the server 1.5"
    )


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"accuracy": math.nan}, "90 contributors, loss 0.3123"),
        ({"epsilon": None}, "loss 0.3123, 3 dropped out"),
        ({"dropped": {}}, "0 dropped out, a client sent"),
        (
            {"failed": {5: "x" * 200, 7: "y"}},
            "dropped out (2 in share keys, 1 in mask input), training failed on 5, 7 (not for publication)",
        ),
        (
            {"failed": dict.fromkeys(range(40), "x")},
            "training failed on 0, 1, 2, 3, 4 and 35 more (not for publication)",
        ),
        ({"verified": False}, "the sum is NOT verified: a committee member that lies could have changed it, a client"),
        ({"culprits": [21, 22]}, "parties 21, 22 broke the rules and did no harm to the sum, a client sent"),
        (
            {"complaints": [MemberComplaint(member=21, client=each, reason="does not open") for each in (4, 5)]},
            "members 21 complained of messages of clients 4, 5, a client sent",
        ),
        (
            {"contributors": 0, "withheld": "too few", "sent_bytes": 0.0, "received_bytes": 0.0},
            "round 3: nothing released (too few), accuracy",
        ),
    ],
)
def test_record_line_says_what_is_known(change: dict[str, Any], part: str) -> None:
    line = str(msgspec.structs.replace(RECORD, **change))
    assert part in line
    assert "\n" not in line
    assert len(line) < 300


def test_record_without_failures_is_read_as_earlier_versions_wrote_it() -> None:
    written = msgspec.to_builtins(RECORD)
    del written["failed"]
    assert msgspec.json.decode(msgspec.json.encode(written), type=RoundRecord) == RECORD
