"""The site: ``make docs``."""

import inspect
import os
import re
from collections import Counter
from pathlib import Path

import mathjax
import matplotlib
from numpydoc.docscrape import NumpyDocString
from sphinx_gallery.sorting import ExplicitOrder

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
toc_object_entries_show_parents = "hide"

# MathJax from this site, and not from another one: one file, with its fonts.
MATHJAX = Path(mathjax.__file__).parent / "static" / "mathjax" / "es5" / "tex-svg-full.js"
mathjax_path = MATHJAX.name

# In the order in which to read them; what is not named here comes last.
SECTIONS = ["own", "text", "modality", "labels", "unpaired", "losses", "search", "theory", "*"]
EXAMPLES = [
    "quickstart", "plot_what_would_i_gain", "plot_unlabelled_pairs",
    "plot_own_arrays", "plot_own_tables", "plot_own_omics", "plot_own_folder", "plot_own_network",
    "plot_own_logits",
    "plot_label_leakage", "plot_nouns",
    "plot_cch_teacher", "plot_cch_mnistm", "plot_pairs", "plot_fusion",
    "plot_unlabelled", "plot_long_tail",
    "plot_compare_losses", "plot_augmentation",
    "plot_grid_search", "plot_optuna",
    "plot_cch_gaussian", "plot_mutual_information",
    "*",
]

# Pages called plot_* are run; the quickstart takes minutes, and is run where that is asked for.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "subsection_order": ExplicitOrder(
        [name if name == "*" else f"../examples/{name}" for name in SECTIONS]),
    "within_subsection_order": ExplicitOrder(
        [name if name == "*" else f"{name}.py" for name in EXAMPLES]),
    "backreferences_dir": "generated/backreferences",  # what the API's pages list
    "doc_module": ("cmkdlearn",),
    "capture_repr": ("_repr_html_",),  # tables and diagrams, and no <matplotlib... at 0x7f...>
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
html_static_path = ["_static", str(MATHJAX)]
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


def spell_out_inherited(app, what, name, member, options, lines):
    """Where a class passes ``**training`` on, say what the classes before it make of it."""
    if what != "class" or "**training" not in lines:
        return
    own, *before = [NumpyDocString(inspect.getdoc(cls))["Parameters"] for cls in member.__mro__
                    if cls.__module__.startswith("cmkdlearn") and "Parameters\n---" in
                    (inspect.getdoc(cls) or "")]
    told, inherited = {parameter.name for parameter in own}, []
    for parameter in (parameter for parameters in before for parameter in parameters):
        if parameter.name not in told:
            told.add(parameter.name)
            head = f"{parameter.name} : {parameter.type}" if parameter.type else parameter.name
            inherited += [head, *(f"    {line}" for line in parameter.desc)]
    lines.insert(lines.index("**training") + 1, "    Further down, under *Other Parameters*.")
    lines += ["", "Other Parameters", "----------------", *inherited]


def table_of_losses():
    """Return the lines of the user guide's table of losses, made from the code's."""
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
    return "\n".join(lines) + "\n"


def write_losses(app):
    """Put that table where the user guide includes it."""
    folder = Path(app.srcdir, "generated")
    folder.mkdir(exist_ok=True)
    (folder / "losses.inc").write_text(table_of_losses())


def pages_about():
    """Return for each name the user guide's pages that link or call it most often, up to three."""
    link = re.compile(r":(?:class|func):`~?(?:[^`<]+<)?(?:\w+\.)*(\w+)>?`"
                      r"|:meth:`~?(?:[^`<]+<)?(?:\w+\.)*(\w+)\.\w+>?`|(?<![.\w])(\w+)(?:\(|\.from_)")
    links, pages = Counter(), {}
    for page in sorted({*Path("user_guide").glob("*.rst")} - {Path("user_guide/glossary.rst")}):
        text = page.read_text() + table_of_losses() * (page.stem == "losses")
        links.update(("".join(found), page.stem) for found in link.findall(text))
    for (name, page), _ in links.most_common():
        pages.setdefault(name, []).append(f"/user_guide/{page}")
    return {name: linked[:3] for name, linked in pages.items()}


autosummary_context = {"pages_about": pages_about()}


def setup(app):
    """Register the above."""
    app.connect("builder-inited", write_losses)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", unlink_foreign)
    app.connect("autodoc-process-docstring", spell_out_inherited, priority=400)  # before numpydoc
