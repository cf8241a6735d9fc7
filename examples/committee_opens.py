"""A committee decrypts the sum of a hundred clients, each of which sends one message and may then drop out.

This is a simulation: all parties are in one process, and the key is short. For real clients:

- make a key of 3072 bits with `secagg keys committee`,
- give each committee member its own key file,
- give each committee member its own `OpeningStore` (`secagg.storage.opening_store`), which records the sums it opened.

`OneShot` is experimental; `PaillierSum` is used in the same way.
"""

import os

import numpy as np

from protocols import Committee, Keyholder, MemoryOpenings, OneShot, Session, simulate
from protocols.crypto.paillier.safe_primes import safe_prime
from protocols.crypto.paillier.threshold import deal

key, shares = deal(safe_prime(1024), safe_prime(1024), 1, members=3, threshold=2)  # 2048 bits: for an example only.
committee = Committee(key=key, members=(100, 101, 102))
protocol, threshold = OneShot.suggest(clients=100, adversarial=0.05, dropout=0.1)
session = Session(
    session_id=os.urandom(16),
    clients=tuple(range(100)),
    threshold=threshold,
    length=50_000,
    modulus=2**16,
    committee=committee,
)
keyholders = {
    member: Keyholder(share=share, openings=MemoryOpenings(), minimum_contributors=80)
    for member, share in zip(committee.members, shares, strict=True)
}
vectors = {client: np.full(session.length, client) for client in session.clients}
drops = {"encrypt_input": [3, 5, 7], "open_sum": [101]}
outcome = simulate(protocol, session, vectors, keyholders=keyholders, drops=drops)

sent, received = outcome.cost.sent_bytes, outcome.cost.received_bytes
print(f"{len(outcome.contributors)} vectors are in the sum {outcome.total}")
print(f"a client sent {sent[0]:,} bytes")
print(f"a committee member received {received[100]:,} bytes; this does not depend on the length of the vectors")
