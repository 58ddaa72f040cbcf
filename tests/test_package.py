"""The package as a whole: what importing it costs, what it promises, and what is shipped."""

import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from numpydoc.docscrape import get_doc_object

import cmkdlearn
from cmkdlearn.information import ESTIMATORS

ROOT = Path(__file__).parents[1]
OPTIONAL = ["captum", "kornia", "matplotlib", "nltk", "open_clip", "ot", "sentence_transformers",
            "timm", "torchvision", "transformers"]
PACKAGES = [module.name for module in pkgutil.walk_packages(cmkdlearn.__path__, "cmkdlearn.")
            if "._" not in module.name]
PUBLIC = [(package, name) for package in PACKAGES
          for name in getattr(importlib.import_module(package), "__all__", [])]
DOCUMENTED = [(package, name) for package, name in PUBLIC
              if callable(getattr(importlib.import_module(package), name))]


def listed_in_the_reference():
    """The (module, name) pairs of docs/api.rst."""
    listed, module = [], None
    for line in (ROOT / "docs" / "api.rst").read_text().splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.match(r"(?:   |\.\. data:: )(\w+)$", line):
            listed.append((module, match[1]))
    return listed


def parameters(described):
    """Names of a function's parameters, or of those that a class does not inherit."""
    function = described.__init__ if inspect.isclass(described) else described
    if not getattr(function, "__module__", "").startswith("cmkdlearn"):
        return []  # the constructor is inherited
    args, varargs, varkw = inspect.getargs(function.__code__)
    starred = [f"*{varargs}"] * bool(varargs) + [f"**{varkw}"] * bool(varkw)
    return [name for name in args if name != "self"] + starred


def test_import_is_light():
    script = (f"import importlib, sys\nfor name in {PACKAGES}: importlib.import_module(name)\n"
              f"print([name for name in {OPTIONAL} if name in sys.modules])")
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                           check=True)
    assert found.stdout.strip() == "[]"


def test_the_package_itself_is_lazy():
    """Its names are there without torch, and what they stand for comes when it is asked for."""
    script = ("import sys, cmkdlearn\n"
              "assert set(cmkdlearn.__all__) <= set(dir(cmkdlearn))\n"
              "assert not {'torch', 'numpy', 'sklearn'} & sys.modules.keys()\n"
              "from cmkdlearn import *\n"
              "assert compare is cmkdlearn.model_selection.compare\n"
              "assert UCMKDStudent is cmkdlearn.students.UCMKDStudent\n"
              "try: cmkdlearn.nothing\n"
              "except AttributeError as error: print(error)")
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "module 'cmkdlearn' has no attribute 'nothing'\n"


def test_the_package_names_its_modules():
    assert set(cmkdlearn._SUBMODULES) == {name.split(".")[1] for name in PACKAGES}
    for name in cmkdlearn._SUBMODULES:
        assert getattr(cmkdlearn, name) is importlib.import_module(f"cmkdlearn.{name}")


def test_public_modules_say_what_is_public():
    """Every public module has an __all__, in which all that users are told of stands."""
    unsaid = [(module, name) for module, name in listed_in_the_reference()
              if name not in importlib.import_module(module).__all__]
    assert not unsaid


def test_version_is_the_metadatas():
    try:
        installed = importlib.metadata.version("cmkdlearn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("cmkdlearn is not installed")
    assert installed == cmkdlearn.__version__


def test_a_release_has_one_number_and_one_date():
    (version, date), *_ = re.findall(r"^## (\S+) \((\d.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = (ROOT / "CITATION.cff").read_text()
    assert cmkdlearn.__version__ == version or ".dev" in cmkdlearn.__version__
    assert f"version: {version}\ndate-released: {date}\n" in citation


@pytest.mark.parametrize(("package", "name"), DOCUMENTED)
def test_docstring_fits_the_signature(package, name):
    described = getattr(importlib.import_module(package), name)
    doc = get_doc_object(described)
    assert " ".join(doc["Summary"]).endswith(".")
    documented = {name for entry in doc["Parameters"] for name in entry.name.split(", ")}
    assert documented == set(parameters(described))


def documented_defaults():
    """The (name, function, parameter, default) that docstrings state."""
    public = [(name, getattr(importlib.import_module(package), name)) for package, name in DOCUMENTED]
    for name, described in [*public, *ESTIMATORS.items()]:
        function = described.__init__ if inspect.isclass(described) else described
        for entry in get_doc_object(described)["Parameters"]:
            names, (_, _, stated) = entry.name.split(", "), entry.type.partition("default=")
            if stated and not stated.isupper() and not names[0].startswith("*"):  # a constant's name
                values = [pydoc.locate(stated)] if stated.startswith("torch.") else ast.literal_eval(f"[{stated}]")
                for parameter, value in zip(names, values if len(values) > 1 else values * len(names),
                                            strict=True):
                    yield name, function, parameter, value


def test_defaults_are_those_documented():
    wrong, n = [], 0
    for name, function, parameter, stated in documented_defaults():
        found = inspect.signature(function).parameters[parameter].default
        wrong += [(name, parameter, found, stated)] * (repr(found) != repr(stated))
        n += 1
    assert n > 200 and not wrong


def test_reference_lists_what_is_public():
    listed = listed_in_the_reference()
    assert len(listed) == len(set(listed))
    assert set(PUBLIC) <= set(listed)
    for module, name in listed:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_papers_are_cited_alike():
    """The citation file and the README name the same papers."""
    papers = [set(re.findall(r"arXiv:[\d.]+\d", (ROOT / name).read_text()))
              for name in ("CITATION.cff", "README.md")]
    assert papers[0] == papers[1] and len(papers[0]) == 3


def included(text):
    """What a page asks for by name, and Sphinx does not make."""
    names = re.findall(r"\.\. (?:include|image|figure):: (\S+)", text)
    return [name for name in names if "auto_examples/" not in name and "generated/" not in name]


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for folder in ("", "user_guide")
                                  for path in (ROOT / "docs" / folder).glob("*.rst")])
def test_what_a_page_includes_is_committed(page):
    folder, names = (ROOT / page).parent, included((ROOT / page).read_text())
    names += [name for found in names if found.endswith(".inc")
              for name in included((folder / found).read_text())]
    assert not [name for name in names if not (folder / name).exists()]


@pytest.mark.slow
def test_distributions_carry_data_and_licences(tmp_path):
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, ROOT], check=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    packed = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in packed if name.split("/")[0].endswith(".dist-info")}
    sources = {str(path.relative_to(ROOT)) for path in ROOT.glob("cmkdlearn/**/*.py")}
    assets = {str(path.relative_to(ROOT)) for path in ROOT.glob("cmkdlearn/*/data/*")}
    licences = {name for name in assets if "LICENSE" in name}
    assert len(assets) == 4 and len(licences) == 2
    assert packed - about == sources | assets  # and nothing else
    carried = {name.partition("/licenses/")[2] for name in about if "/licenses/" in name}
    assert carried == licences | {"LICENSE"}
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    documents = {str(path.relative_to(ROOT)) for folder in ("docs", "docs/user_guide", "docs/results")
                 for path in ROOT.glob(f"{folder}/*.*")} - {"docs/sg_execution_times.rst"}
    assert sources | assets | documents | {"constraints.txt", "Makefile", "tests/conftest.py"} <= names
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|docs/(_build|auto_examples)", name)]
