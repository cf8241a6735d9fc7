"""A plan in words: headings and texts, for a terminal and for a page."""

from typing import Final, assert_never

from dp.events import Observer
from dp.figures import in_full
from dp.reporting.text import wrapped
from dp.reporting.wording import RELATIONS, UNITS
from secagg.planning.budget.answer import Alternative, CapPlan, CohortPlan, LatticePlan, Plan, Statement, Table
from secagg.planning.budget.digits import enough, shown
from secagg.planning.budget.request import GAUSSIAN

CONDITION: Final = (
    "each client is drawn for a round with this probability, afresh, independently and in secret; the server is "
    "trusted to draw honestly, to keep secret who was drawn and to show the released models only; and the noise does "
    "not depend on who was drawn"
)
SHARES_CONDITION: Final = (
    ", so every sum contains at least {relied_on:,} honest noise shares, no matter which clients were drawn (for "
    "example because other parties add them)"
)
FIXED_SIZE: Final = "a sample of fixed size is not one: with one client in it, another one is out"
"""Why `--cohort` gets no amplification, even if the draw is secret."""

Row = tuple[str, str]


def rows(plan: Plan) -> list[Row]:
    """Return the headings and texts of a plan, without its table."""
    asked = plan.request
    each_round = asked.asked if asked.rate == 1 else asked.rate * asked.clients
    average = "" if asked.rate == 1 else " on average"
    found = [
        ("Epsilon", f"{shown(plan.epsilon, asked.epsilon)} at delta {in_full(plan.delta)}, below 1/{asked.clients}"),
        ("Noise multiplier", f"{enough(plan.noise_multiplier)} times the sensitivity, in every round's sum"),
        *_statement_rows(plan),
        *_cap_rows(plan),
        *_share_rows(plan),
        *_later_rows(plan),
        ("Rounds", f"{asked.rounds:,}, all intermediate models released"),
        ("Clients", f"{asked.clients:,}, {each_round:,.6g} a round{average}"),
    ]
    if plan.lattice is not None:
        found += _lattice_rows(plan.lattice)
    found += [
        ("Mechanism", _mechanism(plan)),
        ("Privacy unit", f"{plan.unit.value}: {UNITS[plan.unit]}"),
        ("Relation", f"{plan.relation.value}: {RELATIONS[plan.relation]}"),
        ("Accountant", "; ".join((plan.accountant, *plan.subsampling))),
    ]
    return [*found, *(("Warning", warning) for warning in asked.warnings)]


def as_text(plan: Plan, *, width: int | None = None) -> str:
    """Return a plan as lines for a terminal, its table below.

    Args:
        plan: A plan.
        width: The number of columns at which sentences are wrapped; less than 60 counts as 60. None: one line each.
    """
    lines = in_lines(rows(plan), width=width)
    return lines if plan.table is None else f"{lines}\n{_table_lines(plan, plan.table, width)}"


def in_lines(found: list[Row], *, width: int | None = None) -> str:
    """Return headings and texts as lines, the texts in one column, wrapped at a width if there is one."""
    heading_width = max(len(heading) for heading, _ in found)
    lines: list[str] = []
    for heading, text in found:
        lines += wrapped(text, width, first=f"{heading:<{heading_width}}  ")
    return "\n".join(lines) + "\n"


def table_caption(plan: Plan) -> str:
    """Return what a plan's table shows, in sentences."""
    asked = plan.request
    if asked.rate != 1:
        counted = "of all rounds, towards readers, under the conditions of the secret sample"
    elif asked.cohort is None:
        counted = "of all rounds, towards the server, if each round asks all clients"
    else:
        counted = f"towards the server, if each round asks {asked.asked:,} of {asked.clients:,} clients"
    found = f"Epsilon at delta {in_full(plan.delta)} by rounds and noise multiplier, {counted}. Each row is a plan."
    if asked.cohort is None:
        return found
    return f"{found} One client is asked for at most the releases that stand beside the rounds."


def _table_lines(plan: Plan, table: Table, width: int | None) -> str:
    heads = ["Rounds", "Releases", *(f"noise {enough(noise)}" for noise in table.noise_multipliers)]
    lines = [
        [f"{rounds:,}", f"{releases:,}", *(shown(epsilon, plan.request.epsilon) for epsilon in epsilons)]
        for rounds, releases, epsilons in zip(table.rounds, table.releases, table.epsilon, strict=True)
    ]
    if plan.request.cohort is None:
        heads, lines = [heads[0], *heads[2:]], [[line[0], *line[2:]] for line in lines]
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]
    shown_lines = (
        "  ".join(f"{cell:>{column}}" for cell, column in zip(line, widths, strict=True)) for line in (heads, *lines)
    )
    return "\n".join((*wrapped(table_caption(plan), width), *shown_lines)) + "\n"


def _statement_rows(plan: Plan) -> list[Row]:
    found = []
    for statement in plan.statements:
        match statement.observer:
            case Observer.SERVER:
                found.append(("Towards the server", _towards_server(plan, statement)))
            case Observer.READERS:
                found.append(("Towards readers", _towards_readers(plan, statement)))
            case _:
                assert_never(statement.observer)
    return found


def _of(statement: Statement) -> str:
    return f"unit {statement.unit.value}, relation {statement.relation.value}"


def _towards_server(plan: Plan, statement: Statement) -> str:
    sampled = plan.request.rate != 1
    epsilon = shown(statement.epsilon, None if sampled else plan.request.epsilon)
    most = f"one client is asked for at most {statement.releases:,} releases"
    if sampled:
        most = f"one client may be drawn for all {statement.releases:,} releases, and nothing is amplified"
    other = ". Nothing is promised towards a server that adds the noise itself"
    return (
        f"epsilon {epsilon} ({_of(statement)}): {most}. The server sees who takes part, who drops out and every sum"
        f"{other if plan.request.mechanism == GAUSSIAN else ''}"
    )


def _towards_readers(plan: Plan, statement: Statement) -> str:
    epsilon = shown(statement.epsilon, plan.request.epsilon)
    if statement.sampling is None:
        return (
            f"epsilon {epsilon} ({_of(statement)}): the same. Readers see the released models only, but amplification "
            f"needs a secret sample with a draw for each client (--per-round); {FIXED_SIZE}"
        )
    shares = (
        "" if plan.lattice is None or plan.cohort is None else SHARES_CONDITION.format(relied_on=plan.cohort.relied_on)
    )
    return f"epsilon {epsilon} ({_of(statement)}), amplified by sampling, if {CONDITION}{shares}"


def _cap_rows(plan: Plan) -> list[Row]:
    cap, asked = plan.cap, plan.request
    if cap is None:
        return []
    most = f"one client is asked at most {cap.cap:,} times in {asked.rounds:,} rounds"
    spare = f"leaves places for {cap.spare_rounds:,} more rounds" if cap.spare_rounds else "leaves no place"
    found = [
        ("Cap", f"{most}; {cap.least:,} is the least that is feasible. If rounds fail, the cap {spare}"),
    ]
    if cap.without is not None:
        words = f"one client may be asked for all {asked.rounds:,} releases. Towards the server and readers this"
        found.append(("Without a cap", f"{words} {_figures(plan, cap.without)} ({_of(plan.statements[0])})"))
    found += _dropout_rows(plan, cap)
    return found


def _dropout_rows(plan: Plan, cap: CapPlan) -> list[Row]:
    asked, more = plan.request, cap.with_dropouts
    if not asked.dropout or asked.cohort is None:
        return []
    text = f"the cap counts the clients that are asked. For {asked.asked:,} contributors at a dropout of "
    if more is None:
        return [("Dropouts", f"{text}{asked.dropout:.6g} there are too few clients")]
    return [
        (
            "Dropouts",
            f"{text}{asked.dropout:.6g}, ask {more.asked:,}: the least cap is then {more.least_cap:,}. A cap of "
            f"{more.releases:,} {_figures(plan, more)}",
        )
    ]


def _later_rows(plan: Plan) -> list[Row]:
    asked, later = plan.request, plan.later
    if later is None or asked.more_rounds is None:
        return []
    begun = f"{asked.more_rounds:,} more make {later.rounds:,} rounds"
    if plan.cap is not None and later.releases == plan.cap.cap:
        return [("More rounds", f"{begun}, for which the cap of {later.releases:,} has places: nothing changes")]
    what = "That"
    if plan.cap is not None:
        begun += f", for which the least cap is {later.least_cap:,}"
        what = f"A cap of {later.releases:,}"
    first = "" if later.noise_multiplier is None else " from the first round on"
    return [("More rounds", f"{begun}. {what} {_figures(plan, later)}{first}")]


def _figures(plan: Plan, other: Alternative) -> str:
    """Return what an alternative costs with the plan's noise, and the noise that it needs for the plan's epsilon."""
    with_this = f"costs epsilon {shown(other.epsilon)} with this noise"
    target = plan.request.epsilon
    if target is None:
        return with_this
    if other.noise_multiplier is None:
        return f"{with_this}; no noise on this lattice keeps epsilon {in_full(target)}"
    return f"{with_this}; epsilon {in_full(target)} needs noise multiplier {enough(other.noise_multiplier)}"


def _share_rows(plan: Plan) -> list[Row]:
    cohort, lattice = plan.cohort, plan.lattice
    if cohort is None:
        return []
    if lattice is None and plan.request.rate != 1:  # The party that draws adds the noise: there are no shares.
        return []
    expected = "" if plan.request.rate == 1 else " that a round has on average"
    if lattice is None:
        width = f"{enough(cohort.share)} times the sensitivity"
        other = "; where one party adds the noise, missing clients change nothing"
    else:
        width, other = f"standard deviation {enough(lattice.local_deviation)} steps", ""
    return [
        (
            "Each share",
            f"{width}, sized for {cohort.relied_on:,} honest contributors: at least "
            f"{cohort.required_contributors:,} of {cohort.clients:,} clients{expected} contribute, and up to "
            f"{cohort.colluding:,} of them collude",
        ),
        ("Colluding clients", _colluding(plan, cohort)),
        (
            "If 20% drop out",
            f"epsilon {shown(cohort.fewer_epsilon)} if a sum has only {cohort.fewer:,} of the "
            f"{cohort.relied_on:,} honest shares that the noise is sized for; train never releases a sum of fewer "
            f"than {cohort.required_contributors:,} contributors, and cannot see how many of them collude or leave "
            f"out their noise{other}",
        ),
    ]


def _colluding(plan: Plan, cohort: CohortPlan) -> str:
    who = f"adversarial {plan.request.adversarial:.6g}, server {plan.request.adversary}"
    return (
        f"{cohort.colluding:,} of {cohort.clients:,} ({who}) may tell the server their noise shares. So each share is "
        f"{enough(cohort.share_for_collusion)} times as large as if nobody colluded"
    )


def _mechanism(plan: Plan) -> str:
    if plan.request.mechanism == GAUSSIAN:
        return (
            "gaussian: continuous noise, without a lattice. For the noise shares of secagg train, give --mechanism "
            "discrete-gaussian and --dimension"
        )
    return str(plan.request.mechanism)


def _compression_rows(lattice: LatticePlan) -> list[Row]:
    found = lattice.compression
    if found is None:
        return []
    return [
        (
            "Compression",
            f"a client sends {lattice.dimension:,} of {found.whole:,} coordinates, a public random subset, and "
            f"{found.bytes_saved:,} bytes less. The guarantee and the squared error of the noise stay as they are: "
            f"{found.noise_error:.3g} times the squared clipping bound in a mean of the least number of contributors. "
            f"What is not sent adds a squared error of {found.subsampling_error:.3g} times the squared norm of the "
            "mean. This norm is below the clipping bound, and far below it if updates differ much. Noise multiplier "
            "and steps are relative to the bound of the sent part",
        )
    ]


def _lattice_rows(lattice: LatticePlan) -> list[Row]:
    return [
        *_compression_rows(lattice),
        (
            "Lattice",
            f"{lattice.bits} bits a coordinate, {lattice.dimension:,} coordinates, one step is "
            f"{lattice.granularity:.4g} of the clipping bound{_chosen(lattice)}",
        ),
        (
            "Noise in the sum",
            f"{enough(lattice.noise_to_clip)} times the clipping bound. Rounding makes the sensitivity "
            f"{enough(lattice.sensitivity_to_clip)} times the clipping bound, and the noise multiplier is "
            f"{enough(lattice.noise_to_gaussian)} times what continuous Gaussian noise would need",
        ),
        (
            "Wrapping around",
            f"probability at most {lattice.wrap_probability:.2g} for a coordinate of one sum, updates rotated by one "
            "transform over all coordinates (secagg's own encoding has longer steps and leaves at most 2^-40)",
        ),
    ]


def _chosen(lattice: LatticePlan) -> str:
    """Return who chooses the bits, if they were not given."""
    if lattice.rounding_factor is None:
        return ""
    return (
        ". The bits are those of secagg train --modulus-bits auto, where rounding makes the noise "
        f"{enough(lattice.rounding_factor)} times larger"
    )
