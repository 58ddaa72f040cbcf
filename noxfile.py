"""The tests with other versions: ``nox -s tests``, ``lowest`` or ``highest``.

What follows ``--`` goes to pytest, as in ``nox -s tests-3.13 -- tests/test_losses.py``.
"""

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv"

PYTHONS = ["3.11", "3.12", "3.13"]


def run(session, *options):
    """Run the tests, one thread to a process."""
    session.run("python", "-m", "pytest", *options, *session.posargs,
                env={"OMP_NUM_THREADS": "1"})


@nox.session(python=PYTHONS)
def tests(session):
    """With the versions of constraints.txt."""
    session.install("--constraint", "constraints.txt", "--editable", ".[test]")
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
