"""The file `secagg.toml` in a participant's FLARE folder `local`: what its operator lets jobs use, and who may.

FLARE never writes or sends that folder. So nothing of it comes from a job. A site's file has the table `[node]`:

    [node]
    socket = "/run/secagg/node.sock"     # a resident station, see `secagg node serve`

or, for a station in FLARE's own process,

    [node]
    home = "/var/lib/secagg/home"
    train = "hospital.training:train"    # module:function, installed at the site

In each path, `{site}` stands for the site's name, since the sites of a simulation share one folder. The server's file
names the coordinators that jobs may use, and the submitters who may use each:

    [coordinators.digits]
    folder = "/var/lib/secagg/coordinator"
    submitters = ["lead@hospital.org"]
    ledger = "/var/lib/secagg/ledger.sqlite"     # only if there is noise
    members = ["site-1", "site-2", "site-3"]     # only if there is a committee
    in_flight_mib = 1024                         # only if sites' links are slow; see docs/engines/nvflare.md
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from secagg.checks import shown
from secagg.errors import ConfigurationError

FILE_NAME: Final = "secagg.toml"
SIMULATED_SUBMITTER: Final = "simulator"
"""Who submits the jobs of a simulation, which have no submitter."""

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class NodeTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The station of a site.

    Attributes:
        home: The node's home, for a station in FLARE's process; else None.
        train: How to train there, as "module:function"; None if the node trains nothing, or with a socket.
        socket: The socket of a resident station; None without one.
    """

    home: _Text | None = None
    train: _Text | None = None
    socket: _Text | None = None

    def __post_init__(self) -> None:
        if (self.home is None) == (self.socket is None) or (self.socket is not None and self.train is not None):
            raise ValueError("expected either `socket`, or `home` with or without `train`")

    def at(self, site: str) -> "NodeTable":
        """Return the table with the site's name in the place of `{site}`."""
        paths = {name: None if value is None else value.replace("{site}", site) for name, value in self._paths.items()}
        return msgspec.structs.replace(self, **paths)

    @property
    def _paths(self) -> Mapping[str, str | None]:
        return {"home": self.home, "socket": self.socket}


class CoordinatorTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A coordinator that jobs may use.

    Attributes:
        folder: The coordinator's folder.
        submitters: Who may submit jobs that use it, by the name in FLARE's certificate; at least one.
        ledger: The ledger's file; None if no sum has noise.
        members: The names of the committee's members, in the order of their key shares; none without a committee.
        in_flight_mib: The most memory for long messages at once, in MiB; one message may have more.
    """

    folder: _Text
    submitters: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)]
    ledger: _Text | None = None
    members: tuple[_Text, ...] = ()
    in_flight_mib: Annotated[int, msgspec.Meta(ge=1)] = 64


class LocalFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `secagg.toml` says.

    Attributes:
        node: The station; None at a participant that is no node.
        coordinators: The coordinators, by the names that jobs use.
    """

    node: NodeTable | None = None
    coordinators: dict[str, CoordinatorTable] = {}

    @classmethod
    def read(cls, folder: str | Path) -> "LocalFile":
        """Return what the file in a participant's folder `local` says.

        Raises:
            ConfigurationError: There is no such file, or it says something else.
        """
        path = Path(folder, FILE_NAME)
        try:
            return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), cls)
        except OSError as error:
            raise ConfigurationError(
                f"{path}: expected a file, found none ({type(error).__name__}). Write it; docs/engines/nvflare.md says "
                "how."
            ) from None
        except (ValueError, RecursionError) as error:  # Also of `tomllib` for huge numbers, and of `msgspec`.
            raise ConfigurationError(f"{path}: {error}") from None

    def station(self, site: str) -> NodeTable:
        """Return the table of a site's station.

        Raises:
            ConfigurationError: There is none, or a path is not absolute.
        """
        if self.node is None:
            raise ConfigurationError(f"{FILE_NAME}: expected a table [node], found none. Write it at each site.")
        table = self.node.at(site)
        for path in (table.home, table.socket):
            _check_absolute(path)
        return table

    def coordinator(self, name: str, *, submitter: str | None) -> CoordinatorTable:
        """Return a coordinator for a job.

        Args:
            name: The name that the job uses.
            submitter: Who has submitted the job; None in a simulation.

        Raises:
            ConfigurationError: There is none of that name, the submitter may not use it, or a path is not absolute.
        """
        table = self.coordinators.get(name)
        if table is None:
            raise ConfigurationError(
                f"coordinator: expected one that {FILE_NAME} of the server names, found {shown(name)}. Use another "
                "name, or let the server's operator write the table."
            )
        who = SIMULATED_SUBMITTER if submitter is None else submitter
        if who not in table.submitters:
            raise ConfigurationError(
                f"coordinator {name}: expected a job of one of its submitters, found one of {shown(who)}. Let the "
                f"server's operator add the submitter to {FILE_NAME}."
            )
        for path in (table.folder, table.ledger):
            _check_absolute(path)
        return table


def _check_absolute(path: str | None) -> None:
    if path is not None and not Path(path).is_absolute():
        raise ConfigurationError(f"{FILE_NAME}: expected an absolute path, found {shown(path)}. Write the whole path.")
