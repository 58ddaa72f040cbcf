"""The suite's teacher by itself at the weight of the product: the control that lacks the product.

On the suite's 18 reported pairs, with unlabelled pairs and the suite's seeds, after the suite had
been looked at. Nothing was chosen.
"""

from benchmarks.evidence import suite
from benchmarks.evidence._claims import Claim
from benchmarks.evidence._pairs import REPORTED

PAPER, SETTINGS, MEASURES = suite.PAPER, suite.SETTINGS, suite.MEASURES
BASELINE = suite.BASELINE
ALONE = "teacher alone, α = 0.2, τ = 1"
METHODS = {"CE": suite.METHODS["CE"], ALONE: ("teacher", suite.OF_PRODUCT),
           "product": suite.METHODS["product"]}


def cells(settings):
    return {pair: {"pair": pair} for pair in REPORTED}


def run(seed, settings, pair):
    return suite.run(seed, settings, pair, suite.MORE, METHODS)


def _gain(method, over):
    return lambda r: [r.gain(pair, method, over).mean() for pair in REPORTED]


CLAIMS = [
    Claim("At the product's weight the other modality's teacher alone teaches less.",
          "no table has it", _gain("product", ALONE),
          f"the product less the teacher alone at its weight; {suite.MORE}, over the pairs"),
]
