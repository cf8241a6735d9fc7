"""Checks of what all parties bring to a secure mean, made before any value is masked or sent."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

from protocols import ClientTerms, Committee, Keyholder, Roster, SecureSum, Session
from protocols.admission import check_admission
from protocols.errors import UnsafeSession
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.weighting import Weighting
from secagg.checks import listed
from secagg.client_errors import naming
from secagg.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Whom a coordinator can reach: their identities, and the committee that opens sums.

    Attributes:
        roster: The identities of all nodes; None if the nodes trust the server to pass on keys.
        committee: The committee; None if there is none.
    """

    roster: Roster | None = None
    committee: Committee | None = None


def check_clients(mean: SecureMean, clients: Sequence[int], *, cohorts: bool = False) -> None:
    """Raise `ConfigurationError` unless a mean is planned for the clients that an engine reaches.

    Args:
        mean: The mean.
        clients: The clients that the engine reaches.
        cohorts: Whether the mean may be planned for some of them.
    """
    if set(mean.clients).issubset(clients) if cohorts else mean.clients == tuple(clients):
        return
    raise ConfigurationError(
        "mean: expected one planned for the engine's clients, found one for another cohort. Plan it with "
        "clients=engine.clients."
    )


def checked_updates(
    encoding: Encoding,
    clients: Collection[int],
    updates: Mapping[int, Iterable[ArrayLike]],
    *,
    weights: Mapping[int, float] | None,
    failed: Collection[int],
) -> dict[int, list[NDArray[Any]]]:
    """Return all clients' updates as lists of arrays that the encoding accepts.

    Args:
        encoding: The encoding of the mean.
        clients: Ids of the cohort.
        updates: The arrays of each client that is not in `failed`.
        weights: The weights of these clients if the mean is weighted, else None.
        failed: Clients that have no update.

    Raises:
        ConfigurationError: Updates or weights do not belong to the cohort; the message names the clients.
        EncodingError: An update or a weight does not fit; the message names the client.
        dp.errors.InvalidParameter: An entry of an update is NaN, infinite or no real number; the message names the
            client.
    """
    unknown = set(failed) - set(clients)
    if unknown:
        raise ConfigurationError(f"failed: expected clients of the cohort, found {listed(unknown)}")
    expected = dict.fromkeys(client for client in clients if client not in failed)
    _check_ids("updates", updates, expected)
    if (encoding.weighting is Weighting.WEIGHTED) != (weights is not None):
        raise ConfigurationError(
            "weights: expected one for each client of the cohort if and only if the mean is weighted, found "
            + ("none for a weighted mean" if weights is None else "weights for a uniform mean")
        )
    if weights is not None:
        _check_ids("weights", weights, expected)
    found = {}
    for client in expected:
        with naming(client):
            encoding.checked_weight(None if weights is None else weights[client])
            found[client] = encoding.checked(updates[client])
    return found


def check_parties(
    session: Session, terms: Mapping[int, object] | None, keyholders: Mapping[int, object] | None
) -> None:
    """Refuse terms that are not those of the session's roster, and keyholders that are not those of its committee.

    Raises:
        ConfigurationError: Terms or keyholders are missing, or belong to other parties.
    """
    expected = set(session.clients)
    if (session.roster is None) != (terms is None) or (terms is not None and set(terms) != expected):
        raise ConfigurationError(
            "terms: expected those of every client of the cohort if and only if the mean has a roster, found "
            f"{_ids(terms)} for a mean {'without' if session.roster is None else 'with'} a roster"
        )
    opening = None if session.committee is None else set(session.committee.members)
    if opening != (None if keyholders is None else set(keyholders)):
        raise ConfigurationError(
            "keyholders: expected one for every committee member if and only if the mean has a committee, found "
            f"{_ids(keyholders)} for a mean {'without' if opening is None else 'with'} a committee"
        )


def check_consent(
    protocol: SecureSum,
    session: Session,
    terms: Mapping[int, ClientTerms] | None,
    keyholders: Mapping[int, Keyholder] | None,
) -> None:
    """Check that every party takes part in such a session, on its own terms.

    Args:
        protocol: The protocol.
        session: A session like the one that will run.
        terms: Each client's identity and terms if the session has a roster, else None.
        keyholders: Each committee member's key share and rules if the session has a committee, else None.

    Raises:
        ConfigurationError: Terms or keyholders do not belong to the session.
        UnsafeSession: A party refuses to take part; the message names it.
    """
    check_parties(session, terms, keyholders)
    for party in dict.fromkeys((*(terms or ()), *(keyholders or ()))):
        member, keyholder = (terms or {}).get(party), (keyholders or {}).get(party)
        try:
            check_admission(protocol, session, party, terms=member, keyholder=keyholder)
        except UnsafeSession as error:
            raise UnsafeSession(f"party {party}: {error}") from error


def _check_ids(name: str, given: object, expected: Mapping[int, object]) -> None:
    """Raise `ConfigurationError` unless `given` is a mapping whose keys are the expected clients."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{name}: expected a mapping from client ids, found {type(given).__name__}")
    missing = [client for client in expected if client not in given]
    unknown = [client for client in given if client not in expected]
    found = [f"none of client {listed(missing)}"] * bool(missing) + [f"one of {listed(unknown)}"] * bool(unknown)
    if found:
        raise ConfigurationError(
            f"{name}: expected one of each client of the cohort that is not in `failed`, {len(expected)} clients, "
            f"found {' and '.join(found)}"
        )


def _ids(given: Mapping[int, object] | None) -> str:
    """Return the ids that were given as text for an error."""
    if given is None:
        return "none"
    return f"those of {listed(given)}" if given else "an empty mapping"
