"""The site: ``make docs``."""

import inspect
import os
import re
from pathlib import Path

import matplotlib

import cmkdlearn
from cmkdlearn.losses import LOSSES

matplotlib.use("Agg")

project = "cmkdlearn"
author = "The cmkdlearn developers"
copyright = f"2026, {author}"
version = release = cmkdlearn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "literal"

autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False

# Pages called plot_* are run; the quickstart takes minutes, and is run where that is asked for.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/(plot_|quickstart)" if "CMKDLEARN_DOCS_ALL" in os.environ else "/plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "min_reported_time": 1,
    "write_computation_times": False,  # its page asks another site for its scripts
    "plot_gallery": "True",
    "show_signature": False,
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"cmkdlearn {release}"
html_static_path = ["_static"]
html_css_files = ["cmkdlearn.css"]
html_show_sourcelink = False
html_theme_options = {
    "footer_start": ["copyright"],
    "footer_end": [],
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}
html_context = {"default_mode": "auto"}
html_sidebars = {page: [] for page in ("install", "development", "evidence", "papers",
                                       "performance", "faults", "checks")}

# What a class inherits from scikit-learn or torch is theirs to document, but for what its users
# call every day.
INHERITED = {"fit_transform", "score"}


def skip_foreign(app, what, name, member, skip, options):
    """Leave out members of a class that are defined outside this package."""
    if what != "class" or name in INHERITED:
        return None
    function = inspect.unwrap(member.fget if isinstance(member, property) else member)
    module = getattr(function, "__module__", None)
    return True if module is None or not module.startswith("cmkdlearn") else None


def unlink_foreign(app, what, name, member, options, lines):
    """Let links in inherited docstrings, which lead into other sites, be plain text."""
    if name.rpartition(".")[2] in INHERITED:
        lines[:] = [re.sub(r":ref:`(.+?)\s*<.+?>`", r"\1", line) for line in lines]


def write_losses(app):
    """Make the user guide's table of losses from the code's."""
    deeper = ("feature_maps", "features")
    lines = [".. csv-table::", "   :header-rows: 1", "   :widths: auto", "",
             "   loss, paper, there, reads, labels, builds, classes, batch, defaults"]
    for name, cls in sorted(LOSSES.items(), key=lambda item: (
            [part in item[1].needs for part in deeper], item[1].paper.split()[-1])):
        cells = [f":class:`{name} <cmkdlearn.losses.{cls.__name__}>`", cls.paper, cls.equation,
                 " and ".join(cls.needs).replace("_", " "), "yes" if cls.needs_labels else "",
                 "yes" if cls.must_build else "", cls.min_classes, cls.min_samples,
                 f"``{cls()!r}``"]
        lines.append("   " + ", ".join(f'"{cell}"' for cell in cells))
    folder = Path(app.srcdir, "generated")
    folder.mkdir(exist_ok=True)
    (folder / "losses.inc").write_text("\n".join(lines) + "\n")


def setup(app):
    """Register the above."""
    app.connect("builder-inited", write_losses)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", unlink_foreign)
