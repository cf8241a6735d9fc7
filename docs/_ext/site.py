"""The Sphinx extension of this project: figures, pages made from the code, and texts from outside `docs/`."""

from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.util.typing import stringify_annotation

from docs._ext import docstrings, flow, public_names, repository, steps, turns
from protocols import Adversary


class ProtocolSteps(Directive):  # type: ignore[misc]  # docutils has no types where mypy runs
    """The sequence diagram of a protocol: ``{protocol-steps} secagg-plus``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"adversary": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the figure."""
        adversary = Adversary(self.options.get("adversary", "curious"))
        return [_figure(steps.draw_steps(steps.protocol_for_figure(self.arguments[0], adversary)))]


class TrainingRound(Directive):  # type: ignore[misc]  # as above
    """The flow of a training round: ``{training-round}``."""

    def run(self) -> list[nodes.Node]:
        """Return the figure."""
        return [_figure(flow.draw_round())]


class CohortsInTurn(Directive):  # type: ignore[misc]  # as above
    """Which rounds ask which clients: ``{cohorts-in-turn}``."""

    def run(self) -> list[nodes.Node]:
        """Return the figure."""
        return [_figure(turns.draw_turns())]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    app.add_directive("protocol-steps", ProtocolSteps)
    app.add_directive("training-round", TrainingRound)
    app.add_directive("cohorts-in-turn", CohortsInTurn)
    app.connect("builder-inited", _write_pages)
    app.connect("env-before-read-docs", _read_included_again)
    app.connect("source-read", _fill_in)
    app.connect("autodoc-process-docstring", _as_rest, priority=100)
    app.connect("object-description-transform", _name_types, priority=100)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _figure(svg: str) -> nodes.Node:
    return nodes.raw("", svg, format="html")


def _write_pages(app: Sphinx) -> None:
    source = Path(app.srcdir)
    public_names.write_pages(source / "reference" / "api")
    repository.write_commands(source / "reference" / "commands")
    repository.write_examples(source / "examples")


def _read_included_again(app: Sphinx, env: Any, docnames: list[str]) -> None:
    """Read pages with includes in every build: Sphinx does not know what they are made of."""
    for docname in env.found_docs - set(docnames):
        path = Path(env.doc2path(docname))
        if path.suffix == ".md" and repository.included_files(path):
            docnames.append(docname)


def _fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        source[0] = repository.with_included_text(path, source[0])


def _as_rest(app: Sphinx, what: str, name: str, documented: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring in place, which is how Sphinx takes it."""
    rest = docstrings.as_rest(lines)
    # Napoleon takes what stands before a colon in the first line of a property for its type. An empty line prevents it.
    lines[:] = ["", *rest] if what in ("attribute", "data", "property") else rest


def _name_types(app: Sphinx, domain: str, kind: str, content: object) -> None:
    """Put the name of a type where autodoc has spelled out what it stands for."""
    spelled_out = stringify_annotation(ArrayLike, "smart")
    for annotations in app.env.current_document.autodoc_annotations.values():
        for parameter, annotation in annotations.items():
            annotations[parameter] = annotation.replace(spelled_out, "~numpy.typing.ArrayLike")
