"""Seeds for estimators that have none."""

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state


def seeded_copy(estimator, seed):
    """Return a clone in which every ``random_state`` that was None is an integer.

    Those of what it is made of (teachers, steps of a pipeline) are set as well, each to a number of
    its own; the estimator's own one depends on the seed alone, so that two that differ in their
    parts begin alike. What is in a ``FrozenEstimator`` stays as it is.

    Parameters
    ----------
    estimator : estimator
    seed : int or RandomState
    """
    copy, rng = clone(estimator), check_random_state(seed)
    if not hasattr(copy, "get_params"):
        return copy
    unseeded = [name for name, value in copy.get_params().items()
                if name.split("__")[-1] == "random_state" and value is None]
    unseeded.sort(key=lambda name: (name.count("__"), name))
    own = int(rng.randint(np.iinfo(np.int32).max))
    seeds = {name: own if name == "random_state" else int(rng.randint(np.iinfo(np.int32).max))
             for name in unseeded}
    return copy.set_params(**seeds) if seeds else copy
