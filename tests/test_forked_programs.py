"""Programs that tests fork behave as those of a new interpreter."""

import signal
from pathlib import Path

from tests.support.forked import Running, run_code


def test_program_has_its_own_arguments_folder_environment_output_and_exit_code(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv, os.getcwd(), dict(os.environ)); sys.stderr.write('é'); sys.exit(3)"
    found = run_code(code, "a b", "--c", cwd=tmp_path, environment={"ONLY": "this"})
    assert (found.returncode, found.stderr) == (3, "é")
    assert found.stdout == f"{['-c', 'a b', '--c']} {tmp_path} { {'ONLY': 'this'} }\n"


def test_program_that_fails_prints_its_traceback_and_what_it_left_at_exit(tmp_path: Path) -> None:
    found = run_code("import atexit; atexit.register(print, 'left'); raise ValueError('why')", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (1, "left\n")
    assert found.stderr.endswith("ValueError: why\n")


def test_program_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    change = (
        "import secagg.cli, os, signal; secagg.cli.main = None; os.umask(0o777); signal.signal(signal.SIGINT, print)"
    )
    assert run_code(change, cwd=tmp_path).returncode == 0
    look = "import secagg.cli, os, signal; print(secagg.cli.main is None, os.umask(0) == 0o777, __name__)"
    look += "; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert run_code(look, cwd=tmp_path).stdout == "False False __main__\nTrue\n"


def test_program_is_sent_signals_while_it_runs(tmp_path: Path) -> None:
    def stop(number: signal.Signals) -> int:
        def meanwhile(running: Running) -> None:
            while not (tmp_path / number.name).exists():
                assert not running.has_ended()
            running.send_signal(number)

        code = f"import time; open({number.name!r}, 'w'); time.sleep(100)"
        return run_code(code, cwd=tmp_path, meanwhile=meanwhile).returncode

    assert stop(signal.SIGKILL) == -signal.SIGKILL
    assert stop(signal.SIGINT) == -signal.SIGINT
    assert run_code("print(1)", cwd=tmp_path).stdout == "1\n"


def test_programs_run_at_the_same_time(tmp_path: Path) -> None:
    def meanwhile(running: Running) -> None:
        assert run_code("print('inner')", cwd=tmp_path).stdout == "inner\n"
        assert not running.has_ended()
        (tmp_path / "go").touch()

    code = "import os, sys\nwhile not os.path.exists('go'): pass\nsys.exit(5)"
    assert run_code(code, cwd=tmp_path, meanwhile=meanwhile).returncode == 5


def test_program_finds_the_modules_of_its_own_environment(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"only_in_{name}.py").touch()
    for name, other in (("one", "two"), ("two", "one")):
        environment = {"PYTHONPATH": str(tmp_path / name)}
        assert run_code(f"import only_in_{name}", cwd=tmp_path, environment=environment).returncode == 0
        assert run_code(f"import only_in_{other}", cwd=tmp_path, environment=environment).returncode == 1
