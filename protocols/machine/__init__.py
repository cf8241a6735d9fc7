"""The sans-IO core: the two machines that enforce every rule about order.

Theory of operation:

A *session* is one secure sum. A *party* is a client, a member of the session's committee, or both. A *protocol*
(`protocols.secure_sum`) is a table of steps. In each step, the server sends one request to each party that the step
asks, and each of these parties sends one reply.

A protocol's classes for a party and for the server contain the cryptography: their methods take and return messages. A
machine decodes bytes, calls these methods in the order of the table, and encodes what they return. Each party runs a
`Client`, even if it is only a committee member; the server runs the `Server`. The program around a machine, the
*driver*, owns the network, the clock and the source of randomness. A machine uses none of them by itself:

    progress = server.start()                            # Continue: the first step's requests, by party id
    while isinstance(progress, Continue):
        send(progress.requests)                          # at each party: reply = client.handle(request)
        while server.missing and not deadline_passed():
            server.receive(*next_reply())                # RemoteError: this reply is refused; go on with the next
        progress = server.advance()                      # Continue: the next step's requests; or Finish: the sum

The machines enforce these rules:

- A client answers each step at most once, in order, except a step that repeats (`Step.repeats`). A client that is a
  committee member too may miss the rest of its client steps: the first committee step is then accepted. A `Client`
  closes after its last step, unless that repeats, and after any error. `Client.close` closes it at any time, and is how
  the driver drops the secrets of a machine whose last step repeats.
- A client with a record of sessions notes each step before its reply is made. In the step that sends its vector, the
  same note counts the session. At its cap the client goes no further in a session that does not count yet.
- In the step that reveals, a client with a record of openings notes the contributors before its reply leaves. It
  refuses if they differ in too few clients from those of an earlier sum of the same context (`protocols.replay`).
- `Server.receive` refuses a bad, late or repeated reply. The server's state is unchanged, and the step goes on.
- In a step that repeats, the server may ask some parties once more before it goes on.
- `Server.advance` closes the server if fewer parties answered than the step's quorum, or if the replies together show
  misbehaviour. Otherwise it returns the next step's requests or, after the last step, the sum.
- A reply can travel in frames (`protocols.frames`): `Client.frames` gives them, and `Server.frames` checks them. The
  driver keeps their payloads, and calls `Server.receive` with all of them. What a client's frames end with, such as its
  signature, is made last; the machine is closed until then.
- A message of another session, of other parameters or of another step is refused (`protocols.codec`).

The server cannot see who sent a reply: the driver must give `receive` the id of an authenticated connection. A machine
can be kept between steps with `snapshot`, and restored in another process. The snapshot holds the party's `state` and
the machine's place in the table. Restore only the latest snapshot: an older one can reveal an input.
"""

from protocols.machine.client import Client
from protocols.machine.server import Continue, Server

__all__ = ["Client", "Continue", "Server"]
