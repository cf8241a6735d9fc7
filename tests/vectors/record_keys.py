"""Makes the key files of tests/vectors/keys: python -m tests.vectors.record_keys FOLDER.

The keys are test keys, from public primes and public labels: they protect nothing.
"""

import sys
from pathlib import Path

from protocols.seeds.committee import SeedCommittee
from protocols.seeds.member_keys import MemberKeys
from protocols.testing.repeatable import fixed_identity
from secagg.storage.key_files import write_committee
from secagg.storage.seed_keys import write_member, write_seed_committee
from tests.support.committee_keys import key_shares, threshold_key
from tests.support.seed_members import certificates, issued


def main(folder: Path) -> None:
    """Write them, the same at each call."""
    write_committee(folder / "committee", threshold_key(1, 3, 2), key_shares(1, 3, 2))
    write_member(folder / "seed-member", MemberKeys(fixed_identity(0), 2, (issued(0)[1], issued(0, 1)[1])))
    committee = SeedCommittee(certificates=certificates(3), colluding=1, quorum=3)
    write_seed_committee(folder / "seed-committee.pub", committee)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
