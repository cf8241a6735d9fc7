import logging
import sys
import warnings

import pytest

from secagg.audit.overheard import overheard, told_by


def test_everything_that_is_written_is_collected_and_nothing_is_let_out(capsys: object) -> None:
    del capsys  # It takes what pytest would show.
    logger = logging.getLogger("audited.somewhere")
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logging.disable(logging.CRITICAL)
    try:
        with overheard() as texts:
            logger.debug("a %s record", "debug", extra={"field": "of the record"})
            warnings.warn("a warning", stacklevel=1)
            print("on the screen")  # noqa: T201 - That is the test.
            print("among the errors", file=sys.stderr)  # noqa: T201 - That is the test.
        assert logging.root.manager.disable == logging.CRITICAL
    finally:
        logging.disable(logging.NOTSET)
    assert (logger.level, logger.propagate, logger.handlers) == (logging.ERROR, False, [])
    joined = "\n".join(text for _, text in texts)
    for expected in ("a debug record", "of the record", "a warning", "on the screen", "among the errors"):
        assert expected in joined
    assert {where for where, _ in texts} == {"a log record", "a warning", "what is printed"}


def _fail(local: str) -> None:
    held = local.upper()
    try:
        raise KeyError("cause")
    except KeyError as error:
        raise ValueError(f"text {len(held)}") from error


def test_error_tells_its_text_its_cause_and_the_local_variables() -> None:
    try:
        _fail("secret")
    except ValueError as error:
        where, text = told_by(error)
    assert "ValueError" in where
    for expected in ("text 6", "cause", "SECRET", "local = 'secret'"):
        assert expected in text


class _Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_local_variable_without_a_repr_is_named_by_its_error() -> None:
    def fail(held: object) -> None:
        raise ValueError(str(type(held)))

    with pytest.raises(ValueError, match="_Broken") as caught:
        fail(_Broken())
    assert "held = (RuntimeError)" in told_by(caught.value)[1]
