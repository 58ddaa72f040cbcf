"""The papers' tables and figures, re-run on real data: one module an experiment.

A module says what it re-runs (its docstring, ``PAPER``), with what (``SETTINGS``, by scale), on
which ``cells(settings)``, and how one cell is run with one seed: ``run(seed, settings, **cell)``
returns ``{method: {measure: number}}``. ``CLAIMS`` are judged by the rule in ``_claims.py``.
"""

EXPERIMENTS = (
    "suite", "suite-weight",
    "wordnet-proportions", "wordnet-labels", "wordnet-baselines",
    "cch-gaussian", "cch-blur", "cch-pairs", "cch-suite", "cch-fusion",
    "ucmkd-default", "ucmkd-digits", "ucmkd-steps", "ucmkd-conditions", "ucmkd-weights",
    "ucmkd-backbones",
)
