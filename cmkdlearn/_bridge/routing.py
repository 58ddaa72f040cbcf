"""An estimator's parameters, those that go on to skorch included."""

import difflib
import inspect

import torch
from sklearn.base import BaseEstimator
from torch.utils.data import DataLoader

NET_PARAMS = ("accelerator", "callbacks", "compile", "iterator_train", "torch_load_kwargs")
NET_PREFIXES = ("accelerator", "module", "optimizer", "callbacks", "compile",
                "iterator_train")
# The parameters of a DataLoader that say how it reads, not what.
READING = ("num_workers", "prefetch_factor", "pin_memory", "multiprocessing_context", "timeout",
           "worker_init_fn")
# What skorch has and is done otherwise here
ELSEWHERE = {"train_split": "early_stopping=True sets validation_fraction of the samples aside, "
                            "and fit(X, y, X_val=..., y_val=...) takes a validation set of your "
                            "own."}
DRAWS = ("sampler", "batch_sampler")  # parameters of a DataLoader that are given to it here


class RoutedParams(BaseEstimator):
    """Parameters by name: those of the constructor, and what is routed to skorch by prefix."""

    def __init__(self, **net_params):
        for name in net_params:
            if not is_net_param(name):
                known = [*self._get_param_names(), *NET_PARAMS, *(f"{p}__" for p in NET_PREFIXES)]
                near = difflib.get_close_matches(name, known, n=3)
                hint = f"Did you mean {' or '.join(near)}?" if near else ""
                hint = ELSEWHERE.get(name.partition("__")[0], hint)
                raise TypeError(f"{type(self).__name__} got an unexpected keyword {name!r}. "
                                f"{hint}".rstrip())
        self.__dict__.update(net_params)

    def __init_subclass__(cls, **kwargs):
        """Show the inherited keywords in the subclass's signature, where scikit-learn reads them.

        Those that are routed to skorch stay out of it: they are no parameter of this name.
        """
        super().__init_subclass__(**kwargs)
        own = list(inspect.signature(cls.__init__).parameters.values())
        if "__init__" in vars(cls) and own[-1].kind is inspect.Parameter.VAR_KEYWORD:
            taken = {parameter.name for parameter in own}
            inherited = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, parameter
                         in inspect.signature(super(cls, cls).__init__).parameters.items()
                         if name not in taken and parameter.kind is not parameter.VAR_KEYWORD]
            signature = inspect.Signature(own[:-1] + inherited)
            cls.__init__.__signature__ = signature  # type: ignore[attr-defined]

    def get_params(self, deep=True):
        """Return the parameters by name, those routed to skorch included."""
        return {**super().get_params(deep=deep), **self._net_params()}

    def set_params(self, **params):
        """Set parameters by name, those routed to skorch included."""
        explicit = set(self._get_param_names())
        routed = [name for name in params if is_net_param(name) and name not in explicit]
        for name in routed:
            setattr(self, name, params.pop(name))
        return super().set_params(**params)

    def _net_params(self):
        """Return what goes on to skorch, by its full name."""
        explicit = set(self._get_param_names())
        return {name: value for name, value in vars(self).items()
                if is_net_param(name) and name not in explicit}

    def _routed(self, prefix):
        """Return what is routed to ``prefix``, by the name that it has there."""
        return {name.removeprefix(f"{prefix}__"): value
                for name, value in self._net_params().items() if name.startswith(f"{prefix}__")}

    def _reading(self):
        """Return how a ``DataLoader`` is to read: workers, prefetch, pinned memory."""
        return {name: value for name, value in self._routed("iterator_train").items()
                if name in READING}

    def _check_routed(self, prefix, target):
        """Refuse what is routed to a callable that does not take it."""
        known = inspect.signature(target).parameters
        if any(p.kind is p.VAR_KEYWORD for p in known.values()):
            return
        for name in self._routed(prefix):
            if name not in known and not name.startswith("param_groups"):
                near = difflib.get_close_matches(name, known, n=3) or list(known)
                raise TypeError(f"{prefix}__{name}: {target.__name__} takes no {name!r}, but "
                                f"{', '.join(near)}.")

    def _check_all_routed(self):
        """Refuse what goes to the optimiser, the loader or the network, and is unknown there."""
        self._check_routed("optimizer", self.optimizer)
        self._check_routed("iterator_train", DataLoader)
        for name in DRAWS:
            if name in self._routed("iterator_train") and not hasattr(self, "iterator_train"):
                raise TypeError(f"iterator_train__{name}: {type(self).__name__} draws its batches "
                                'itself. sampler="balanced" draws all classes equally often, and '
                                "fit(X, y, sample_weight=...) lets samples count for more or less.")
        if inspect.isclass(self.module) and issubclass(self.module, torch.nn.Module):
            self._check_routed("module", self.module)


def is_net_param(name):
    """Tell whether a parameter of this name goes on to skorch."""
    return name in NET_PARAMS or name.partition("__")[0] in NET_PREFIXES and "__" in name
