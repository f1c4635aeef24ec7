"""Sphinx's settings for the course's site; `make site` puts the pages beside a copy of this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from edu_seg import __version__

project = "edu_seg"
author = "the authors of edu_seg"
copyright = "the authors of edu_seg; text CC BY 4.0, code MIT"
version = release = __version__
language = "en_GB"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "plain_docstrings", "mathml", "reachable"]
exclude_patterns = ["extra", "static", "templates"]

# The notebooks are shown as they were stored. Nothing may be asked from a network: no loader of widgets, no MathJax.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # torch.nn.Module says nothing about a forward of ours
default_role = "code"
add_module_names = False
python_maximum_signature_line_length = 88
maximum_signature_line_length = 88
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "edu_seg: dense prediction, checked"
html_static_path = ["static"]
html_extra_path = ["extra"]
html_css_files = ["site.css"]
html_js_files = [("frames.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it would fetch each page found, which a browser refuses to a page from a folder
html_use_index = True
html_domain_indices = False
html_theme_options = {"footer_icons": []}
