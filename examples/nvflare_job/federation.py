"""Make a whole FLARE federation for one machine: certificates, homes, the roster and every participant's local files.

    python examples/nvflare_job/federation.py /srv/federation

One script has every secret here, which is for a trial on one machine only. In a federation of several organisations
each makes its own keys: docs/engines/nvflare.md says how. Nothing is overwritten.

For protocols with a committee, `secagg keys committee` makes its key, and the first sites are its members:

    secagg keys committee committee --members 3 --threshold 2
    python examples/nvflare_job/federation.py /srv/federation --committee committee
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from secagg.engines.node.home import Home
from secagg.engines.node.policy_file import POLICY_NAME
from secagg.engines.nvflare.local_file import FILE_NAME
from secagg.engines.nvflare.site_policy import EXECUTOR_CLASS, check_site
from secagg.storage.key_files import PUBLIC_NAME
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from secagg.storage.public_line import PublicLine, coordinator_line
from secagg.storage.roster_file import ROSTER_NAME, RosterFile

PROJECT = "secagg-digits"
SUBMITTER = "lead@coordinator.org"
ADMINISTRATOR = "admin@coordinator.org"
CONTROLLER_CLASS = "secagg.engines.nvflare.components.SecureController"

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
code = "installed"
live_folder = "{live}"
"""


def project(host: str, port: int, sites: list[str]) -> str:
    """Return the project file for `nvflare provision`."""
    participants = [
        {"name": host, "type": "server", "org": "coordinator", "fed_learn_port": port, "admin_port": port + 1},
        *(
            {"name": site, "type": "client", "org": site.replace("-", "_"), "allow_log_streaming": False}
            for site in sites
        ),
        {"name": ADMINISTRATOR, "type": "admin", "org": "coordinator", "role": "project_admin"},
        {"name": SUBMITTER, "type": "admin", "org": "coordinator", "role": "lead"},
    ]
    builders = [
        {"path": "nvflare.lighter.impl.workspace.WorkspaceBuilder", "args": {"template_file": ["master_template.yml"]}},
        {
            "path": "nvflare.lighter.impl.static_file.StaticFileBuilder",
            "args": {"config_folder": "config", "scheme": "grpc"},
        },
        {"path": "nvflare.lighter.impl.cert.CertBuilder"},
        {"path": "nvflare.lighter.impl.signature.SignatureBuilder"},
    ]
    # JSON is YAML.
    return json.dumps({"api_version": 3, "name": PROJECT, "participants": participants, "builders": builders}, indent=1)


def provision(folder: Path, host: str, port: int, sites: list[str]) -> Path:
    """Make all certificates and startup kits, and return the folder of the kits."""
    file = folder / "project.yml"
    file.write_text(project(host, port, sites))
    command = Path(sys.executable).with_name("nvflare")
    subprocess.run([command, "provision", "-p", file, "-w", folder / "kits"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return folder / "kits" / PROJECT / "prod_00"


def make_homes(folder: Path, live: Path, sites: list[str], shares: dict[str, Path]) -> None:
    """Make the coordinator's folder and every node's home, with the roster, the policy and the committee's keys."""
    public = create_coordinator(folder / "coordinator").public
    homes = {site: folder / "homes" / site for site in sites}
    roster = RosterFile.of(PublicLine(name=site, key=Home.create(home).public) for site, home in homes.items())
    roster.write(folder / "coordinator" / ROSTER_NAME)
    for home in homes.values():
        roster.write(home / ROSTER_NAME)
        (home / COORDINATOR_NAME).write_text(f"{coordinator_line(public)}\n")
        (home / POLICY_NAME).write_text(POLICY.format(least=max(2, len(sites) // 2 + 1), live=live))
    for site, share in shares.items():
        shutil.copy(share, homes[site])  # With its mode.
    for place in (folder / "coordinator", *homes.values()) if shares else ():
        shutil.copy(next(iter(shares.values())).with_name(PUBLIC_NAME), place)
    print(f"roster: {roster.fingerprint}")


def narrow(kit: Path, classes: list[str]) -> None:
    """Write what a participant allows: no code that comes with a job, and only these classes."""
    rights = {
        "submit_job": "any",
        "clone_job": "n:submitter",
        "manage_job": "n:submitter",
        "download_job": "n:submitter",
        "view": "any",
        "operate": "o:site",
        "shell_commands": "none",
        "byoc": "none",
        "server-predeployed-flwr": "none",
    }
    permissions = {"project_admin": rights, "org_admin": rights, "lead": rights, "member": {"view": "any"}}
    authorization = {"format_version": "1.0", "permissions": permissions}
    (kit / "local" / "authorization.json").write_text(json.dumps(authorization, indent=1))
    resources = json.loads((kit / "local" / "resources.json.default").read_text())
    resources |= {"class_allow_list": classes, "class_list_enforcement_mode": "enforce"}
    if "allow_log_streaming" in resources:
        resources["allow_log_streaming"] = False
    # The server keeps jobs in the kit rather than in /tmp, where it keeps them by default.
    text = json.dumps(resources, indent=1).replace("/tmp/nvflare", str(kit / "store"))  # noqa: S108
    (kit / "local" / "resources.json").write_text(text)


def write_local(folder: Path, kits: Path, host: str, sites: list[str], members: list[str], train: str) -> None:
    """Write every participant's `local/secagg.toml`, and narrow what it allows."""
    narrow(kits / host, [CONTROLLER_CLASS])
    (kits / host / "local" / FILE_NAME).write_text(
        f'[coordinators.digits]\nfolder = "{folder}/coordinator"\nsubmitters = ["{SUBMITTER}"]\n'
        f"members = {json.dumps(members)}\n"
    )
    for site in sites:
        narrow(kits / site, [EXECUTOR_CLASS])
        (kits / site / "local" / FILE_NAME).write_text(f'[node]\nhome = "{folder}/homes/{{site}}"\ntrain = "{train}"\n')
        found = check_site(kits / site)
        if found.refusals:
            raise SystemExit("\n".join(found.refusals))


def make(
    folder: Path, *, live: Path, host: str, port: int, sites: int, train: str, committee: Path | None = None
) -> Path:
    """Make all of it in a new folder, and return the folder of the startup kits."""
    names = [f"site-{number + 1}" for number in range(sites)]
    files = [] if committee is None else sorted(committee.glob("member-*.key"), key=lambda path: (len(path.name), path))
    if committee is not None and not files:
        raise SystemExit(
            f"--committee: expected a folder with member-1.key and so on, found none in {committee}. Make it: secagg "
            f"keys committee --members 3 --threshold 2 --out {committee}. A committee for seeds is set up by "
            "hand: docs/engines/nvflare.md"
        )
    if sites < max(2, len(files)):
        raise SystemExit(
            f"--sites: expected at least {max(2, len(files))}, also one for each member of the committee, found {sites}"
        )
    shares = dict(zip(names, files, strict=False))
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise SystemExit(f"{folder}: expected a folder that can be made, found: {error.strerror}") from None
    try:
        kits = provision(folder, host, port, names)
        make_homes(folder, live, names, shares)
        write_local(folder, kits, host, names, list(shares), train)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return kits


def main() -> None:
    """Read the arguments, and say what to start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="A folder that does not exist yet.")
    parser.add_argument("--host", default="localhost", help="The server's name, which every site must resolve.")
    parser.add_argument("--port", type=int, default=8002, help="The server's port; the next one is for administrators.")
    parser.add_argument("--sites", type=int, default=5, help="The number of sites.")
    parser.add_argument("--train", default="digits_site:train", help="The function that trains, as module:function.")
    parser.add_argument("--committee", type=Path, help="The folder of a committee's key files.")
    given = parser.parse_args()
    folder = given.folder.absolute()
    kits = make(
        folder,
        live=Path("/dev/shm", f"secagg-{folder.name}"),  # noqa: S108  # It is in memory, and each home has its own.
        host=given.host,
        port=given.port,
        sites=given.sites,
        train=given.train,
        committee=given.committee,
    )
    print(f"startup kits: {kits}")


if __name__ == "__main__":
    main()
