"""One message from each of a hundred clients, which may then vanish; a committee opens their sum, and nothing else.

In earnest the key has 3072 bits and comes from `secagg keys committee`, each member keeps its file and remembers what
it has opened (`secagg.storage.opening_store.OpeningStore`), and clients sign
(`OneShot(adversary=Adversary.MALICIOUS)`).
"""

import os

import numpy as np

from protocols import Committee, Keyholder, MemoryOpenings, OneShot, Session, simulate
from protocols.crypto.paillier.safe_primes import safe_prime
from protocols.crypto.paillier.threshold import deal

key, shares = deal(safe_prime(1024), safe_prime(1024), 1, members=3, threshold=2)  # 112 bits of security: an example
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
print(f"a client sent {sent[0]:,} bytes; a committee member received {received[100]:,}, however long the vectors are")
