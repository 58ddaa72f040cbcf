"""The pages: they say what their run prints, all of them run in a fresh clone, and no public name is left out."""

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from cmkdlearn.losses import LOSSES

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(page for page in (ROOT / "examples").rglob("*.py") if ".cache" not in page.parts)
GUIDE = sorted((ROOT / "docs" / "user_guide").glob("*.rst"))
NAMES = [path.stem for path in EXAMPLES]

# What a run comes to: a percentage, a difference, a decimal. Whole numbers are the page's own settings.
MEASURE = re.compile(r"(?<![\w.])(\d[\d,]*\.\d+|\d[\d,]*(?= (?:%|points?\b|nats\b)))")
LEVEL = 95  # per cent, of intervals
# How one says that something came of it
OUTCOME = re.compile(
    r"\b(gained|helped|hurt|harmed|lost|loses|beats?|wins?|won|outperform\w*|improve[sd]?|brought|closes|"
    r"(?:do|does|did|(?<!less )is|are|was|were) (?:\w+ )?(?:better|worse|ahead|behind|lower|higher|best)|"
    r"(?:adds?|brings?|gains?|costs?|changes?|helps?|loses?|finds?) (?:next to nothing|nothing|little|much|most)|"
    r"costs? accuracy|lose sight|hold zero|helps (?:a|its|the)|clearly (?:change|gain|lose|help)s?)\b")
# ... and how one says that it may, or asks whether it does
OPEN = re.compile(r"\?$|\b(if|whether|may|might|can|could|need not|where|would)\b", re.IGNORECASE)


def prose(page):
    """The sentences of an example: its docstring, and the comments below each ``# %%``."""
    source = page.read_text()
    blocks = [ast.get_docstring(ast.parse(source)), *re.findall(r"^# %%.*\n((?:#.*\n)*)", source, re.MULTILINE)]
    text = "\n\n".join(re.sub(r"^# ?", "", block, flags=re.MULTILINE) for block in blocks)
    return sentences(text)


def sentences(text):
    return [" ".join(part.split()) for paragraph in re.split(r"\n\s*\n", text)
            for part in re.split(r"(?<=[.?!:;])\s+", paragraph) if part.strip()]


def settings(page):
    """The numbers that stand in an example's code, and as percentages."""
    tokens = tokenize.generate_tokens(io.StringIO(page.read_text()).readline)
    numbers = {float(ast.literal_eval(token.string)) for token in tokens if token.type == tokenize.NUMBER}
    return numbers | {round(100 * number, 9) for number in numbers} | {LEVEL}


def outcomes(said):
    return [sentence for sentence in said if OUTCOME.search(sentence) and not OPEN.search(sentence)]


@pytest.mark.parametrize("page", EXAMPLES, ids=NAMES)
def test_prose_has_no_number_of_a_run(page):
    """A number that the code does not set is one that it printed on somebody's machine."""
    known = settings(page)
    wrong = [(number, sentence) for sentence in prose(page) for number in MEASURE.findall(sentence)
             if float(number.replace(",", "")) not in known]
    assert not wrong


@pytest.mark.parametrize("page", EXAMPLES, ids=NAMES)
def test_prose_foretells_no_outcome(page):
    assert not outcomes(prose(page))


@pytest.mark.parametrize("page", GUIDE, ids=[page.stem for page in GUIDE])
def test_the_guide_foretells_no_outcome_of_an_example(page):
    said = [sentence for sentence in sentences(page.read_text()) if "sphx_glr_auto_examples" in sentence]
    assert not outcomes(said)


@pytest.mark.parametrize("page", GUIDE, ids=[page.stem for page in GUIDE])
def test_no_line_of_a_table_begins_a_row_without_cells(page):
    """In a simple table, a first cell that goes on in the next line is a row of its own, and an empty one."""
    rule = re.compile(r"^ *=+(?: +=+)+$")
    lines, first, wrong = page.read_text().splitlines(), None, []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if rule.match(line):
            first = None if not after.strip() else re.match(r" *=+ +", line).end()
        elif first and line[:first].strip() and not line[first:].strip():
            wrong.append(line)
    assert not wrong


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder to run the pages in: they share what they embed, as those of a site do."""
    return tmp_path_factory.mktemp("clone")


@pytest.mark.slow
@pytest.mark.parametrize("page", EXAMPLES, ids=NAMES)
def test_every_page_runs_in_a_fresh_clone(page, clone):
    """Without data of ours and without a hub; what it prints is for a reader, and no warning is among it."""
    env = {name: value for name, value in os.environ.items() if name != "CMKDLEARN_DATA"}
    env |= {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1"}
    run = subprocess.run([sys.executable, page], cwd=clone, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    assert run.stdout and not re.search(r"<[\w.]+.* at 0x", run.stdout)


@pytest.mark.slow
def test_the_readmes_ten_lines(clone):
    """They run as they stand, and the second student is ahead, as the README shows it."""
    code, shown = re.search(r"## Ten lines.*?```python\n(.*?)```\n\n```\n(.*?)```", (ROOT / "README.md").read_text(),
                            re.DOTALL).groups()
    run = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(ROOT)})
    plain, taught = map(float, run.stdout.split())
    assert not run.stderr and re.fullmatch(r"0\.\d{3}\n0\.\d{3}\n", shown)
    assert (plain < taught) == (shown.split()[0] < shown.split()[1])


def test_every_public_name_is_told_of_in_the_guide():
    """Or is a row of the guide's table of losses, which docs/conf.py makes."""
    names = re.findall(r"^(?:   |\.\. data:: )(\w+)$", (ROOT / "docs" / "api.rst").read_text(), re.MULTILINE)
    told = set(re.findall(r"\w+", " ".join(page.read_text() for page in GUIDE)))
    told |= {loss.__name__ for loss in LOSSES.values()}
    assert len(names) > 100 and not [name for name in names if name not in told]


def test_nobody_is_sent_to_an_index():
    """The package is on none: it is installed from a clone."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.rst"), *(ROOT / "cmkdlearn").rglob("*.py"), *EXAMPLES]
    assert not [file for file in files if re.search(r"pip install cmkdlearn\b", file.read_text())]
