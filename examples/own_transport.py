"""A session driven by hand, as your own transport has to drive it: clients sign, and a committee decrypts their sum.

Everything that passes between `Client` and `Server` is bytes; the loop at the end takes the place of the network. Each
committee member has a key file and a store of the sums that it has opened, here in a temporary folder. For real
parties, `secagg keys committee` makes the key files. With a protocol without a committee, clients open the sum, and
each of them needs such a store. docs/transport.md explains each part.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from protocols import (
    Adversary,
    Client,
    ClientTerms,
    Committee,
    Continue,
    Finish,
    Identity,
    Keyholder,
    MemoryRecord,
    OneShot,
    RemoteError,
    Roster,
    Server,
    Session,
)
from protocols.crypto.paillier.safe_primes import safe_prime
from protocols.crypto.paillier.threshold import deal
from secagg.storage.key_files import PUBLIC_NAME, member_name, read_committee_key, read_key_share, write_committee
from secagg.storage.opening_store import OpeningStore

CLIENTS, MEMBERS = range(20), (100, 101, 102)

with tempfile.TemporaryDirectory() as folder:
    home = Path(folder)
    dealt = deal(safe_prime(1024), safe_prime(1024), 1, members=3, threshold=2)  # 2048 bits: for an example only.
    write_committee(home / "keys", *dealt)

    # All parties know the public key, whose fingerprint they have compared, and the clients' public identities.
    key = read_committee_key(home / "keys" / PUBLIC_NAME)
    identities = {client: Identity.generate() for client in CLIENTS}
    roster = Roster({client: identity.public for client, identity in identities.items()})
    protocol, threshold = OneShot.suggest(
        clients=len(CLIENTS), adversarial=0.1, dropout=0.2, adversary=Adversary.MALICIOUS
    )
    session = Session(
        session_id=os.urandom(16),
        clients=tuple(CLIENTS),
        threshold=threshold,
        length=1000,
        modulus=2**16,
        context=b"round 1",
        roster=roster,
        committee=Committee(key=key, members=MEMBERS),
    )

    # Each party makes its own `Client`. A client that may be restarted uses a `SessionStore`, not a `MemoryRecord`.
    parties = {}
    for client, identity in identities.items():
        member = ClientTerms(
            identity=identity,
            roster=roster,
            sessions=MemoryRecord(),
            adversarial=0.1,
            minimum_contributors=threshold,
            committee=key,
        )
        vector = np.full(session.length, client)
        # Here the committee opens the sum. With a protocol without one, clients do, and each needs such a store.
        store = OpeningStore.create(home / f"openings of {client}")
        parties[client] = Client(protocol, session, client, vector, entropy=os.urandom, terms=member, openings=store)
    for index, party in enumerate(MEMBERS, start=1):
        keyholder = Keyholder(
            share=read_key_share(home / "keys" / member_name(index), key),
            openings=OpeningStore.create(home / f"openings of {party}"),
            minimum_contributors=threshold,
            roster=roster,
        )
        parties[party] = Client(protocol, session, party, None, entropy=os.urandom, keyholder=keyholder)

    # The server sends bytes to each party that it asks, and gets bytes back from those that have not dropped out.
    gone = {3, 7, 102}
    server = Server(protocol, session)
    step: Continue | Finish = server.start()
    while isinstance(step, Continue):
        for party, request in step.requests.items():
            if party in gone:
                continue
            try:
                server.receive(party, parties[party].handle(request))
            except RemoteError as error:
                print(f"the reply of party {party} in the step {step.step} is ignored: {error}")
        step = server.advance()

print(f"{len(step.contributors)} vectors are in the sum {step.total[:3]}...")
