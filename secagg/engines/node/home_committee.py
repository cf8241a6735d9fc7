"""The committee in a node's home, and what the node holds of it."""

from pathlib import Path

from protocols.committee import CommitteeKey, CommitteeShare
from protocols.crypto.paillier.threshold import ThresholdKey
from protocols.seeds.committee import SeedCommittee
from secagg.engines.node.home_error import HomeError
from secagg.storage.key_files import PUBLIC_NAME, read_key_share
from secagg.storage.public_line import fingerprint
from secagg.storage.seed_keys import KEYS_NAME, read_committee_of_any_kind, read_member


def home_committee(folder: Path) -> tuple[CommitteeKey | None, CommitteeShare | None]:
    """Return the committee of a home and the node's key share of a dealer; None for what the home does not have.

    Raises:
        HomeError: The files do not belong together.
        KeyFileError: A file is damaged.
    """
    path, shares = folder / PUBLIC_NAME, sorted(folder.glob("member-*.key"))
    if len(shares) > 1 or (shares and not path.exists()):
        wanted = "one key share" if len(shares) > 1 else f"{PUBLIC_NAME} beside a key share"
        raise HomeError(f"{folder}: expected {wanted}, found {', '.join(share.name for share in shares)}.")
    if not path.exists():
        return None, None
    key = read_committee_of_any_kind(path)
    if isinstance(key, ThresholdKey):
        return key, read_key_share(shares[0], key) if shares else None
    if shares:
        raise HomeError(
            f"{folder}: expected {KEYS_NAME} of a member, since {PUBLIC_NAME} is a committee by replicated "
            f"seeds, found {shares[0].name}, the key share of another kind of committee. Remove it."
        )
    return key, None


def check_member(folder: Path, committee: CommitteeKey | None) -> None:
    """Check that the keys of a member by replicated seeds are those of a member of the home's committee.

    Raises:
        HomeError: They are not, or the committee is of another kind.
        KeyFileError: The file of the keys is damaged.
    """
    if not isinstance(committee, SeedCommittee):
        raise HomeError(
            f"{folder / PUBLIC_NAME}: expected a committee by replicated seeds beside {KEYS_NAME}, found "
            f"{'none' if committee is None else 'another kind of committee'}. Copy the file that `secagg "
            "keys seed-committee` has made into the home, and compare its pin."
        )
    identity = read_member(folder).identity.public
    if identity not in committee.identities:
        raise HomeError(
            f"{folder / KEYS_NAME}: expected the identity of a member of the committee in {PUBLIC_NAME}, found "
            f"another one, with the fingerprint {fingerprint(identity)}. Use the keys of a member, or the "
            "committee that this member is in."
        )
