"""Pages of the API reference: one for each public name of each package, and one for each package that lists them."""

import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "protocols",
    "protocols.testing",
    "dp",
    "secagg",
    "secagg.engines",
    "secagg.models",
    "secagg.data",
    "secagg.audit",
)
"""Packages whose `__all__` is public, if they are there and have one."""

_DIRECTIVES: Final = {
    "class": "   :members:\n",
    "exception": "   :members:\n   :show-inheritance:\n",
    "function": "",
    "data": "   :no-value:\n",
}


def public_packages() -> list[str]:
    """Return those of `PACKAGES` that have public names."""
    return [package for package in PACKAGES if _exists(package) and public_names(package)]


def public_names(package: str) -> list[str]:
    """Return the public names of a package, sorted without regard to case."""
    return sorted(getattr(importlib.import_module(package), "__all__", ()), key=lambda name: (name.lower(), name))


def kind_of(package: str, name: str) -> str:
    """Return which directive documents a public name: class, exception, function or data."""
    found = getattr(importlib.import_module(package), name)
    if inspect.isclass(found):
        return "exception" if issubclass(found, BaseException) else "class"
    return "function" if inspect.isroutine(found) else "data"


def pages() -> dict[str, str]:
    """Return the text of every page by its path below the folder of the reference."""
    written = {"index.rst": _titled("Python API", _index(public_packages()))}
    for package in public_packages():
        names = {name: f"{package}/{file}" for name, file in _files(package).items()}
        listed = "\n".join(f"   {path}" for path in names.values())
        written[f"{package}.rst"] = _titled(
            package,
            f".. automodule:: {package}\n   :no-members:\n\n.. toctree::\n   :maxdepth: 1\n\n{listed}\n",
        )
        for name, path in names.items():
            kind = kind_of(package, name)
            written[f"{path}.rst"] = _titled(
                name, f".. currentmodule:: {package}\n\n.. auto{kind}:: {name}\n{_DIRECTIVES[kind]}"
            )
    return written


def write_pages(folder: Path) -> None:
    """Write every page whose text has changed, and remove those of names that are gone."""
    wanted = {folder / path: text for path, text in pages().items()}
    for old in set(folder.rglob("*.rst")) - set(wanted):
        old.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _exists(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _files(package: str) -> dict[str, str]:
    """Return a file name for each public name; no two differ in case alone, since some file systems ignore it."""
    files: dict[str, str] = {}
    for name in public_names(package):
        taken = name.lower() in {file.lower() for file in files.values()}
        files[name] = f"{name}-{kind_of(package, name)}" if taken else name
    return files


def _index(packages: list[str]) -> str:
    said = (
        "Every public name of the packages, with a page for each, made from the docstrings. A name that is not listed\n"
        "here is internal and can change in any version.\n\n"
    )
    return f"{said}.. toctree::\n   :maxdepth: 2\n\n" + "".join(f"   {package}\n" for package in packages)


def _titled(title: str, text: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n{text}"
