"""Mutation testing: which small changes of the code does no test notice?

    python tools/mutate.py cmkdlearn/losses --tests tests/test_losses*.py --sample 50

Comparisons, arithmetic, constants, conditions, returned values and bare calls are changed one at a
time, and the tests that reach the line are run, the quickest first. The working tree is not
touched: every mutant is a forked process in which the changed module is what gets imported. What
survives is to be killed by a test, or explained: reasons in the JSON (``--out``) are kept.
"""

import argparse
import ast
import collections
import copy
import importlib
import importlib.machinery
import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 60  # seconds of a processor, beyond three times what its tests take, that a mutant gets

SWAPPED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
           ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
           ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div,
           ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
           ast.And: ast.Or, ast.Or: ast.And}


def changed(node):
    """What may stand in a node's place, if anything."""
    new = copy.deepcopy(node)
    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPPED:
            new.ops = [SWAPPED[type(op)]()]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in SWAPPED:
            new.op = SWAPPED[type(op)]()
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            new = new.operand
        case ast.Constant(value=bool(value)):
            new.value = not value
        case ast.Constant(value=int(value) | float(value)):
            new.value = value + 1
        case ast.If() | ast.IfExp() if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            new.test = ast.UnaryOp(ast.Not(), new.test)
        case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
            new.value = ast.Constant(None)
        case ast.Expr(value=ast.Call()):
            new = ast.Pass()
        case _:
            return None
    return ast.fix_missing_locations(ast.copy_location(new, node))


def sites(node):
    """Every place below a node that can be changed: (holder, key, changed node).

    Errors, warnings, annotations and texts are left alone.
    """
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        listed = isinstance(value, list)
        holder = value if listed else vars(node)
        for key in range(len(value)) if listed else [field]:
            child = holder[key]
            if isinstance(child, ast.Raise | ast.JoinedStr) or not isinstance(child, ast.AST) \
                    or "warn" in ast.unparse(getattr(child, "func", ast.Pass())):
                continue
            if (new := changed(child)) is not None:
                yield holder, key, new
            yield from sites(child)


def described(mutant):
    """Where a mutant is and what it changes, with room for the reason why it may live."""
    file, _, holder, key, new = mutant
    return {"file": str(Path(file).relative_to(ROOT)), "line": holder[key].lineno,
            "column": holder[key].col_offset,
            "from": ast.unparse(holder[key]).partition("\n")[0],
            "to": ast.unparse(new).partition("\n")[0], "reason": ""}


class Selection:
    """Plugin of pytest: records which tests reach which lines, or runs only those named."""

    def __init__(self, keep=None, coverage=None):
        self.keep, self.coverage, self.seconds = keep, coverage, {}

    def pytest_collection_modifyitems(self, items):
        """Keep the named tests, the quickest first."""
        if self.keep is not None:
            items[:] = sorted((item for item in items if item.nodeid in self.keep),
                              key=lambda item: self.keep[item.nodeid])

    def pytest_runtest_setup(self, item):
        """Say whose lines come now."""
        if self.coverage:
            self.coverage.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report):
        """Add up what a test takes."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration


def forked(function, seconds):
    """What function returns, a small integer, in a process with so many seconds of a processor.

    None if it takes more; or ten times as long by the clock, as others may be at work.
    """
    child = os.fork()
    if not child:
        os.setsid()  # so that what it starts can be ended with it
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        os._exit(int(function()))
    end = time.monotonic() + 10 * seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return None if code in (-signal.SIGXCPU, -signal.SIGKILL) else code
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run_tests(tests, selection):
    """Pytest's exit code."""
    import pytest

    # pytest must not rewrite assertions, or it would read the named modules itself
    return pytest.main([*tests, "-q", "-x", "--assert=plain", "-p", "no:cacheprovider"],
                       plugins=[selection])


def reaching(files, tests):
    """Which tests reach each line, ``{file: {line: [test]}}``, and how long each takes."""
    out = ROOT / f".coverage.mutate.{os.getpid()}"

    def baseline():
        import coverage

        measured = coverage.Coverage(data_file=None, include=[str(file) for file in files])
        measured.start()
        selection = Selection(coverage=measured)
        code = run_tests(tests, selection)
        measured.stop()
        data = measured.get_data()
        lines = {file: data.contexts_by_lineno(file) for file in data.measured_files()}
        out.write_text(json.dumps([lines, selection.seconds]))
        return code

    if forked(baseline, 3600) != 0:
        sys.exit("The tests have to pass before anything is changed.")
    lines, seconds = json.loads(out.read_text())
    out.unlink()
    return lines, seconds


def run_mutant(file, tree, tests, keep):
    """Pytest's exit code with a module replaced by a syntax tree."""
    load = importlib.machinery.SourceFileLoader.get_code

    def get_code(loader, name):
        return compile(tree, file, "exec") if loader.path == file else load(loader, name)

    importlib.machinery.SourceFileLoader.get_code = get_code
    return run_tests(tests, Selection(keep))


def main():
    """Try the mutants of a module or a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, help="a module, or a folder of them")
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random; else all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON with one entry for each path")
    parser.add_argument("--survivors", action="store_true",
                        help="only those of --out, with new tests and the same code")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.environ.update(CI="true", OMP_NUM_THREADS="1")  # hypothesis draws the same examples
    sys.path.insert(0, str(ROOT))
    sys.dont_write_bytecode = True
    path = options.path.resolve()
    name = str(path.relative_to(ROOT))

    files = sorted(map(str, path.rglob("*.py"))) if path.is_dir() else [str(path)]
    mutants = []
    for file in files:
        tree = ast.parse(Path(file).read_text())
        mutants += [(file, tree, *site) for site in sites(tree)]
    every = len(mutants)
    known = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    before = known.get(name, {"killed": 0, "hung": 0, "survived": []})
    if options.survivors:
        mutants = [mutant for mutant in mutants
                   if described(mutant) in [{**one, "reason": ""} for one in before["survived"]]]
    elif options.sample and options.sample < every:
        mutants = random.Random(options.seed).sample(mutants, options.sample)

    # what others wrote is imported once, what is here anew in every process
    import hypothesis.extra.numpy  # noqa: F401
    import pytest  # noqa: F401

    importlib.import_module(".".join(Path(name).with_suffix("").parts))
    for module in [module for module in sys.modules if module.split(".")[0] == "cmkdlearn"]:
        del sys.modules[module]
    lines, seconds = reaching(files, options.tests)

    reasons = {(one["file"], one["from"], one["to"]): one["reason"] for one in before["survived"]}
    counts, survived = collections.Counter(), []
    for mutant in mutants:
        entry, (file, tree, holder, key, new) = described(mutant), mutant
        old, holder[key] = holder[key], new
        last = old.test.end_lineno if isinstance(old, ast.If) else old.end_lineno
        span = range(old.lineno, last + 1)
        contexts = {test for line in span for test in lines.get(file, {}).get(str(line), [])}
        keep = {test: seconds[test] for test in (seconds if "" in contexts else contexts)}
        code = 0
        if keep:
            code = forked(lambda f=file, t=tree, k=keep: run_mutant(f, t, options.tests, k),
                          3 * sum(keep.values()) + PATIENCE)
            if code not in (None, 0, 1, 2):  # passed, failed, or could not be imported
                sys.exit(f"pytest ended with {code} on {file}:{old.lineno}")
        holder[key] = old
        outcome = "hung" if code is None else "killed" if code else "survived"
        counts[outcome] += 1
        print("{:8} {file}:{line}  {from}  ->  {to}".format(outcome, **entry),
              f" ({len(keep)} tests)", flush=True)
        if outcome == "survived":
            reason = reasons.get((entry["file"], entry["from"], entry["to"]), "")
            survived.append({**entry, "reason": reason})
    print(f"{every} mutants, {len(mutants)} tried: {dict(counts)}")
    if options.out:
        if options.survivors:
            counts.update(killed=before["killed"], hung=before["hung"])
        known[name] = {"mutants": every, "tried": counts.total(), "seed": options.seed,
                       "killed": counts["killed"], "hung": counts["hung"], "survived": survived}
        options.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
