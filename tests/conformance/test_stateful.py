"""Sums of every protocol on an unreliable network are exact or end with a typed error."""

from protocols.testing.suite.network import check_network
from tests.conformance.cohorts import settings


def test_network_that_does_what_it_likes_gives_the_exact_sum_or_an_error() -> None:
    check_network(settings(), examples=200)
