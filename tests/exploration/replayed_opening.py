"""Requests of the model of the opening, made of real committee members by a real malicious server.

Honest members are machines of `protocols`, each with one record for all sessions. The server and the corrupt parties
are the test: they forge, copy and repeat contributions, combine the partial decryptions that members make, and compare
each opened sum with the inputs that it should hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from protocols import Adversary, ClientTerms, Committee, Keyholder, MemoryOpenings, PaillierSum
from protocols.crypto.keystream import word_dtype
from protocols.crypto.paillier.partial_decryption import PartialDecryption, combine
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey, deal
from protocols.encrypted.messages import Contributions, PartialOpening
from protocols.session import Vector
from protocols.testing import repeatable_entropy
from tests.conformance.cohorts import COMMITTEE, Setting, remembering, setting
from tests.exploration.opening import (
    CLIENTS,
    COPY,
    EARLIER,
    FORGED,
    NONE,
    THRICE,
    Opening,
    OpeningSearch,
    Selection,
)
from tests.support import committee_keys
from tests.support.committee_harness import OPEN, CommitteeHarness, shown_to_committee
from tests.support.paillier_keys import stream

LENGTH: Final = 3


@cache
def _dealt(key: int, members: int, threshold: int) -> tuple[ThresholdKey, tuple[KeyShare, ...]]:
    """Return a committee's key and its key shares; each number is another key."""
    return deal(
        committee_keys.SAFE_P,
        committee_keys.SAFE_Q,
        1,
        members=members,
        threshold=threshold,
        entropy=stream(f"key {key} of {members} {threshold}"),
        arithmetic=remembering(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningSetting(Setting):
    """A scenario whose clients assume fractions of corrupt parties, and whose members have a minimum of their own."""

    adversarial: float
    minimum: int
    shares: tuple[KeyShare, ...]

    def terms(self, client: int, record: object = None) -> ClientTerms | None:
        """See `Scenario.terms`."""
        found = Setting.terms(self, client, record)  # type: ignore[arg-type]  # as in the base
        return found and replace(found, adversarial=self.adversarial)

    def keyholder(self, party: int, openings: object = None) -> Keyholder | None:
        """See `Scenario.keyholder`."""
        committee = self.session.committee
        if committee is None or party not in committee.members:
            return None
        return Keyholder(
            share=self.shares[committee.index(party) - 1],
            openings=openings or MemoryOpenings(),  # type: ignore[arg-type]  # as in the base
            minimum_contributors=self.minimum,
            roster=self.session.roster,
        )


class RealOpening:
    """The sessions of a model, whose clients have all contributed, and the members that are asked to open.

    Args:
        model: The model whose requests are made.

    Attributes:
        opened: By session and selection, the vector that the members' answers open.
    """

    def __init__(self, model: OpeningSearch) -> None:
        self._model = model
        self._inputs = self._inputs_by_context()
        self._runs = [self._run(session) for session in range(len(model.sessions))]
        self._records = {member: MemoryOpenings() for member in model.honest_members}
        self._partials: dict[tuple[int, Selection], dict[int, PartialDecryption]] = {}
        self.opened: dict[tuple[int, Selection], Vector] = {}

    @property
    def _parties(self) -> tuple[int, ...]:
        return (*COMMITTEE, 24)[: self._model.members]

    def _inputs_by_context(self) -> dict[int, dict[int, Vector]]:
        base = setting(PaillierSum(adversary=Adversary.MALICIOUS), CLIENTS, 3, length=LENGTH)
        return {each.context: base.inputs(each.context) for each in self._model.sessions}

    def _run(self, number: int) -> CommitteeHarness:
        model, session = self._model, self._model.sessions[number]
        key, shares = _dealt(session.key, model.members, model.threshold)
        base = setting(PaillierSum(adversary=Adversary.MALICIOUS), CLIENTS, session.threshold, length=LENGTH)
        # The same fraction stands for corrupt members and for corrupt clients, rounded down.
        fraction = max(model.assumed / model.members + 0.01 if model.assumed else 0, len(model.corrupt_clients) / 4)
        where = OpeningSetting(
            label="",
            protocol=base.protocol,
            session=replace(
                base.session,
                session_id=b"session number %d here" % number,
                context=b"context %d" % session.context,
                committee=Committee(key=key, members=self._parties),
            ),
            adversarial=fraction,
            minimum=model.own_minimum,
            shares=shares,
        )
        return CommitteeHarness(where, seed=b"run %d " % number, vectors=self._inputs[session.context])

    def do(self, action: Opening) -> None:
        """Ask a member, after a restart, to open a selection.

        Raises:
            ProtocolError: The member refuses.
        """
        record = MemoryOpenings() if self._model.old_copies else self._records[action.member]
        partial = self._answer(action.session, action.selection, action.member, record)
        if action.answered:
            answers = self._partials.setdefault((action.session, action.selection), {})
            answers[action.member] = partial
            self._open(action.session, action.selection)

    def _answer(self, session: int, selection: Selection, member: int, record: MemoryOpenings) -> PartialDecryption:
        run, party = self._runs[session], self._parties[member]
        reply = run.member(party, record).handle(self._request(session, selection))
        opening = run.codec.decode(OPEN, PartialOpening, reply).opening
        return PartialDecryption.from_bytes(run.setup.key, opening, run.count)

    def _open(self, session: int, selection: Selection) -> None:
        """Combine the answers for a selection, with those of corrupt members, if there are enough."""
        model, run = self._model, self._runs[session]
        answers = dict(self._partials[session, selection])
        for member in range(len(model.honest_members), model.members):
            answers[member] = self._answer(session, selection, member, MemoryOpenings())
        if len(answers) < model.threshold or (session, selection) in self.opened:
            return
        chosen = sorted(answers)[: model.threshold]
        sums = combine(run.setup.key, {member + 1: answers[member].values for member in chosen})
        vector = run.vector_of_sums([], sums, len(self._contributors(selection)))
        self._compare(session, selection, vector)
        self.opened[session, selection] = vector

    def _compare(self, session: int, selection: Selection, vector: Vector) -> None:
        """Raise `LookupError` unless an opened vector is the sum of inputs that the model says."""
        modulus = self._runs[session].scenario.session.modulus
        inputs = self._model.inputs(session, selection)
        expected = sum(
            times * self._inputs[context][client].astype(object) for (context, client), times in inputs.items()
        )
        if ((vector.astype(object) - expected) % modulus).any():
            raise LookupError(f"opened sum: expected that of {inputs}, found another")

    # Requests.

    def _contributors(self, selection: Selection) -> tuple[int, ...]:
        times: Mapping[int, int] = {NONE: 0, THRICE: 3}
        return tuple(client for client, entry in enumerate(selection) for _ in range(times.get(entry, 1)))

    def _request(self, session: int, selection: Selection) -> bytes:
        contributors = self._contributors(selection)
        joined = b"".join(self._contribution(session, client, selection[client]) for client in contributors)
        return self._runs[session].codec.encode(OPEN, Contributions(contributors, memoryview(joined)))

    def _contribution(self, session: int, client: int, entry: int) -> bytes:
        run = self._runs[session]
        if entry == EARLIER:
            return self._runs[0].contribution(client)
        if entry == FORGED:
            return shown_to_committee(run.forged_input(client, b"", self._zeros(session), signer=CLIENTS[-1]))
        if entry >= COPY:
            return shown_to_committee(run.signed(client, b"", run.pairs(entry - COPY), run.proof(entry - COPY)))
        return run.contribution(client)

    def _zeros(self, session: int) -> Sequence[int]:
        """Return the messages of a vector of zeros."""
        run = self._runs[session]
        nothing = np.zeros(LENGTH, dtype=word_dtype(run.scenario.session.modulus))
        return run.setup.payload.wrap(nothing, repeatable_entropy(b"zeros"))[1]
