"""A secure sum of a hundred clients, some of which drop out in each step of the protocol.

This is a simulation: all parties are in one process. A client that drops out after its masked vector has arrived is
still in the sum.
"""

import os

import numpy as np

from protocols import SecAggPlus, Session, simulate

protocol, threshold = SecAggPlus.suggest(clients=100, adversarial=0.05, dropout=0.1)
session = Session(session_id=os.urandom(16), clients=tuple(range(100)), threshold=threshold, length=4, modulus=2**24)
vectors = {client: np.array([1, client, client**2, 7]) for client in session.clients}
drops = {"advertise_keys": [2], "share_keys": [3, 5], "mask_input": [7, 11], "reveal_shares": [13]}
outcome = simulate(protocol, session, vectors, drops=drops)
print(f"{len(outcome.contributors)} vectors are in the sum {outcome.total}")
print(f"computed without a protocol, the sum is {sum(vectors[client] for client in outcome.contributors)}")
