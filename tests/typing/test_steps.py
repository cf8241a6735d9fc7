"""mypy refuses a row of a protocol's table whose request, answer, reply, absorb and close do not fit together.

It cannot see that `absorb` and `close` are of two classes: a callable's parameters are contravariant, so the server's
type may always be narrowed to something that is both.
"""

from pathlib import Path
from typing import Final

import pytest
from mypy import api

ROOT: Final = Path(__file__).parents[2]

PARTIES: Final = """
from typing import Final

from protocols.codec import Message
from protocols.secure_sum import Role, Step


class Question(Message, frozen=True):
    text: bytes

class Answer(Message, frozen=True):
    text: bytes

class Verdict(Message, frozen=True):
    text: bytes

class Client:
    def answer(self, question: Question) -> Answer:
        return Answer(question.text)
    def judge(self, verdict: Verdict) -> Answer:
        return Answer(verdict.text)
    def contributors(self, question: Question) -> frozenset[int]:
        return frozenset()
    def names(self, question: Question) -> frozenset[str]:
        return frozenset()
    def shout(self, question: Question) -> bytes:
        return question.text

class Server:
    def hear(self, sender: int, answer: Answer) -> None: ...
    def hear_verdict(self, sender: int, verdict: Verdict) -> None: ...
    def hear_late(self, answer: Answer) -> None: ...
    def ask(self) -> dict[int, Message]:
        return {}
    def count(self) -> int:
        return 0

"""

# Each row is wired as a protocol's table is: un-annotated but for Final, at module level.
ROWS: Final = {
    'Step("ask", Question, Client.answer, Answer, Server.hear, Server.ask)': True,
    'Step("judge", Verdict, Client.judge, Answer, Server.hear, Server.ask)': True,
    'Step("of a committee", Question, Client.answer, Answer, Server.hear, Server.ask, Role.COMMITTEE)': True,
    'Step("ask", Question, Client.answer, Answer, Server.hear, Server.ask, reveals=Client.contributors)': True,
    'Step("ask", Question, Client.answer, Answer, Server.hear, Server.ask, sends_vector=True)': True,
    'Step("sends by its name", Question, Client.answer, Answer, Server.hear, Server.ask, sends_vector="yes")': False,
    'Step("role by its name", Question, Client.answer, Answer, Server.hear, Server.ask, "committee")': False,
    'Step("role for a close", Question, Client.answer, Answer, Server.hear, Role.COMMITTEE)': False,
    'Step("wrong committee", Question, Client.judge, Answer, Server.hear, Server.ask, Role.COMMITTEE)': False,
    'Step("wrong request", Verdict, Client.answer, Answer, Server.hear, Server.ask)': False,
    'Step("wrong reply", Question, Client.answer, Verdict, Server.hear, Server.ask)': False,
    'Step("wrong answer", Question, Client.judge, Answer, Server.hear, Server.ask)': False,
    'Step("wrong absorb", Question, Client.answer, Answer, Server.hear_verdict, Server.ask)': False,
    'Step("reply that no absorb takes", Question, Client.answer, Verdict, Server.hear_verdict, Server.ask)': False,
    'Step("absorb without sender", Question, Client.answer, Answer, Server.hear_late, Server.ask)': False,
    'Step("answer that is no message", Question, Client.shout, Answer, Server.hear, Server.ask)': False,
    'Step("request that is no message", bytes, Client.answer, Answer, Server.hear, Server.ask)': False,
    'Step("close that gives a number", Question, Client.answer, Answer, Server.hear, Server.count)': False,
    'Step("reveals of another request", Verdict, Client.judge, Answer, Server.hear, Server.ask, '
    "reveals=Client.contributors)": False,
    'Step("reveals names", Question, Client.answer, Answer, Server.hear, Server.ask, reveals=Client.names)': False,
    'Step("reveals by a flag", Question, Client.answer, Answer, Server.hear, Server.ask, reveals=True)': False,
    'Step("missing close", Question, Client.answer, Answer, Server.hear)': False,
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """What mypy --strict says of a table of one row each, by the row's position."""
    folder = tmp_path_factory.mktemp("rows")
    source = PARTIES + "".join(f"TABLE_{index}: Final = ({row},)\n" for index, row in enumerate(ROWS))
    (folder / "table.py").write_text(source)
    first = PARTIES.count("\n") + 1
    config = ["--config-file=", "--strict", "--no-error-summary", "--no-color-output", "--hide-error-context"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", str(ROOT))
        report, problems, _ = api.run([*config, "--cache-dir", str(folder / "cache"), str(folder / "table.py")])
    assert problems == ""
    found: dict[int, list[str]] = {}
    for line in report.splitlines():
        _, number, level, text = line.split(":", 3)
        if level.strip() == "error":
            found.setdefault(int(number) - first, []).append(text)
    return found


@pytest.mark.parametrize(("index", "fits"), list(enumerate(ROWS.values())), ids=[row.split('"')[1] for row in ROWS])
def test_row_checks_only_when_it_fits(errors: dict[int, list[str]], index: int, fits: bool) -> None:
    assert set(errors) <= set(range(len(ROWS)))
    assert (index not in errors) == fits
