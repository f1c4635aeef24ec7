"""Mathematics as MathML, made when the site is built: no script, no font and no network is needed to show it."""

import html
import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import SphinxError


def to_mathml(latex: str, display: bool = False) -> str:
    """The formula as a <math> element that also carries its source, for those who read by ear. Raises SphinxError naming a bad one."""
    # Inside \text latex2mathml shows the sign that escapes an underscore or a per cent sign.
    source = re.sub(r"\\text(?:tt|it|bf)?\{[^{}]*\}", lambda found: re.sub(r"\\([_%&#])", r"\1", found[0]), latex)
    source = re.sub(r"\\arg(?![a-z])", r"\\operatorname{arg}", source)
    try:
        element = convert(source, display="block" if display else "inline")
    except Exception as error:  # latex2mathml has a dozen kinds, and none names the formula
        raise SphinxError(f"no MathML for the formula {latex!r}: {type(error).__name__}: {error}") from error
    if "\\" in html.unescape(element):
        raise SphinxError(f"the formula {latex!r} holds a command that latex2mathml does not know")
    return element.replace("<math ", f'<math alttext="{html.escape(latex)}" ', 1)


def visit_math(self, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{to_mathml(node.astext())}</span>')
    raise nodes.SkipNode


def visit_math_block(self, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math-block" tabindex="0">{to_mathml(node.astext(), display=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
