"""The flow of one round of private, secure training, as a figure."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from docs._ext.drawing import Drawing, wrapped

_LANES: Final = ("ledger", "server", "each client")
_WIDTH: Final = 760.0
_LANE: Final = _WIDTH / len(_LANES)
_BOX: Final = _LANE - 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One box of the figure.

    Attributes:
        lane: Who does it.
        name: What it is called.
        does: What happens.
        by: The public name that does it, as a path to import; empty if several do.
        hidden: Whether what comes out is readable by nobody but the client.
    """

    lane: str
    name: str
    does: str
    by: str
    hidden: bool = False


STAGES: Final = (
    Stage(lane="ledger", name="1. reserve", by="dp.Ledger.reserve",
          does="Records the cost of the round before anybody is asked. Refuses it if the budget would be exceeded."),
    Stage(lane="server", name="2. send the model", by="secagg.SecureAveraging.round",
          does="Sends the current weights to the clients of this round."),
    Stage(lane="each client", name="3. train", by="secagg.Devices.train",
          does="Trains on its own data. The difference of the weights is its update."),
    Stage(lane="each client", name="4. clip", by="dp.clip_l2",
          does="Scales the update down to the L2 norm that everybody agreed on."),
    Stage(lane="each client", name="5. encode", by="secagg.Encoding.encode",
          does="Rotates the update, and rounds it to integers modulo m."),
    Stage(lane="each client", name="6. add noise", by="dp.DistributedDiscreteGaussian.share",
          does="Adds its own share of the noise, as integers."),
    Stage(lane="each client", name="7. mask", by="protocols.Client.handle", hidden=True,
          does="Masks or encrypts the result. Only this leaves the client."),
    Stage(lane="server", name="8. sum", by="protocols.Server.advance",
          does="Learns the sum of the contributors' vectors: their masks cancel, or a committee decrypts the sum."),
    Stage(lane="server", name="9. decode", by="secagg.Encoding.decode",
          does="Turns the integers back into the noisy mean of the updates."),
    Stage(lane="ledger", name="10. commit", by="dp.Ledger.commit",
          does="Records what was released, and with how much noise."),
    Stage(lane="server", name="11. update the model", by="secagg.SecureAveraging.round",
          does="Moves the weights by the mean. The next round begins."),
)  # fmt: skip


def draw_round() -> str:
    """Return the flow of a training round from its stages, as SVG."""
    drawing = Drawing(
        title="One training round: reserve, train, clip, encode, add noise, mask, sum, decode, commit, update.",
        width=_WIDTH,
    )
    left = {lane: number * _LANE + 14 for number, lane in enumerate(_LANES)}
    boxes: list[tuple[Stage, float, float]] = []
    y = 56.0
    for stage in STAGES:
        lines = wrapped(stage.does, _BOX - 22, size=12.5)
        height = 17 * len(lines) + 36
        x = left[stage.lane]
        drawing.box(x, y, _BOX, height, kind="hidden" if stage.hidden else "box")
        drawing.text(x + 11, y + 20, [stage.name], kind="step")
        for number, line in enumerate(lines):
            drawing.text(x + 11, y + 39 + 17 * number, [line], kind="small")
        boxes.append((stage, y, height))
        y += height + 18
    for (before, top, tall), (after, below, _) in pairwise(boxes):
        _connect(drawing, left[before.lane], left[after.lane], top, tall, below)
    for lane in _LANES:
        drawing.box(left[lane] - 10, 4, _BOX + 20, 34, kind="party")
        drawing.text(left[lane] + _BOX / 2, 26, [lane], kind="party-name", anchor="middle")
    return drawing.svg()


def _connect(drawing: Drawing, start: float, end: float, top: float, height: float, below: float) -> None:
    """Draw an arrow from one box to the next: straight down, or sideways out and down into the other lane."""
    if start == end:
        drawing.arrow([(start + _BOX / 2, top + height), (start + _BOX / 2, below)])
        return
    side = start + _BOX if end > start else start
    drawing.arrow([(side, top + height / 2), (end + _BOX / 2, top + height / 2), (end + _BOX / 2, below)])
