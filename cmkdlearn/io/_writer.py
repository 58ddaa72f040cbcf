"""From an estimator to a table of objects and tensors."""

import enum
import inspect
import json
import math
import warnings
from collections import OrderedDict

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import nn

from cmkdlearn._bridge.net import Net
from cmkdlearn.io import _registry as registry
from cmkdlearn.io._card import card_of
from cmkdlearn.io._format import shortened, write
from cmkdlearn.selection import Verdict
from cmkdlearn.text import WordNetNouns

TRUSTED = "trusted:"  # before the name of a class or function that only the caller can give
MOST_DEEP = 100  # rows in rows


def save(estimator, path, *, notes=None):
    """Write a fitted estimator to a file.

    Parameters
    ----------
    estimator : fitted estimator
        A teacher or student of this library, a selector, a classifier in the role of a teacher
        (:func:`~cmkdlearn.base.as_teacher`), or what is made of these.
    path : str or os.PathLike
        The file, which is replaced if it exists; ``.safetensors`` is the usual suffix. Links are
        followed and permissions kept, as by ``open(path, "w")``.
    notes : str, optional
        What only you know, for the model card: the data, the scores, the limits.

    Raises
    ------
    TypeError
        If the estimator holds what cannot be kept without running code to load it, such as a
        lambda or a hook, or an attribute that no file may set. The attribute is named. Of
        scikit-learn's estimators, linear and Gaussian ones are saved as they are; others whose
        attributes are arrays and numbers need to be trusted by who loads them.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    OSError
        If the file cannot be written.

    Warns
    -----
    UserWarning
        If the estimator has parameters that are not kept, because a file that sets them could run
        or reach what it likes: ``callbacks``, ``compile``, ``accelerator``, ``iterator_train``, and
        those of networks that name a file or pretrained weights.

    See Also
    --------
    load : The way back.
    read_card : The model card in the file.

    Notes
    -----
    Predictions of the loaded estimator are the same bit for bit, on the same machine and with the
    same versions of the libraries. Left out are ``memory`` and ``checkpoint``, which are folders of
    this machine, a ``device`` other than "auto" and "cpu", and the optimiser's state:
    ``warm_start`` goes on from the weights.

    Classes and functions of yours are kept by name, and :func:`load` has to be given them.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.io import load, read_card, save
    >>> from cmkdlearn.teachers import UnimodalTeacher
    >>> X, y = load_digits(return_X_y=True)
    >>> teacher = UnimodalTeacher(max_epochs=2, random_state=0).fit(X, y)
    >>> path = os.path.join(tempfile.mkdtemp(), "teacher.safetensors")
    >>> save(teacher, path, notes="Two epochs only: a demonstration.")
    >>> bool(np.all(load(path).predict_proba(X) == teacher.predict_proba(X)))
    True
    >>> print(read_card(path))  # doctest: +ELLIPSIS
    UnimodalTeacher(max_epochs=2, random_state=0)
    <BLANKLINE>
    Fitted on 1797 samples, each a table of shape (64,).
    10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.
    19,210 parameters.
    ...
    """
    if hasattr(estimator, "fit"):
        check_is_fitted(estimator)
    if not (notes is None or isinstance(notes, str)):
        raise TypeError(f"notes={notes!r} must be a string.")
    writer = Writer()
    root = writer.keep(estimator, type(estimator).__name__)
    if writer.left_out:
        warnings.warn(f"{', '.join(writer.left_out)}: not kept, because what runs and what is read "
                      "is for whoever loads the file to say. Predictions need none of it; set it "
                      "again before you fit again.", stacklevel=2)
    write(path, writer.content(root), card_of(estimator, notes, sorted(writer.trusted)))


class Writer:
    """Turns an object, and all that it refers to, into rows of a table and tensors.

    A row refers to rows before it, and to none behind it.
    """

    def __init__(self):
        self.objects, self.tensors, self.trusted, self.left_out = [], {}, {}, {}
        self._places, self._alive, self._depth = {}, [], 0

    def content(self, root):
        """Return the tensors of a file, the table among them."""
        table = json.dumps({"root": root, "objects": self.objects}, allow_nan=False).encode()
        return {**self.tensors, "estimator": torch.frombuffer(bytearray(table), dtype=torch.uint8)}

    def keep(self, value, where):
        """Return what stands for a value in JSON: itself, or [its row]."""
        if value is None or type(value) in (bool, int, str) \
                or type(value) is float and math.isfinite(value):
            return value
        if id(value) not in self._places:
            self._places[id(value)] = None
            self._alive.append(value)  # an id is an object's own while it lives
            self._depth += 1
            row = self._row(value, where)
            self._depth -= 1
            self._places[id(value)] = len(self.objects)
            self.objects.append(row)
        if self._places[id(value)] is None or self._depth > MOST_DEEP:
            raise _cannot(value, where, "It is part of itself, or too deep in others.")
        return [self._places[id(value)]]

    def _row(self, value, where):
        kind = type(value)
        if kind is float:
            return ["float", repr(value)]
        if kind in (set, frozenset, dict, OrderedDict) \
                and not all(map(registry.is_key, value)):
            raise _cannot(value, where, "Keys must be numbers, texts, or flat tuples of these.")
        if kind is range:
            return ["list", self._items(value, where)]
        if kind in (list, tuple, set, frozenset, History):
            items = sorted(value, key=repr) if kind in (set, frozenset) else value
            return [kind.__name__, self._items(items, where)]
        if kind in (dict, OrderedDict):
            return [kind.__name__, [[self.keep(key, where), self.keep(item, f"{where}[{key!r}]")]
                                    for key, item in value.items()]]
        if kind is slice:
            return ["slice", self._items((value.start, value.stop, value.step), where)]
        if kind is Verdict:
            return ["Verdict", self._items(value, where)]
        if isinstance(value, torch.Tensor):
            return self._tensor(value, where)
        if kind in (np.ndarray, np.memmap):
            return self._array(value, where)
        if isinstance(value, np.generic):
            return ["scalar", value.dtype.str, self.keep(value.item(), where)]
        if isinstance(value, torch.dtype):
            return ["dtype", str(value).removeprefix("torch.")]
        if isinstance(value, (np.random.RandomState, np.random.Generator)):
            state = value.get_state(legacy=False) if isinstance(value, np.random.RandomState) \
                else value.bit_generator.state
            return [kind.__name__, self.keep(state, where)]
        if isinstance(value, Net):
            return ["net", *self._items((value.module_, value.criterion_, value.history), where)]
        if isinstance(value, WordNetNouns) and value.__reduce__() == (WordNetNouns, ()):
            return ["WordNetNouns"]
        if isinstance(value, type) or inspect.isfunction(value) \
                or any(value is function for function in registry.FUNCTIONS.values()):
            return ["name", self._name(value, where)]
        if isinstance(value, enum.Enum):
            return ["enum", self._name(kind, where), value.name]
        return self._object(value, where)

    def _items(self, items, where):
        return [self.keep(item, f"{where}[{i}]") for i, item in enumerate(items)]

    def _object(self, value, where):
        kind = type(value)
        plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
        if not plain or not hasattr(value, "__dict__") or isinstance(value, torch.jit.ScriptModule):
            raise _cannot(value, where, "It is more than its attributes.")
        name = self._name(kind, where)
        state, kept = self._state(value, where), {}
        for attribute, item in state.items():
            place = f"{where}.{attribute}"
            kept[attribute] = self.keep(item, place)
            if why := registry.objection(kind, attribute, item, state):
                raise _cannot(item, place, f"It is {why}.")
        if isinstance(value, BaseEstimator) and (odd := registry.misfit(state)):
            raise _cannot(state[odd], f"{where}.{odd}", "Its shape does not go with the others'.")
        return ["object", name, kept]

    def _state(self, value, where):
        """Return the attributes that a file is to have."""
        kind, attributes, state = type(value), value.__getstate__() or {}, {}
        if type(attributes) is not dict:
            raise _cannot(value, where, "It is more than its attributes.")
        for name, item in attributes.items():
            if name == "device" and isinstance(item, torch.device):
                item = str(item)
            if registry.is_taken(kind, name, item):
                # what a network has worked out for one device, and works out again
                state[name] = {} if name.endswith("_cache") and isinstance(item, dict) else item
            elif isinstance(value, nn.Module):
                if name in registry.MACHINERY and not _is_new(name, item):
                    raise _cannot(value, where, f"Its {name} are functions, which stay outside; "
                                                "remove them first.")
            elif item is not None and name not in registry.OF_THE_MACHINE:
                self.left_out[f"{where}.{name}"] = item
        return state

    def _name(self, named, where):
        """Return the name that a class or function goes by in the file."""
        for name, function in registry.FUNCTIONS.items():
            if named is function:
                return name
        full = registry.full_name(named)
        if inspect.isclass(named) and registry.listed(full) is named:
            return full
        estimator = inspect.isclass(named) and issubclass(named, BaseEstimator)
        if full.startswith(("builtins.", "torch.", "numpy.", "skorch.")) \
                or full.startswith("sklearn.") and not estimator:
            raise _cannot(named, where, "It is none of those that a file may name.")
        if not named.__name__.isidentifier():
            raise _cannot(named, where, "It has no name to find it by.")
        if self.trusted.setdefault(named.__name__, named) is not named:
            raise _cannot(named, where, "Another one has the same name.")
        return TRUSTED + named.__name__

    def _tensor(self, tensor, where):
        if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.layout != torch.strided \
                or tensor.is_quantized or tensor.is_complex():
            raise _cannot(tensor, where, "It is no plain tensor of real numbers.")
        axes = _axes(tensor.stride())
        return [type(tensor).__name__, self._add(tensor.detach().permute(axes)), axes,
                tensor.requires_grad]

    def _array(self, array, where):
        if array.dtype.kind == "O":
            return ["objects", list(array.shape), self._items(array.ravel().tolist(), where)]
        if array.dtype.kind == "U":
            length = max(1, array.dtype.itemsize // 4)
            array = np.array(array, dtype=f"<U{length}", order="C")[..., None]
            return ["words", self._add(torch.from_numpy(array.view(np.int32)))]
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise _cannot(array, where, f"A file has no numbers of dtype {array.dtype}.")
        axes = _axes(array.strides)
        array = np.array(array.transpose(axes), dtype=array.dtype.newbyteorder("="), order="C")
        return ["ndarray", self._add(torch.from_numpy(array)), axes]

    def _add(self, tensor):
        name = f"{len(self.tensors):05d}"
        self.tensors[name] = tensor.cpu().clone(memory_format=torch.contiguous_format)
        return name


def _axes(strides):
    """Return the axes as they lie in memory: where numbers lie can change a product's last bit."""
    return sorted(range(len(strides)), key=lambda axis: -abs(strides[axis]))


def _is_new(name, item):
    """Tell whether a part of a module's machinery is as in every new module, or made by compile."""
    return name == "_compiled_call_impl" or item == vars(nn.Module()).get(name)


def _cannot(value, where, why):
    return TypeError(f"{where} cannot be saved: {shortened(repr(value))}. {why}")
