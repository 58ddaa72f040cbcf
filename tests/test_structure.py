"""The house: who may import whom, and the way of a batch through it."""

import ast
import graphlib
import sys
from pathlib import Path

import numpy as np
import skorch
from sklearn.naive_bayes import GaussianNB

import cmkdlearn
from cmkdlearn.students import MultiTeacherDistiller

ROOT = Path(cmkdlearn.__file__).parent
# A room may import those before it, and none behind it.
ORDER = ["_version", "_validation", "_labels", "_hashing", "_seeding", "_files", "_distances", "_progress", "losses", "alignment", "nn",
         "datasets", "preprocessing", "embedding", "text", "information", "_bridge", "_protocol", "base",
         "theory", "teachers", "export", "model_selection", "selection", "students", "presets", "inspection", "io"]


def imported(file):
    """The modules of this package that a file imports, anywhere in it but for type checkers."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cmkdlearn"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if module_file(name) else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("cmkdlearn")}
    return found


def module_file(module):
    place = ROOT.joinpath(*module.split(".")[1:])
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


FILES = {file: {module_file(module) for module in imported(file)} for file in ROOT.rglob("*.py")
         if file != ROOT / "__init__.py"}


def room(file):
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_room_has_its_place():
    assert {room(file) for file in FILES} == set(ORDER)


def test_no_import_runs_upwards():
    upward = [(str(file.relative_to(ROOT)), str(other.relative_to(ROOT)))
              for file, others in FILES.items() for other in others
              if ORDER.index(room(other)) > ORDER.index(room(file))]
    assert not upward


def test_no_files_import_each_other():
    """But for a package's face, which hands on the names of its files."""
    inner = {file: others for file, others in FILES.items() if file.name != "__init__.py"}
    graph = {file: {other for other in others if other in inner} for file, others in inner.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises a CycleError that names them


def test_a_batch_takes_the_short_way():
    """From train_step to _loss through four levels, and from file to file twelve times at most."""
    homes, levels, trips, way, stack = (str(ROOT), str(Path(skorch.__file__).parent)), [], [], None, []

    def follow(frame, event, arg):
        nonlocal way
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if event not in ("call", "return") or not file.startswith(homes):
            return
        if event == "call" and name == "train_step":
            way = []
        if way is None:
            return
        way.append(file)
        if event == "return":
            stack.pop()
            if not stack:
                trips.append(way)
                way = None
            return
        stack.append(name)
        if name == "_loss":
            levels.append(list(stack))

    X, y = np.random.default_rng(0).normal(size=(64, 3)), np.arange(64) % 2
    student = MultiTeacherDistiller([("nb", GaussianNB())], max_epochs=1, batch_size=16, device="cpu")
    before = sys.getprofile()
    sys.setprofile(follow)
    try:
        student.fit(X, y)
    finally:
        sys.setprofile(before)
    assert len(trips) == len(levels) == 4
    assert all(len(level) <= 4 for level in levels)
    assert all(sum(a != b for a, b in zip(trip, trip[1:], strict=False)) <= 12 for trip in trips)
