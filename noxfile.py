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
KERNELS = {  # a processor has its own and those before it; only Intel's heed what MKL is told last
    "sse": dict(OPENBLAS_CORETYPE="Nehalem", ATEN_CPU_CAPABILITY="default",
                ONEDNN_MAX_CPU_ISA="SSE41", MKL_CBWR="COMPATIBLE",
                MKL_ENABLE_INSTRUCTIONS="SSE4_2"),
    "avx": dict(OPENBLAS_CORETYPE="Sandybridge", ATEN_CPU_CAPABILITY="default",
                ONEDNN_MAX_CPU_ISA="AVX", MKL_CBWR="AVX", MKL_ENABLE_INSTRUCTIONS="AVX"),
    "avx2": dict(OPENBLAS_CORETYPE="Haswell", ATEN_CPU_CAPABILITY="avx2",
                 ONEDNN_MAX_CPU_ISA="AVX2", MKL_ENABLE_INSTRUCTIONS="AVX2"),
    "avx512": dict(OPENBLAS_CORETYPE="SkylakeX", ATEN_CPU_CAPABILITY="avx512",
                   ONEDNN_MAX_CPU_ISA="AVX512_CORE", MKL_ENABLE_INSTRUCTIONS="AVX512"),
}
TUTORIALS = ["plot_label_leakage", "plot_cch_teacher", "plot_unpaired"]  # one a method


def run(session, *options, **env):
    """Run the tests, one thread to a process."""
    session.run("python", "-m", "pytest", *options, *session.posargs,
                env={"OMP_NUM_THREADS": "1", **env})


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
@nox.parametrize("threads", [1, 2])
@nox.parametrize("kernel", list(KERNELS))
def kernels(session, kernel, threads):
    """With another processor's rounding and number of threads, and examples drawn anew."""
    if kernel == "avx512" and "avx512f" not in Path("/proc/cpuinfo").read_text():
        session.skip("This processor has no AVX-512.")
    session.install(*CONSTRAINED, "--editable", ".[test]")
    run(session, f"--hypothesis-seed={threads}", CI=None, OMP_NUM_THREADS=str(threads),
        OMP_WAIT_POLICY="passive",  # where threads share a core, one in waiting stops the other
        **KERNELS[kernel])


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
        (page,) = Path("examples").rglob(f"{name}.py")
        shutil.copy(page, folder)
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
