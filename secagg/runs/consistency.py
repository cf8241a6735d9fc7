"""Whether settings fit together: everything that the range of a single setting does not say."""

import math

from dp.clipping.adaptive import MEDIAN
from dp.events import Trust
from dp.ledger.participation import Accounting
from dp.noise.distributed import LatticeNoise
from protocols import Adversary
from secagg.aggregation.weighting import Weighting
from secagg.errors import ConfigurationError
from secagg.privacy.clipping import ClippingKind
from secagg.privacy.contributors import check_cohort
from secagg.privacy.delta import check_client_delta
from secagg.privacy.least_cap import least_cap
from secagg.runs.derived import DerivedSettings
from secagg.runs.fields import EXAMPLE_CLIP_L2
from secagg.training.cohorts import Draw


def check_settings(settings: DerivedSettings) -> None:
    """Refuse settings that cannot work together, before anything is loaded or computed.

    Raises:
        ConfigurationError: There are some. The message names them, and says what to change.
    """
    _check_values(settings)
    _check_unit(settings)
    _check_noise(settings)
    _check_clipping(settings)
    _check_weighting(settings)
    _check_committee(settings)
    _check_draw(settings)
    _check_accounting(settings)
    _check_cap(settings)
    _check_cohort(settings)


def _check_values(settings: DerivedSettings) -> None:
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, float) and not math.isfinite(value) and (name, value) != ("epsilon", math.inf):
            raise ConfigurationError(f"{name}: expected a finite number, found {value}. Use such a number.")
        if isinstance(value, str) and not _is_unicode(value):
            raise ConfigurationError(
                f"{name}: expected valid Unicode, found {value!r}. Use a text without such characters."
            )
    if settings.organisation is not None and not settings.organisation.isprintable():
        raise ConfigurationError(
            "organisation: expected 1 to 200 printable characters, found others among them. Leave these out."
        )
    if settings.private and not 1e-9 <= settings.epsilon <= 1e9:
        raise ConfigurationError(
            "epsilon: expected a number from 1e-9 to 1e9, or inf for no noise and no differential privacy, "
            f"found {settings.epsilon!r}. Use a number in this range."
        )


def _check_unit(settings: DerivedSettings) -> None:
    if settings.unit == "client":
        if settings.example_clip_l2 != EXAMPLE_CLIP_L2:
            raise ConfigurationError(
                f"example_clip_l2: expected none with unit = client, found {settings.example_clip_l2:g}: it applies "
                "only with unit = example. Leave it out."
            )
        if settings.private:
            check_client_delta(settings.delta, clients=settings.clients)
        return
    if settings.draw is Draw.POISSON:
        raise ConfigurationError(
            "draw: expected in-turn or random with unit = example, found poisson: a secret draw requires trust = "
            "central, which applies only with unit = client. Use draw = in-turn or random, or unit = client."
        )
    given = {
        "mechanism": settings.mechanism is not LatticeNoise.DISCRETE_GAUSSIAN,
        "trust": settings.trust is not Trust.DISTRIBUTED,
        "noise_removal": settings.noise_removal,
    }
    if any(given.values()):
        names = [name for name, found in given.items() if found]
        found = ", ".join(f"{name} = {str(getattr(settings, name)).lower()}" for name in names)
        raise ConfigurationError(
            f"{', '.join(names)}: expected the default with unit = example, found {found}: the noise is added in each "
            "client's training, and this applies only with unit = client. Leave it out, or use unit = client."
        )
    if settings.weighting is Weighting.WEIGHTED:
        raise ConfigurationError(
            "weighting: expected uniform with unit = example, found weighted: the weights reveal the number of "
            "examples, which the budget protects. Use weighting = uniform. Updates already grow with the number of "
            "examples."
        )
    if settings.private and settings.optimizer != "sgd":
        raise ConfigurationError(
            f"optimizer: expected sgd with unit = example, found {settings.optimizer}. Use sgd. server_momentum adds "
            "momentum at no cost of privacy."
        )


def _check_noise(settings: DerivedSettings) -> None:
    if settings.noise_removal and not settings.private:
        raise ConfigurationError(
            "noise_removal: expected false with epsilon = inf, found true: there is no noise to remove. Leave it out."
        )
    if settings.private and settings.trust is Trust.CENTRAL and settings.adversary is Adversary.MALICIOUS:
        raise ConfigurationError(
            "trust: expected distributed or local with adversary = malicious, found central: a malicious server "
            "cannot be trusted to add the noise. Use trust = distributed."
        )


def _check_clipping(settings: DerivedSettings) -> None:
    if settings.clipping is not ClippingKind.ADAPTIVE and settings.clip_quantile != MEDIAN:
        raise ConfigurationError(
            f"clip_quantile: expected none with clipping = {settings.clipping}, found {settings.clip_quantile:g}: it "
            "applies only with clipping = adaptive. Leave it out, or use clipping = adaptive."
        )


def _check_weighting(settings: DerivedSettings) -> None:
    weighted = settings.weighting is Weighting.WEIGHTED
    if weighted and settings.max_examples is None:
        raise ConfigurationError(
            "max_examples: expected a number with weighting = weighted, found none. Give the largest number of "
            "examples that a client is counted for; it must not be computed from the data."
        )
    if not weighted and settings.max_examples is not None:
        raise ConfigurationError(
            f"max_examples: expected none with weighting = uniform, found {settings.max_examples:g}: it applies only "
            "with weighting = weighted. Leave it out, or use weighting = weighted."
        )
    if weighted and settings.compression is not None and settings.compression < 1:
        raise ConfigurationError(
            f"compression: expected 1 with weighting = weighted, found {settings.compression:g}: the total weight "
            "would be an estimate from the coordinates that are sent. Use compression = 1, or weighting = uniform."
        )
    if weighted and settings.clipping is ClippingKind.ADAPTIVE:
        raise ConfigurationError(
            "weighting: expected uniform with clipping = adaptive, found weighted: adaptive clipping counts all "
            "clients alike. Use weighting = uniform, or clipping = global."
        )


def _check_committee(settings: DerivedSettings) -> None:
    if settings.committee is None and settings.committee_fingerprint is not None:
        raise ConfigurationError(
            "committee: expected the folder of the committee whose fingerprint is given, found none. Give the folder "
            "with --committee, or leave out committee_fingerprint."
        )


def _check_draw(settings: DerivedSettings) -> None:
    """Refuse a cohort larger than the population, and ways of drawing it that do not fit the other settings."""
    if settings.cohort is not None and settings.cohort > settings.clients:
        raise ConfigurationError(
            f"cohort: expected at most the {settings.clients} clients of the population, found {settings.cohort}. Use "
            "a smaller cohort, or more clients."
        )
    if settings.draw is not None and settings.cohort is None:
        raise ConfigurationError(
            f"draw: expected none without a cohort, found {settings.draw}: every round asks all clients. Leave it out, "
            "or give a cohort."
        )
    if settings.separation is not None:
        _check_separation(settings, settings.separation)
    if not settings.by_poisson:
        return
    if settings.trust is not Trust.CENTRAL:
        raise ConfigurationError(
            f"trust: expected central with draw = poisson, found {settings.trust}: noise shares that the drawn clients "
            "bring depend on who was drawn, so that nothing is gained by the secret draw. Use trust = central, with "
            "which the server sees the exact sum; or draw = in-turn or random."
        )
    if settings.dropping:
        raise ConfigurationError(
            f"dropout: expected 0 with draw = poisson, found {settings.dropout:g}: how many clients drop out would "
            "depend on how many were drawn, which readers must not learn. Use dropout = 0."
        )


def _check_accounting(settings: DerivedSettings) -> None:
    """Refuse the Gaussian filter for releases that are sampled, before a folder is made for the run."""
    if not settings.private or settings.accounting is not Accounting.GAUSSIAN_FILTER:
        return
    if settings.by_poisson or settings.unit == "example":
        found = "draw = poisson" if settings.by_poisson else f"unit = {settings.unit}"
        raise ConfigurationError(
            f"accounting: expected fixed or renyi-filter with {found}, found gaussian-filter: it charges no release "
            "that is sampled. Use accounting = renyi-filter, under which results may decide on later rounds too."
        )


def _check_separation(settings: DerivedSettings, separation: int) -> None:
    if settings.cohort is None or settings.drawing is not Draw.IN_TURN:
        found = "no cohort" if settings.cohort is None else f"draw = {settings.drawing}"
        raise ConfigurationError(
            f"separation: expected a cohort and draw = in-turn, found {found}: nothing else keeps a distance between "
            "the rounds of a client. Leave separation out, which loses no privacy, or use draw = in-turn."
        )
    if separation * settings.cohort > settings.clients:
        raise ConfigurationError(
            f"separation: expected at most {settings.clients // settings.cohort} rounds, which {settings.clients} "
            f"clients allow in cohorts of {settings.cohort}, found {separation}. Use a smaller separation, which "
            "loses no privacy, or a smaller cohort."
        )


def _check_cap(settings: DerivedSettings) -> None:
    """Refuse a cap below which the rounds do not find their cohorts."""
    if settings.cap is None:
        return
    if settings.by_poisson:
        raise ConfigurationError(
            f"cap: expected none with draw = poisson, found {settings.cap}: the draw would not be independent any "
            "more. Leave it out, or use draw = in-turn or random."
        )
    least = least_cap(settings.rounds, cohort=settings.asked, clients=settings.clients)
    if settings.cap < least:
        who = "all" if settings.cohort is None else f"{settings.cohort} of"
        raise ConfigurationError(
            f"cap: expected at least {least}, since {settings.rounds} rounds ask {who} {settings.clients} clients "
            f"each, found {settings.cap}. Use a cap of {least} or more, fewer rounds or a smaller cohort."
        )


def _check_cohort(settings: DerivedSettings) -> None:
    check_cohort(
        clients=settings.asked,
        dropout=settings.dropout,
        adversarial=settings.adversarial,
        required=settings.required_contributors,
        default=settings.minimum_contributors is None,
        noise_in_shares=settings.private and settings.unit == "client" and settings.trust is Trust.DISTRIBUTED,
    )


def _is_unicode(text: str) -> bool:
    """Return whether text can be written in UTF-8, unlike an argument of other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
