import datetime
import time

from secagg.audit.shifted import SHIFT_S, shifted_clocks


def test_clocks_are_shifted_and_put_back() -> None:
    before, today = time.time(), datetime.date.today()
    ticks = {name: getattr(time, name)() for name in ("monotonic", "perf_counter", "process_time", "thread_time")}
    with shifted_clocks():
        assert SHIFT_S <= time.time() - before < SHIFT_S + 600
        assert SHIFT_S <= time.time_ns() / 1e9 - before < SHIFT_S + 600
        for name, tick in ticks.items():
            assert SHIFT_S <= getattr(time, name)() - tick < SHIFT_S + 600
        assert datetime.datetime.now().year in (today.year + 3, today.year + 4)
        assert datetime.datetime.today().year == datetime.datetime.now().year
        assert datetime.datetime.now(datetime.UTC).year == datetime.datetime.now().year
        assert datetime.date.today().year in (today.year + 3, today.year + 4)
        assert time.localtime().tm_year == datetime.datetime.now().year
        assert time.gmtime(0).tm_year == 1970
    assert time.time() - before < 600
    assert datetime.date.today().year <= today.year + 1
