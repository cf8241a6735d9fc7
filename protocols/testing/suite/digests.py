"""The digest binds all parties to the same protocol and session, and `suggest` refuses cohorts that cannot be."""

from dataclasses import replace

import pytest

from protocols.errors import ParameterError
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite
from protocols.testing.suite.variants import other_parameters, other_sessions


class DigestTests(Suite):
    """Tests of what a protocol says about a session and a cohort, without running a sum."""

    def test_digest_changes_with_every_field_of_the_session(self, scenario: Scenario) -> None:
        variants = [scenario.session, *other_sessions(scenario.session)]
        digests = {scenario.protocol.digest(each) for each in variants}
        assert len(digests) == len(variants)
        assert {len(digest) for digest in digests} == {32}

    def test_digest_does_not_confuse_neighbouring_fields(self, scenario: Scenario) -> None:
        left = replace(scenario.session, session_id=b"a" * 17, context=b"b")
        right = replace(scenario.session, session_id=b"a" * 16, context=b"ab")
        assert scenario.protocol.digest(left) != scenario.protocol.digest(right)

    def test_digest_changes_with_every_parameter_of_the_protocol(self, scenario: Scenario) -> None:
        variants = [scenario.protocol, *other_parameters(scenario.protocol)]
        assert len({each.digest(scenario.session) for each in variants}) == len(variants)

    @pytest.mark.parametrize(
        "cohort",
        [
            {"clients": 0},
            {"clients": 1},
            {"clients": -5},
            {"clients": True},
            {"clients": 10.0},
            {"clients": None},
            {"adversarial": -0.1},
            {"adversarial": 1.0},
            {"adversarial": float("nan")},
            {"adversarial": float("inf")},
            {"adversarial": True},
            {"adversarial": None},
            {"dropout": -0.1},
            {"dropout": 1},
            {"dropout": float("nan")},
            {"dropout": float("inf")},
            {"dropout": "0.1"},
        ],
    )
    def test_suggestion_for_an_impossible_cohort_is_refused(self, cohort: dict[str, object]) -> None:
        arguments: dict[str, object] = {"clients": 100, "adversarial": 0.1, "dropout": 0.1} | cohort
        for kind in self.kinds():
            with pytest.raises(ParameterError):
                kind.suggest(**arguments)  # type: ignore[arg-type]  # that is the test
