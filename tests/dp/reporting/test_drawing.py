import base64
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from dp.reporting.drawing import DARK, LIGHT, Chart, Scheme, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOSTILE = "<script>alert(1)</script> $\\frac{1}$ & \"'"


def drawn(words: str) -> Chart:
    def plot(axes: "Axes", scheme: Scheme) -> None:
        axes.plot([1, 2, 3], [4, 6, 5], color=scheme.line, label=words)
        axes.set(xlabel="round", ylabel="clients")
        axes.legend()

    return chart(plot, title="A title", caption="A caption")


def svg(uri: str) -> str:
    kind, _, body = uri.partition(",")
    assert kind == "data:image/svg+xml;base64"
    return base64.b64decode(body).decode("utf-8")


def test_chart_is_drawn_in_the_colours_of_each_scheme() -> None:
    made = drawn("clients")
    assert (made.title, made.caption) == ("A title", "A caption")
    for uri, own, other in ((made.light, LIGHT, DARK), (made.dark, DARK, LIGHT)):
        assert own.line in svg(uri)
        assert own.text in svg(uri)
        assert other.line not in svg(uri)
        assert other.text not in svg(uri)


def test_chart_is_the_same_every_time() -> None:
    assert drawn("clients") == drawn("clients")


def test_words_stay_words_and_are_escaped() -> None:
    text = svg(drawn(HOSTILE).light)
    assert "<script" not in text
    words = {element.text for element in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")}
    assert {HOSTILE, "round", "clients"} <= words


def test_whole_numbers_are_on_the_x_axis() -> None:
    words = [element.text for element in ElementTree.fromstring(svg(drawn("clients").dark)).iter()]
    assert {"1", "2", "3"} <= set(words)
    assert "1.5" not in words


def test_powers_on_a_logarithmic_axis_are_plain_text() -> None:
    def plot(axes: "Axes", scheme: Scheme) -> None:
        axes.semilogx([1e-12, 1e-1], [1, 2], color=scheme.line)

    made = chart(plot, title="A title", caption="A caption")
    words = {element.text for element in ElementTree.fromstring(svg(made.light)).iter()}
    assert {"1e−12", "1e−10"} & words  # noqa: RUF001 - a true minus sign, as matplotlib sets it
    assert not any("$" in (text or "") for text in words)


def test_width_is_that_of_the_drawing() -> None:
    made = chart(lambda axes, _: None, title="A title", caption="A caption", width_in=4.0)
    assert ElementTree.fromstring(svg(made.light)).get("width") == "288pt"
