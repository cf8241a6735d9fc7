"""Make a whole Flower federation for one machine: certificates, identities, homes and the roster; then say what to run.

    python examples/flower_app/federation.py /srv/federation

One script has every secret here, which is for a trial on one machine only. In a federation of several organisations
each makes its own keys: docs/engines/flower.md says how. Nothing is overwritten.

For protocols with a committee, `secagg keys committee` makes its key, and the first nodes are its members:

    secagg keys committee committee --members 3 --threshold 2
    python examples/flower_app/federation.py /srv/federation --committee committee
"""

import argparse
import datetime
import ipaddress
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from secagg.engines.node.home import Home
from secagg.engines.node.policy_file import POLICY_NAME
from secagg.storage.key_files import PUBLIC_NAME
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from secagg.storage.public_line import PublicLine
from secagg.storage.roster_file import ROSTER_NAME, RosterFile

POLICY = """\
# What this node accepts: exact sums of at least {least} nodes, without noise, so without differential privacy.
protocols = ["secagg-plus", "oneshot", "seeds"]
adversary = "curious"
adversarial = 0.0
least_contributors = {least}
most_clients = 100
most_coordinates = 100_000
largest_clip = 10.0
weighting = ["uniform"]
trust = []
noise = "none"
plain_messages = []
code = "{code}"
live_folder = "{live}"
"""
VALID = datetime.timedelta(days=365)


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, *, issuer: str, signer: ec.EllipticCurvePrivateKey, hosts: list[str]
) -> x509.Certificate:
    """Return a certificate: of the authority itself without hosts, of a server with them."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(usage(authority=not hosts), critical=True)
    )
    if hosts:
        names = [address(host) for host in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def usage(*, authority: bool) -> x509.KeyUsage:
    """Return what a certificate's key may be used for."""
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def address(host: str) -> x509.GeneralName:
    """Return the name of a host in a certificate."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def write_private(path: Path, key: ec.EllipticCurvePrivateKey, form: PrivateFormat) -> None:
    """Write a private key that only its owner can read."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))


def make_certificates(folder: Path, hosts: list[str]) -> None:
    """Make an authority, and the SuperLink's certificate. The authority's key is forgotten."""
    folder.mkdir(parents=True)
    authority, link = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("secagg trial", authority, issuer="secagg trial", signer=authority, hosts=[])
    server = certificate(hosts[0], link, issuer="secagg trial", signer=authority, hosts=hosts)
    (folder / "ca.crt").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "link.crt").write_bytes(server.public_bytes(Encoding.PEM))
    write_private(folder / "link.key", link, PrivateFormat.PKCS8)


def make_node_keys(folder: Path, nodes: int) -> None:
    """Make the keys with which SuperNodes register at the SuperLink: P-384, in OpenSSH form."""
    folder.mkdir()
    for node in range(nodes):
        key = ec.generate_private_key(ec.SECP384R1())
        write_private(folder / f"{node}.key", key, PrivateFormat.OpenSSH)
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        (folder / f"{node}.pub").write_bytes(public + b"\n")


def make_homes(folder: Path, nodes: int, *, shares: list[Path], code: str) -> None:
    """Make the coordinator's folder and every node's home, with the roster, the policy and the committee's keys."""
    create_coordinator(folder / "coordinator")
    homes = [folder / "homes" / f"node-{node}" for node in range(nodes)]
    roster = RosterFile.of([PublicLine(name=home.name, key=Home.create(home).public) for home in homes])
    roster.write(folder / "coordinator" / ROSTER_NAME)
    shared = [COORDINATOR_NAME, ROSTER_NAME]
    for home, share in zip(homes, shares, strict=False):
        shutil.copy(share, home)  # With its mode.
    if shares:
        shutil.copy(shares[0].with_name(PUBLIC_NAME), folder / "coordinator")
        shared.append(PUBLIC_NAME)
    live = live_folder(folder)
    for home in homes:
        for name in shared:
            shutil.copy(folder / "coordinator" / name, home)
        (home / POLICY_NAME).write_text(POLICY.format(least=nodes // 2 + 1, code=code, live=live))
    print(f"roster: {roster.fingerprint}")


def live_folder(folder: Path) -> Path:
    """Return a folder in memory, in which each home makes one of its own."""
    return Path("/dev/shm", f"secagg-{folder.name}")  # noqa: S108


def say_what_to_run(folder: Path, nodes: int, *, port: int, members: int, resident: bool) -> None:
    """Print the commands of the SuperLink, of every node and of the run."""
    tls, app = folder / "tls", Path(__file__).parent
    home = f"FLWR_HOME={folder}/flwr"
    flwr = f"{home} flwr"
    print("\n# the SuperLink, in a terminal of its own, where it stays")
    print(
        f"{home} flower-superlink --host 127.0.0.1 --port {port} --ssl-ca-certfile {tls}/ca.crt "
        f"--ssl-certfile {tls}/link.crt --ssl-keyfile {tls}/link.key --enable-supernode-auth "
        "--disable-runtime-dependency-installation"
    )
    print("\n# once the SuperLink listens, as its administrator")
    for node in range(nodes):
        print(f"{flwr} supernode register {folder}/keys/{node}.pub digits")
    print("\n# every node; each command stays in its terminal, or in the background with & at its end")
    for node in range(nodes):
        config = f"node={node} nodes={nodes} secagg-home='{folder}/homes/node-{node}'"
        if resident:
            socket = folder / "homes" / f"node-{node}.socket"
            config = f"secagg-socket='{socket}'"
            print(
                f"DIGITS_NODE={node} DIGITS_NODES={nodes} PYTHONPATH={app} "
                f"secagg node serve {folder}/homes/node-{node} --train flower_digits.training:train --socket {socket}"
            )
        print(
            f"flower-supernode --superlink 127.0.0.1:{port} --root-certificates {tls}/ca.crt "
            f"--auth-supernode-private-key {folder}/keys/{node}.key --host 127.0.0.1 --port {port + 1 + node} "
            f'--node-config "{config}"'
        )
    chosen = f" protocol='oneshot' members='{' '.join(map(str, range(members)))}'" if members else ""
    print("\n# the run, once the nodes have registered")
    print(
        f"{flwr} run {app} digits --run-config \"coordinator='{folder}/coordinator' keys='{folder}/keys' nodes={nodes} "
        f"result='{folder}/accuracy.txt'{chosen}\""
    )
    print("\n# its progress, with the number that the run has printed, and the accuracy after each round")
    print(f"{flwr} log RUN_ID digits")
    print(f"cat {folder}/accuracy.txt")
    print("\n# at the end, once all of them are stopped: the folder in memory of the nodes' live sessions")
    print(f"rm -r {live_folder(folder)}")


def main() -> None:
    """Make a federation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="A new folder.")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--port", type=int, default=9092, help="Of the SuperLink; those of the nodes follow.")
    parser.add_argument("--committee", type=Path, help="A folder of `secagg keys committee`.")
    parser.add_argument("--resident", action="store_true", help="Nodes are served by stations of their own.")
    given = parser.parse_args()
    folder = given.folder.absolute()
    shares = key_shares(given.committee)
    if given.nodes < max(2, len(shares)):
        raise SystemExit(
            f"--nodes: expected at least {max(2, len(shares))}, also one for each member of the committee, found "
            f"{given.nodes}"
        )
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise SystemExit(f"{folder}: expected a folder that can be made, found: {error.strerror}") from None
    try:
        make_certificates(folder / "tls", ["localhost", "127.0.0.1"])
        make_node_keys(folder / "keys", given.nodes)
        make_homes(folder, given.nodes, shares=shares, code="resident" if given.resident else "sent")
        (folder / "flwr").mkdir()
        (folder / "flwr" / "config.toml").write_text(
            f'[superlink]\ndefault = "digits"\n\n[superlink.digits]\naddress = "127.0.0.1:{given.port}"\n'
            f'root-certificates = "{folder}/tls/ca.crt"\n'
        )
    except BaseException:
        shutil.rmtree(folder)
        raise
    say_what_to_run(folder, given.nodes, port=given.port, members=len(shares), resident=given.resident)


def key_shares(committee: Path | None) -> list[Path]:
    """Return the files of a committee's key shares, in their order; none without a committee."""
    if committee is None:
        return []
    found = sorted(committee.glob("member-*.key"), key=lambda path: (len(path.name), path))
    if not found:
        raise SystemExit(
            f"--committee: expected a folder with member-1.key and so on, found none in {committee}. Make it: secagg "
            f"keys committee --members 3 --threshold 2 --out {committee}. A committee for seeds is set up by "
            "hand: docs/engines/flower.md"
        )
    return found


if __name__ == "__main__":
    main()
