"""What a release must be, so that it may be reserved under a budget, and what it may become."""

from datetime import UTC, datetime

from dp.checks import integer_at_least
from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation, LedgerClock
from dp.events import Observer, PoissonSampledEvent, PrivacyEvent
from dp.ledger.realised import check_noise, least_contributors
from dp.ledger.records import Budget


def check_event(event: object, budget: Budget, *, name: str) -> None:
    """Refuse an event whose kind, relation or unit is not one of the budget.

    Args:
        event: What a release will cost.
        budget: The budget.
        name: The name of the ledger in errors.

    Raises:
        IncompatibleEvent: Its relation or unit is not that of the budget. Or the statement is towards readers, and it
            is not a Poisson-sampled event with the noise of one party.
        InvalidParameter: It is not a privacy event.
    """
    if not isinstance(event, PrivacyEvent):
        raise InvalidParameter(f"event: expected a privacy event, found {type(event).__name__}")
    if (event.relation, event.unit) != (budget.relation, budget.unit):
        raise IncompatibleEvent(
            f"event: expected relation {budget.relation.value} and unit {budget.unit.value}, as in the budget of "
            f"{name}, found {event.relation.value} and {event.unit.value}. Create "
            "a ledger with this relation and unit."
        )
    # Noise in shares that the drawn clients bring depends on the draw, and a repeated event has several draws.
    sampled = isinstance(event, PoissonSampledEvent) and least_contributors(event) == 1
    if budget.towards is Observer.READERS and not sampled:
        raise IncompatibleEvent(
            "event: expected a Poisson-sampled event with the noise of one party, as a statement towards readers "
            f"needs, found another one. Use a ledger whose statement is towards the {Observer.SERVER.value}."
        )


def check_contributors(event: PrivacyEvent, contributors: object, budget: Budget, *, name: str) -> None:
    """Refuse an event that could not be committed with a number of contributors.

    Args:
        event: What a release will cost.
        contributors: The most clients that may be in its sum.
        budget: The budget.
        name: The name of the ledger in errors.

    Raises:
        InvalidParameter: `contributors` is above the population (with participation: of clients), or below the number
            of parties whose noise the event counts on.
    """
    number = integer_at_least("contributors", contributors, 1)
    most = budget.population if budget.participation is None else budget.clients
    if number > most:
        raise InvalidParameter(
            f"contributors: expected at most the population {most} of {name}, found "
            f"{number}. Create a ledger whose population counts everyone who may ever contribute."
        )
    least = least_contributors(event)
    if number < least:
        raise InvalidParameter(
            f"contributors: expected at least {least}, whose noise the event counts on, found {number}. Plan "
            "the noise for the least number of contributors."
        )


def check_asked(event: PrivacyEvent, contributors: object, budget: Budget, *, asked: int, name: str) -> None:
    """Refuse an event that could not be committed with a number of contributors among the clients that are asked.

    Args:
        event: What a release will cost.
        contributors: The most clients that may be in its sum; None: all that are asked.
        budget: The budget, with participation.
        asked: How many clients are asked.
        name: The name of the ledger in errors.

    Raises:
        InvalidParameter: `contributors` is above the number of those who are asked, or below the number of parties
            whose noise the event counts on.
    """
    number = asked if contributors is None else integer_at_least("contributors", contributors, 0)
    if number > asked:
        raise InvalidParameter(
            f"contributors: expected at most the {asked} clients that are asked, found {number}. Leave the number out."
        )
    # Towards readers one party adds the noise, no matter who is in the sum: a draw may be empty.
    if number or budget.towards is Observer.SERVER:
        check_contributors(event, number, budget, name=name)


def check_count(name: str, reserved: PrivacyEvent, contributors: int, budget: Budget) -> None:
    """Refuse a sum with fewer contributors than its noise was reserved for, or with more than there are.

    Args:
        name: The beginning of the messages.
        reserved: What was reserved.
        contributors: How many clients are in the sum.
        budget: The budget.

    Raises:
        InvalidReservation: There are fewer or more.
    """
    least = 0 if budget.towards is Observer.READERS else least_contributors(reserved)
    if contributors < least:
        raise InvalidReservation(
            f"{name}: expected at least {least} contributors, whose noise was reserved, found "
            f"{contributors}. Do not release this sum."
        )
    if budget.participation is None and contributors > budget.population:
        raise InvalidReservation(
            f"{name}: expected at most the population of {budget.population}, found "
            f"{contributors} contributors. Use a ledger whose population counts everyone who may ever contribute."
        )


def check_realised(name: str, reserved: PrivacyEvent, contributors: int, realised: PrivacyEvent | None) -> None:
    """Refuse a release with less noise than was reserved, or with the noise of more clients than are in it.

    Args:
        name: The beginning of the messages.
        reserved: What was reserved, or will be.
        contributors: How many parties may have added noise.
        realised: The release with the noise that is really in it; None if that is not known.

    Raises:
        InvalidReservation: It has less noise or more sensitivity, or counts on more contributors.
        IncompatibleEvent: The relation or unit of `realised` is not the reserved one.
        InvalidParameter: `realised` is not a privacy event.
    """
    if realised is None:
        return
    check_noise(name, reserved=reserved, realised=realised)
    if least_contributors(realised) > contributors:
        raise InvalidReservation(
            f"{name}: expected the noise of at most the {contributors} contributors, found a realised event that "
            f"counts on {least_contributors(realised)}. Give the event of the contributors that are in the sum."
        )


def check_clock(name: str, time_s: float, *, last_s: float) -> None:
    """Refuse a record whose time is before that of the last one.

    Args:
        name: The name of the ledger in errors.
        time_s: The time of the record, in seconds since 1970.
        last_s: The time of the last record.

    Raises:
        LedgerClock: It is before.
    """
    behind_s = last_s - time_s
    if behind_s > 0:
        last = datetime.fromtimestamp(last_s, UTC).isoformat(timespec="milliseconds")
        raise LedgerClock(
            f"{name}: expected a clock that does not go back, found one {behind_s:.6g} s behind the "
            f"last record, {last}. Set the clock and try again. If the time of that record is wrong, wait until "
            "then, open the ledger with another `clock`, or create a ledger with what is left of the budget."
        )
