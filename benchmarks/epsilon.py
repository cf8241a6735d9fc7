"""How much of a release's epsilon the audit of one canary finds: `python -m benchmarks.epsilon`.

Each audit makes 20,000 releases of a mean of two clients with the canary and 20,000 without, through SecAgg, and bounds
epsilon from below. The first half of the releases gives the bound at 95% confidence, all of them the bound at 1 - 1e-6.
The report also counts how often the bound exceeds the truth in simulated audits, whose scores are drawn as normal.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from rich.console import Console
from scipy.special import ndtr

from benchmarks.machine import Machine
from protocols.pairwise import SecAgg
from secagg.audit.epsilon.client import CONFIDENCES, claimed_mu, scores
from secagg.audit.epsilon.estimators import Errors, gaussian_epsilon, mu_low
from secagg.audit.epsilon.subject import ReleaseSubject

TRIALS: Final = 20_000
CLAIMS: Final = (4.38, 4.7315, 10.0)
"""The epsilon of the targets; noise for the second one has an exact epsilon of 4.38."""
SIMULATED: Final = 20_000


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """One audit.

    Attributes:
        claimed: The epsilon of the target, which is what the ledger counts.
        exact: The exact epsilon of the noise.
        half_at_95: The lower bound from half of the releases at 95% confidence, as a part of the exact epsilon.
        all_at_95: The same bound from all releases.
        all_at_most: The bound from all releases at confidence 1 - 1e-6.
        seconds: CPU seconds.
    """

    claimed: float
    exact: float
    half_at_95: float
    all_at_95: float
    all_at_most: float
    seconds: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        trials: The number of releases with the canary, and as many without, of each audit.
        audits: The audits.
        simulated: The number of simulated audits of 5,000 releases each.
        exceeded: By alpha, how many of these had a bound above the truth.
    """

    machine: Machine
    trials: int
    audits: list[Audit]
    simulated: int
    exceeded: dict[str, int]


def audit(claimed: float, trials: int, seed: bytes) -> Audit:
    """Make one audit of a mean that is planned for this epsilon."""
    begun = time.process_time()
    subject = ReleaseSubject.planned(SecAgg(), name=f"epsilon {claimed:g}", epsilon=claimed)
    out, inn = scores(subject, trials, seed)
    delta = subject.target.delta
    exact = gaussian_epsilon(claimed_mu(subject), delta)

    def part(count: int, confidence: float) -> float:
        errors = Errors.at(out[:count], inn[:count], subject.mean.encoding.clip_l2 / 2)
        return gaussian_epsilon(mu_low(errors, 1 - confidence), delta) / exact

    return Audit(
        claimed=claimed,
        exact=exact,
        half_at_95=part(trials // 2, CONFIDENCES[0]),
        all_at_95=part(trials, CONFIDENCES[0]),
        all_at_most=part(trials, CONFIDENCES[1]),
        seconds=time.process_time() - begun,
    )


def exceeded(simulated: int, *, mu: float = 1.0, trials: int = 5_000, seed: int = 1) -> dict[str, int]:
    """Return, by alpha, how many simulated audits have a bound above the truth."""
    counts = np.random.default_rng(seed).binomial(trials, ndtr(-mu / 2), size=(simulated, 2)).tolist()
    found = [Errors(false_positives=fp, outs=trials, false_negatives=fn, inns=trials) for fp, fn in counts]
    return {str(alpha): sum(mu_low(errors, alpha) > mu for errors in found) for alpha in (0.05, 0.01)}


def main(
    audits: Annotated[int, typer.Option(min=1, help="How many audits of each claim to make.")] = 3,
    trials: Annotated[int, typer.Option(min=2, help="Releases with the canary, and as many without.")] = TRIALS,
    json: Annotated[Path | None, typer.Option(help="Write the figures there.")] = None,
) -> None:
    """Measure how much of epsilon audits find."""
    console, made = Console(), []
    for claimed in CLAIMS:
        for _ in range(audits):
            made.append(audit(claimed, trials, os.urandom(32)))
            console.print(made[-1])
    report = Report(
        machine=Machine.here(["numpy", "scipy"]),
        trials=trials,
        audits=made,
        simulated=SIMULATED,
        exceeded=exceeded(SIMULATED),
    )
    for claimed in CLAIMS:
        of_claim = [each for each in made if each.claimed == claimed]
        halves, most = ([getattr(each, name) for each in of_claim] for name in ("half_at_95", "all_at_most"))
        console.print(
            f"epsilon {claimed:g}: median {statistics.median(halves):.3f} of the exact one, 2 x {trials // 2:,} "
            f"releases at 95%, {statistics.median(most):.3f} with 2 x {trials:,} at 1 - 1e-6"
        )
    console.print(f"bounds above the truth in {SIMULATED:,} simulated audits, by alpha: {report.exceeded}")
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(main)
