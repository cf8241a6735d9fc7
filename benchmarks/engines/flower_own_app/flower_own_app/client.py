"""The node's side: moves every entry by one step."""

from typing import Any

from flwr.app import Context
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp


class Stepper(NumPyClient):
    """A client that takes one step."""

    def fit(self, parameters: list[Any], config: dict[str, Any]) -> tuple[list[Any], int, dict[str, Any]]:  # noqa: ARG002
        """Move every entry."""
        return [array + 0.25 for array in parameters], 12, {}


def client(_: Context) -> Any:
    """Return the client."""
    return Stepper().to_client()


app = ClientApp(client_fn=client, mods=[secaggplus_mod])
