"""Audits everything that the toolkit ships with several master seeds: `python -m tests.support.audit_seeds 20`.

The seeds are hashes of 1, 2, ..., so that a rejection can be repeated. Nothing may be rejected.
"""

import hashlib
import sys

from secagg.audit.attack import Level
from secagg.audit.run import run_audit
from secagg.audit.words import headline

LIMIT_S = 900.0


def main(count: int) -> int:
    """Make that many audits at the quick level, print a line for each, and return 1 if anything was rejected."""
    rejected = 0
    for number in range(1, count + 1):
        master = hashlib.sha256(b"secagg audit of what is shipped %d" % number).digest()
        audit = run_audit(None, level=Level.QUICK, master=master, limit_s=LIMIT_S)
        told = "".join(f"; {found.subject}: {found.attack}" for found in (*audit.rejected, *audit.incomplete))
        sys.stdout.write(f"{number} of {count}: {headline(audit)}, {audit.cpu_s:.0f} s of CPU{told}\n")
        sys.stdout.flush()
        rejected += bool(audit.rejected or audit.incomplete)
    return int(rejected > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
