import contextlib
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dp", "protocols", "secagg")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from a copy of what belongs to it, so that nothing is left in the tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    kept = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    kept += [path for name in PACKAGES for path in (ROOT / name).rglob("*") if "__pycache__" not in path.parts]
    for path in kept:
        target = source / path.relative_to(ROOT)
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment in which the wheel is installed, and its dependencies can be found."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=120)
    interpreter = home / "bin" / "python"
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(
        subprocess.run([interpreter, "-c", question], capture_output=True, text=True, check=True).stdout.strip()
    )
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True, timeout=120)
    # A path without its own .pth files: what is installed there for development stays away.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return interpreter


def run(python: Path, code: str, cwd: Path) -> str:
    found = subprocess.run(
        [python, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120, check=False, env={"COLUMNS": "200"}
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def closure(requirements: list[str]) -> set[str]:
    """Names of all distributions that these bring with them, extras left out."""
    found: set[str] = set()
    open_ends = list(requirements)
    while open_ends:
        line = open_ends.pop()
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("_", "-")
        if name not in found and "extra ==" not in line:
            found.add(name)
            with contextlib.suppress(metadata.PackageNotFoundError):
                open_ends += metadata.requires(name) or []
    return found


def test_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= found
    assert {"dp", "secagg"} <= {name.split("/")[0] for name in found if "/templates/" in name}


def test_wheel_metadata_is_that_of_the_project(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA"))
        described = message_from_bytes(archive.read(name))
        (points,) = (entry for entry in archive.namelist() if entry.endswith(".dist-info/entry_points.txt"))
        entry_points = archive.read(points).decode()
        assert any(entry.endswith("/LICENSE") for entry in archive.namelist())
    assert described["Name"] == project["name"]
    base = [line for line in described.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(base) == sorted(project["dependencies"])
    assert set(described.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    assert "secagg = secagg.cli:main" in entry_points
    assert "[secagg.protocols]" in entry_points


def test_wheel_is_what_an_empty_environment_imports(python: Path, tmp_path: Path) -> None:
    code = "import dp, protocols, secagg; print(*(m.__file__ for m in (dp, protocols, secagg)), sep='\\n')"
    for path in map(Path, run(python, code, tmp_path).split()):
        assert python.parent.parent in path.parents
        assert path.name == "__init__.py"


def test_wheel_imports_no_more_than_its_base_dependencies(python: Path, tmp_path: Path) -> None:
    """Whatever is imported at the base, from top-level packages that are not Python's own, is declared."""
    code = (
        "import sys, importlib.metadata as metadata\n"
        "import dp, protocols, secagg, secagg.cli, secagg.commands.train, secagg.runs.config, secagg.runs.run\n"
        "import dp.ledger, dp.reporting.report\n"
        "tops = {name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names\n"
        "owners = metadata.packages_distributions()\n"
        "print(*sorted({owner.lower() for top in tops for owner in owners.get(top, ())}), sep='\\n')\n"
    )
    found = set(run(python, code, tmp_path).replace("_", "-").split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert found <= closure(project["dependencies"]) | {project["name"]}
    for needed in ("cryptography", "msgspec", "numpy", "rich", "typer"):
        assert needed in found
    # None of the extras, nor anything heavy of the base that only some functions need.
    for absent in (
        "tensorflow", "tf_keras", "tf-keras", "keras", "scikit-learn", "matplotlib", "jinja2", "phe", "gmpy2", "flwr",
        "dp_accounting", "dp-accounting", "scipy", "pytest",
    ):  # fmt: skip
        assert absent not in found


def test_wheel_brings_the_command_and_its_protocols(python: Path, tmp_path: Path) -> None:
    main = "import sys; from secagg.cli import main; sys.argv[1:] = {}; main()"
    assert "budget" in run(python, main.format(["--help"]), tmp_path)
    assert "secagg-plus" in run(python, main.format(["protocols"]), tmp_path)


def test_wheel_trains_and_reports(python: Path, tmp_path: Path) -> None:
    """Templates, entry points and the process of the compared runs are all found in the installed wheel."""
    pytest.importorskip("matplotlib")
    options = ["train", "--dataset", "breast-cancer", "--model", "numpy-softmax", "--clients", "12", "--rounds", "1"]
    options += ["--epsilon", "60", "--delta", "0.01", "--out", "run"]
    main = f"import sys; from secagg.cli import main; sys.argv[1:] = {options}; main()"
    assert "without noise" in run(python, main, tmp_path)
    assert (tmp_path / "run" / "report.html").is_file()
