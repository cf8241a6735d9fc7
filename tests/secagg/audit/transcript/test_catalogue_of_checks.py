"""The catalogue of checks, and the notes from which results are made."""

from secagg.audit.transcript.catalogue import HEAD, LIMITS, RECORDS, STATEMENTS, Notes


def test_results_are_in_the_order_of_the_statements() -> None:
    results = Notes().results()
    assert [(each.id, each.statement) for each in results] == list(STATEMENTS.items())
    assert not any(each.rejected or each.not_tested for each in results)
    assert all(each.id.startswith("transcript.") for each in results)


def test_notes_are_bounded_and_the_rest_is_counted() -> None:
    notes = Notes()
    for number in range(1000):
        notes.found(RECORDS, f"note {number}")
        notes.not_tested(HEAD, f"reason {number}")
        notes.not_tested(HEAD, "reason 0")
    by_id = {each.id: each for each in notes.results()}
    assert by_id[RECORDS].rejected
    assert len(by_id[RECORDS].found) == 21
    assert by_id[RECORDS].found[-1] == "and 980 more"
    assert len(by_id[HEAD].not_tested) == 21
    assert by_id[HEAD].not_tested[-1] == "and more"
    assert not by_id[HEAD].rejected


def test_statements_and_limits_are_sentences() -> None:
    for sentence in (*STATEMENTS.values(), *LIMITS):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
