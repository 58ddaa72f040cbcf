"""What is checked in environments of its own: ``nox -s tests``, ``lowest``, ``dist``, ...

What follows ``--`` goes to pytest, as in ``nox -s tests-3.13 -- tests/test_losses.py``.
"""

import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv"

PYTHONS = ["3.11", "3.12", "3.13"]
CONSTRAINED = ("--constraint", "constraints.txt")
TUTORIALS = ["plot_label_leakage", "plot_cch_teacher", "plot_unpaired"]  # one a method


def run(session, *options):
    """Run the tests, one thread to a process."""
    session.run("python", "-m", "pytest", *options, *session.posargs,
                env={"OMP_NUM_THREADS": "1"})


@nox.session(python=PYTHONS)
def tests(session):
    """With the versions of constraints.txt."""
    session.install(*CONSTRAINED, "--editable", ".[test]")
    run(session)


@nox.session(python=PYTHONS[0])  # the lowest NumPy is for no later Python
def lowest(session):
    """With the lowest version of each direct dependency, as pyproject.toml has it."""
    session.install("--resolution", "lowest-direct", "--editable", ".[test]")
    # old packages may call deprecated functions of the new ones that they depend on
    run(session, *(f"-Wdefault::{kind}Warning" for kind in ("Deprecation", "Future")))


@nox.session(python=PYTHONS)
def highest(session):
    """With the newest version of everything."""
    session.install("--upgrade", "--editable", ".[test]")
    run(session)


@nox.session(python=PYTHONS[0])
def dist(session):
    """Wheel and sdist are sound, and the README's example runs from the wheel alone."""
    session.install("build", "twine")
    folder = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", folder)
    session.run("twine", "check", "--strict", *folder.iterdir())
    (wheel,) = folder.glob("*.whl")
    session.install(*CONSTRAINED, f"cmkdlearn[offline] @ {wheel.as_uri()}")
    blocks = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    example = next(block for block in blocks if "load_fashion_mini(" in block)
    with session.chdir(folder):  # where no clone is in the way
        session.run("python", "-c", example)
        session.run("uv", "pip", "uninstall", "cmkdlearn")
        session.run("python", "-c", "import cmkdlearn", success_codes=[1], silent=True)


@nox.session(python=PYTHONS[0])
def notebooks(session):
    """The tutorials, or the examples named after ``--``, as notebooks from top to bottom."""
    session.install(*CONSTRAINED, "--editable", ".[docs]", "ipykernel", "nbclient")
    folder = Path(session.create_tmp())
    for name in session.posargs or TUTORIALS:
        shutil.copy(f"examples/{name}.py", folder)
        session.run("sphinx_gallery_py2jupyter", str(folder / f"{name}.py"))
        session.run("jupyter", "execute", str(folder / f"{name}.ipynb"))


@nox.session(python=PYTHONS[0])
def site(session):
    """Every page in a headless browser; pictures of some go to the folder named after ``--``."""
    session.install(*CONSTRAINED, "--editable", ".[docs]", "playwright")
    session.run("python", "-m", "sphinx", "-b", "html", "-W", "docs", "docs/_build/html")
    if "CHROMIUM" not in session.env:
        session.run("playwright", "install", "chromium")
    session.run("python", "tools/check_site.py", *session.posargs)
