"""The papers' experiments on their own data: ``python -m benchmarks run paper/NAME --data DIR``.

A module is one data set. It has

- its docstring, ``PAPER`` and ``LAYOUT`` (what the folder ``DIR`` has to hold, by scale);
- ``SETTINGS`` by scale: "miniature" is what the tests run on a few made-up samples in the layout in
  which the set is distributed, "small" is for two CPU cores and what a folder of real data has of
  the set, "full" is the paper's;
- ``tables(scale)``, a tuple of :class:`~benchmarks.paper._tables.Table`, each with its cells,
  its methods, and the numbers that the paper prints;
- ``run(method, cell, seed, settings, folder, work)``, which fits one method in one cell and returns
  ``{measure: number}``; in the folder ``work`` it may keep what it wants to find again. A method
  that several tables show is run once.

"Paper" is what is printed, with the table's number; "script" is the authors' code; "ours" is
neither.
"""

EXPERIMENTS = (
    "wordnet-imagenet", "wordnet-imagenet-lt", "wordnet-cifar-100", "wordnet-cifar-100-imb100",
    "wordnet-scene", "wordnet-utkface",
    "cch-synthetic", "cch-mnist-m", "cch-mosei", "cch-brca", "cch-kipan", "cch-lihc", "cch-others",
    "ucmkd-ave", "ucmkd-crema-d", "ucmkd-ravdess", "ucmkd-vggsound", "ucmkd-fer-ravdess",
)
