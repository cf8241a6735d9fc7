"""Makes the key files of tests/vectors/keys/committee: python -m tests.vectors.record_keys FOLDER.

The key is a test key from public primes: it protects nothing.
"""

import sys
from pathlib import Path

from secagg.storage.key_files import write_committee
from tests.support.committee_keys import key_shares, threshold_key


def main(folder: Path) -> None:
    """Write them, the same at each call."""
    write_committee(folder, threshold_key(1, 3, 2), key_shares(1, 3, 2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
