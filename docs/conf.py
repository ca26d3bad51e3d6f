"""Settings of the documentation site: `sphinx-build -W --keep-going docs site`."""

import os
import sys
from pathlib import Path

# The pages' content is taken from the package, which must not start an accelerator for that.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Notebooks call themselves terminals, but a page would show every state of a progress bar.
os.environ.setdefault("TTY_COMPATIBLE", "0")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import api_pages
import conventions_page
import copied_pages
import docstring_markup
import option_names
import tex_formulas
from sphinx.application import Sphinx  # pyright: ignore[reportMissingImports]

project = "flax_transformer"
author = copyright = "the authors of flax_transformer"
html_title = "flax_transformer"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
# Two dashes are those of an option.
smartquotes = False
# Blocks without a language are commands and their output.
highlight_language = "none"

# Markdown pages and notebooks. Notebooks are committed without output. Read the Docs runs them for
# the published site; elsewhere the site is built without running them.
nb_execution_mode = "force" if os.environ.get("READTHEDOCS") == "True" else "off"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4

# Docstrings have Google's sections, and two of our own.
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# They are in the signature.
napoleon_attr_annotations = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
napoleon_custom_sections = ["Reference", "Module parameters"]
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "source_repository": "https://github.com/flax-transformer/flax_transformer/",
    "source_branch": "main",
    "source_directory": "docs/",
}


def setup(app: Sphinx) -> None:
    """Makes the pages that the package and its notebooks fill, and reads docstrings as meant."""
    folder = Path(__file__).parent
    copied_pages.copy_notebooks(folder.parent / "colabs", folder / "notebooks")
    api_pages.write_pages(folder / "api")
    tex_formulas.register(app)
    app.connect("source-read", conventions_page.fill)
    # Before napoleon, which has priority 500.
    app.connect("autodoc-process-docstring", docstring_markup.mark_up, priority=400)
    app.connect("autodoc-skip-member", docstring_markup.skip_member)
    app.connect("autodoc-process-signature", docstring_markup.shorten_signature)
    app.connect("doctree-read", docstring_markup.set_signs)
    app.connect("doctree-read", option_names.keep_whole)
