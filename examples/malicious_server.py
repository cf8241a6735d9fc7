"""A secure sum that does not trust the server: clients have identities, a pinned roster and terms of their own.

This is a simulation: one process makes all identities, so it protects nobody from that process. For real clients:

- each client makes its identity on its own device,
- each client gets the roster, the list of all public identities, by a way that the server does not control,
- each client remembers its sessions in a file (`secagg.storage.session_store.SessionStore`).
"""

import os

import numpy as np

from protocols import Adversary, ClientTerms, Identity, MemoryRecord, Roster, SecAggPlus, Session, simulate

CLIENTS = tuple(range(100))

identities = {client: Identity.generate() for client in CLIENTS}
roster = Roster({client: identity.public for client, identity in identities.items()})

protocol, threshold = SecAggPlus.suggest(clients=100, adversarial=0.05, dropout=0.1, adversary=Adversary.MALICIOUS)
session = Session(
    session_id=os.urandom(16), clients=CLIENTS, threshold=threshold, length=4, modulus=2**24, roster=roster
)
members = {
    client: ClientTerms(
        identity=identities[client],
        roster=roster,
        sessions=MemoryRecord(),
        adversarial=0.05,  # Up to 5% of the roster may help the server.
        minimum_contributors=80,  # This client takes part in no sum of fewer clients.
    )
    for client in CLIENTS
}
vectors = {client: np.full(4, client) for client in CLIENTS}
drops = {"share_keys": [3], "mask_input": [7, 8], "confirm_survivors": [9], "reveal_shares": [10]}
outcome = simulate(protocol, session, vectors, terms=members, drops=drops)

print(f"each client has {protocol.neighbours} neighbours; {protocol.share_threshold} secret shares rebuild a secret")
print(f"{len(outcome.contributors)} vectors are in the sum {outcome.total}")
