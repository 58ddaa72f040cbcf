"""Fitted estimators in a file that can be loaded without trust.

The file is one of safetensors, which any reader of that format opens. Its tensors are those of the
estimator; one more, ``estimator``, holds the rest as JSON: a table of objects that refer to each
other and to the tensors. Its metadata say what the file is: the format and its version, the model
card, and the SHA-256 of all the rest.

Loading makes objects of listed classes and fills in their attributes. Nothing is imported by a
name that stands in a file, and nothing of the file is called.
"""

import contextlib
import enum
import hashlib
import inspect
import io
import json
import math
import os
import platform
import re
import sys
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, LabelBinarizer, MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, GradientNormClipping, LRScheduler
from skorch.history import History
from torch import nn
from torch.optim.lr_scheduler import LRScheduler as TorchScheduler
from torch.utils.data import DataLoader

from cmkdlearn._bridge.net import Net, make_net
from cmkdlearn._protocol import ClassifierTeacher
from cmkdlearn._version import __version__
from cmkdlearn.base import TorchEstimator
from cmkdlearn.nn.augment import StrongAugmentation, WeakAugmentation
from cmkdlearn.nn.data import BatchLoader, resolve_device
from cmkdlearn.selection import Verdict
from cmkdlearn.students import MultiTeacherDistiller  # noqa: F401  with all that may be in a file
from cmkdlearn.text import WordNetNouns

__all__ = ["load", "read_card", "save"]

FORMAT, FORMAT_VERSION = "cmkdlearn", 1
UNSIGNED = "0" * 64
# Results can change with these, and so can what a saved network's attributes mean.
PACKAGES = ["cmkdlearn", "numpy", "scikit-learn", "skorch", "timm", "torch"]

# ---------------------------------------------------------------- what a file may name

INSTANCES = {  # beside this library's estimators and modules, and the modules of torch and timm
    ClassifierTeacher, StrongAugmentation, WeakAugmentation, Verdict,
    EarlyStopping, GradientNormClipping, LRScheduler,
    FrozenEstimator, FunctionTransformer, GaussianNB, LabelBinarizer, LinearDiscriminantAnalysis,
    LinearRegression, LinearSVC, LogisticRegression, MinMaxScaler, PCA, Pipeline, Ridge,
    RidgeClassifier, StandardScaler,
}
FUNCTIONS = {"builtins.print": print, "torch.nn.functional.gelu": F.gelu,
             "torch.nn.functional.relu": F.relu}
GENERATORS = {cls.__name__: cls for cls in (np.random.MT19937, np.random.PCG64,
                                            np.random.PCG64DXSM, np.random.Philox,
                                            np.random.SFC64)}
TRUSTED = "trusted:"  # before the name of a class that only the caller can give


def _is_listed(cls):
    """Tell whether a file may name a class of the installed libraries."""
    module = cls.__module__
    if cls in INSTANCES or cls in (BatchLoader, DataLoader):
        return True
    if issubclass(cls, NeuralNet):  # whose __setstate__ calls torch.load
        return False
    if module.startswith("cmkdlearn."):
        return issubclass(cls, (BaseEstimator, nn.Module))
    if module.startswith(("torch.nn.modules.", "timm.layers.", "timm.models.")):
        return issubclass(cls, (nn.Module, enum.Enum))
    return module.startswith("torch.optim.") and issubclass(cls, (torch.optim.Optimizer,
                                                                  TorchScheduler))


def _full_name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def _listed(name):
    """Return the listed class of this name, or None."""
    if name.startswith("timm."):
        import timm  # noqa: F401  which imports all of its layers and models
    module, _, attribute = name.rpartition(".")
    # in the module's dict, and nowhere else: a module may import what it is asked for
    found = vars(sys.modules[module]).get(attribute) if module in sys.modules else None
    whole = inspect.isclass(found) and _full_name(found) == name
    return found if whole and _is_listed(found) else None


class _Refused(ValueError):
    """Says what is wrong with a file; the file's name is put before it."""


# ---------------------------------------------------------------- saving

def save(estimator, path, *, notes=None):
    """Write a fitted estimator to a file.

    Parameters
    ----------
    estimator : fitted estimator
        A teacher or student of this library, a selector, a classifier in the role of a teacher
        (:func:`~cmkdlearn.base.as_teacher`), or what is made of these.
    path : str or os.PathLike
        The file, which is replaced if it exists; ``.safetensors`` is the usual suffix.
    notes : str, optional
        What only you know, for the model card: the data, the scores, the limits.

    Raises
    ------
    TypeError
        If the estimator holds what cannot be kept without running code to load it, such as a
        lambda or a hook. Of scikit-learn's estimators, linear and Gaussian ones are saved, others
        where skops is installed and trusts all that they hold (not the trees of a forest). The
        attribute is named.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    load : The way back.
    read_card : The model card in the file.

    Notes
    -----
    Predictions of the loaded estimator are the same bit for bit, on the same machine and with the
    same versions of the libraries. Left out are ``memory``, which is a folder of this machine, and
    the optimiser's state: ``warm_start`` goes on from the weights.

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
    writer = _Writer()
    root = writer.keep(estimator, type(estimator).__name__)
    rest = json.dumps({"root": root, "objects": writer.objects}, allow_nan=False).encode()
    tensors = {**writer.tensors, "estimator": torch.frombuffer(bytearray(rest), dtype=torch.uint8)}
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION),
                "versions": json.dumps(_versions()), "sha256": UNSIGNED,
                "card": _card(estimator, notes, sorted(writer.trusted))}
    content = safetensors.torch.save(tensors, metadata=metadata)
    _write(Path(path), _signed(content, UNSIGNED, hashlib.sha256(content).hexdigest()))


def _versions():
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            versions[name] = __version__
    return versions


def _signed(content, old, new):
    """Exchange the digest in the header."""
    end = 8 + int.from_bytes(content[:8], "little")
    places = [f'"sha256":"{digest}"'.encode() for digest in (old, new)]
    return content[:end].replace(*places, 1) + content[end:]


def _write(path, content):
    # A reader sees the whole file or the old one: it gets its name when it is complete.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


class _Writer:
    """Turns an object, and all that it refers to, into rows of a table and tensors."""

    def __init__(self):
        self.objects, self.tensors, self.trusted = [], {}, {}
        self._places, self._alive = {}, []

    def keep(self, value, where):
        """Return what stands for a value in JSON: itself, or [its row]."""
        if value is None or type(value) in (bool, int, str) \
                or type(value) is float and math.isfinite(value):
            return value
        if id(value) not in self._places:
            self._alive.append(value)  # an id is an object's own while it lives
            self._places[id(value)] = place = len(self.objects)
            self.objects.append(None)
            self.objects[place] = self._row(value, where)
        return [self._places[id(value)]]

    def _row(self, value, where):
        kind = type(value)
        if kind is float:
            return ["float", repr(value)]
        if kind in (list, tuple, set, frozenset, History):
            items = sorted(value, key=repr) if kind in (set, frozenset) else value
            return [kind.__name__, self._items(items, where)]
        if kind in (dict, OrderedDict, Bunch):
            return [kind.__name__, [[self.keep(key, where), self.keep(item, f"{where}[{key!r}]")]
                                    for key, item in value.items()]]
        if kind is slice:
            return ["slice", self._items((value.start, value.stop, value.step), where)]
        if isinstance(value, PurePath):
            return ["path", str(value)]
        if isinstance(value, torch.Tensor):
            return self._tensor(value, where)
        if kind in (np.ndarray, np.memmap):
            return self._array(value, where)
        if isinstance(value, np.generic):
            return ["scalar", value.dtype.str, self.keep(value.item(), where)]
        if isinstance(value, (torch.dtype, torch.device)):
            return [type(value).__name__, str(value).removeprefix("torch.")]
        if isinstance(value, (np.random.RandomState, np.random.Generator)):
            state = value.get_state(legacy=False) if isinstance(value, np.random.RandomState) \
                else value.bit_generator.state
            return [kind.__name__, self.keep(state, where)]
        if isinstance(value, Net):
            return ["net", *self._items((value.module_, value.criterion_, value.history), where)]
        if isinstance(value, WordNetNouns) and value.__reduce__() == (WordNetNouns, ()):
            return ["WordNetNouns"]
        if isinstance(value, type) or inspect.isfunction(value) or value in FUNCTIONS.values():
            return ["name", self._name(value, where)]
        if isinstance(value, enum.Enum):
            return ["enum", self._name(kind, where), self.keep(value.value, where)]
        if _of_scikit_learn(kind) and not _is_listed(kind):
            return ["skops", self._add(_by_skops(value, where))]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return ["namedtuple", self._name(kind, where), self._items(value, where)]
        return self._object(value, where)

    def _items(self, items, where):
        return [self.keep(item, f"{where}[{i}]") for i, item in enumerate(items)]

    def _object(self, value, where):
        kind = type(value)
        plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
        state = (value.__getstate__() or {}) if plain and hasattr(value, "__dict__") else None
        if type(state) is not dict or isinstance(value, torch.jit.ScriptModule):
            raise _cannot(value, where, "It is more than its attributes.")
        if isinstance(value, BaseEstimator) and state.get("memory") is not None:
            state = {**state, "memory": None}
        if isinstance(value, nn.Module):
            state = _module_state(value, state, where)
        return ["object", self._name(kind, where),
                {name: self.keep(item, f"{where}.{name}") for name, item in state.items()}]

    def _name(self, named, where):
        """Return the name that a class or function goes by in the file."""
        for name, function in FUNCTIONS.items():
            if named is function:
                return name
        if inspect.isclass(named) and _listed(_full_name(named)) is named:
            return _full_name(named)
        if _full_name(named).startswith(("builtins.", "torch.", "numpy.", "sklearn.", "skorch.")):
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


def _module_state(module, state, where):
    """Leave out what every new module has."""
    new = vars(nn.Module())
    own = {"training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}
    for name in new.keys() - own:
        if state.get(name, new[name]) != new[name]:
            raise _cannot(module, where, f"Its {name} are functions, which stay outside; remove "
                                         "them first.")
    return {name: item for name, item in state.items() if name in own or name not in new}


def _of_scikit_learn(cls):
    return cls.__module__.startswith("sklearn.") and issubclass(cls, BaseEstimator)


def _by_skops(estimator, where):
    """Let skops write an estimator of scikit-learn that has more than arrays and numbers."""
    try:
        import skops.io
    except ImportError:
        raise _cannot(estimator, where, "Of scikit-learn's estimators, linear ones can be saved, "
                      "others if skops is installed (pip install skops).") from None
    content = skops.io.dumps(estimator)
    if unknown := skops.io.get_untrusted_types(data=content):
        raise _cannot(estimator, where, f"skops does not trust its {', '.join(unknown)}.")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _cannot(value, where, why):
    return TypeError(f"{where} cannot be saved: {_shortened(repr(value))}. {why}")


def _shortened(text, length=80):
    return text if len(text) <= length else f"{text[:length]}..."


# ---------------------------------------------------------------- the model card

def read_card(path):
    """Return the model card in a file: what it is, what it was fitted on, with which versions.

    No estimator is made of the file.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is no file of :func:`save`, or a damaged one.
    """
    with _naming(path):
        return _opened(path)[0]["card"]


def _card(estimator, notes, trusted):
    lines = [repr(estimator) if isinstance(estimator, BaseEstimator) else
             f"{estimator.estimator!r} as a teacher", ""]
    if n := _n_samples(estimator):
        reader = getattr(estimator, "reader_", None)
        kind, shape = ("table", (getattr(estimator, "n_features_in_", "?"),)) if reader is None \
            else (reader.kind, reader.shape)
        lines.append(f"Fitted on {n} samples, each {_article(kind)} of shape {shape}.")
    if (classes := getattr(estimator, "classes_", None)) is not None:
        names = ", ".join(map(str, classes[:20].tolist())) + ", ..." * (len(classes) > 20)
        lines.append(f"{len(classes)} classes: {names}.")
    if hasattr(estimator, "net_"):
        n = sum(parameter.numel() for parameter in estimator.net_.module_.parameters())
        lines.append(f"{n:,} parameters.")
        if estimator.net_.history:
            last = estimator.net_.history[-1]
            losses = [f"{name} {value:.4g}" for name, value in last.items()
                      if name.startswith(("train_", "valid_")) and type(value) is float]
            lines.append(f"Last epoch ({last['epoch']}): {', '.join(losses)}.")
    if trusted:
        lines.append(f"Needs the user's own {', '.join(trusted)}.")
    lines.append(f"Written with Python {platform.python_version()}, "
                 + ", ".join(f"{name} {number}" for name, number in _versions().items()) + ".")
    if notes:
        lines += ["", notes]
    return _printable("\n".join(lines))


def _printable(text):
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def _article(noun):
    return f"an {noun}" if noun == "image" else f"a {noun}"


def _n_samples(estimator):
    """Samples of the last epoch, those set aside included; or those of the feature bank."""
    if hasattr(estimator, "net_") and estimator.net_.history:
        return sum(batch.get(name, 0) for batch in estimator.net_.history[-1]["batches"]
                   for name in ("train_batch_size", "valid_batch_size"))
    return len(getattr(estimator, "feature_bank_", ()))


# ---------------------------------------------------------------- loading

def load(path, *, trusted=None, device=None):
    """Read an estimator that :func:`save` wrote.

    Nothing in the file is executed, whatever is in it: there is no pickle, and classes are taken
    from a list of this library's, torch's, timm's and scikit-learn's.

    Parameters
    ----------
    path : str or os.PathLike
    trusted : dict of str to class or function, optional
        Those of yours that the estimator needs, by name, such as ``{"MyNet": MyNet}``. Their code
        runs when the estimator is used, on attributes that come from the file.
    device : str or torch.device, optional
        In place of the estimator's own ``device``, where it is not here.

    Returns
    -------
    estimator
        Fitted. It predicts as the saved one did, bit for bit, on the same kind of machine.

    Raises
    ------
    ValueError
        If it is no file of :func:`save`, one of a newer format, or one that is cut off, changed,
        or names a class that is neither listed nor trusted.
    OSError
        If the file cannot be read.

    Warns
    -----
    UserWarning
        If the file was written with other versions of the libraries.

    See Also
    --------
    save : The way there, with an example.

    Notes
    -----
    The checksum finds accidents. Whoever changes a file on purpose can renew it; what protects
    you from them is that the file can do no more than set attributes of listed classes. Its
    predictions are as good as its source.

    An embedder is kept by its parameters: when it is used, it reads the weights that these name.
    """
    trusted = dict(trusted or {})
    for name, value in trusted.items():
        if not callable(value):
            raise TypeError(f"trusted[{name!r}]={value!r} must be a class or a function.")
    if device is not None:
        resolve_device(device)
    with _naming(path):
        metadata, tensors = _opened(path)
        estimator = _Reader(tensors, trusted, device).read()
        other = _other_versions(metadata["versions"])
    if other:
        warnings.warn(f"{path} was written with {', '.join(other)}. Check its predictions.",
                      stacklevel=2)
    return estimator


@contextlib.contextmanager
def _naming(path):
    """Let every failure be one that names the file."""
    try:
        yield
    except OSError:
        raise
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:
        raise ValueError(f"{path}: what it holds is no estimator as save writes it "
                         f"({type(error).__name__}: {_shortened(str(error), 200)}).") from error


def _opened(path):
    """Return the metadata and the tensors of a file that is whole."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise _Refused("it is no regular file.")
    content = path.read_bytes()
    metadata = _metadata(content)
    if metadata.keys() != {"format", "format_version", "versions", "sha256", "card"}:
        raise _Refused(f"its metadata are {', '.join(metadata)}, not those that save writes.")
    if any(text != _printable(text) for text in metadata.values()):
        raise _Refused("its metadata hold control characters.")
    return metadata, safetensors.torch.load(content)


def _metadata(content):
    """Check, before anything is made of a file, that it is one of ours, and whole."""
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        metadata = json.loads(content[8:end])["__metadata__"]
        foreign = end > len(content) or metadata["format"] != FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        foreign = True
    if foreign:
        what = "a pickle, which is never read here, or a zip archive such as torch.save's" \
            if content[:2] in (b"PK", *(bytes([0x80, p]) for p in range(2, 6))) else \
            "another format's, or cut off"
        raise _Refused(f"this is no file of cmkdlearn.io.save: it is {what}.")
    written = metadata["format_version"]
    if not re.fullmatch("[0-9]{1,6}", written) or int(written) > FORMAT_VERSION:
        raise _Refused(f"it is of format version {_shortened(written)!r}, and cmkdlearn "
                       f"{__version__} reads up to {FORMAT_VERSION}. Upgrade cmkdlearn.")
    unsigned = _signed(content, metadata["sha256"], UNSIGNED)
    if hashlib.sha256(unsigned).hexdigest() != metadata["sha256"]:
        raise _Refused("it is damaged, cut off or changed: its SHA-256 is not the one that it was "
                       "saved with.")
    return metadata


def _other_versions(written):
    """Return the libraries whose versions are not those of the file, patches apart."""
    written = json.loads(written)
    return [f"{name} {written[name]} (here {here})" for name, here in _versions().items()
            if written[name].split(".")[:2] != here.split(".")[:2]]


class _Saved(NamedTuple):
    """What is kept of a net."""

    module: nn.Module
    criterion: nn.Module
    history: History


class _Reader:
    """Turns rows of the table and tensors into objects."""

    def __init__(self, tensors, trusted, device):
        rest = json.loads(tensors.pop("estimator").numpy().tobytes())
        self.root, self.rows = rest["root"], rest["objects"]
        self.tensors, self.trusted, self.device = tensors, trusted, device
        self.made, self.with_net = {}, []

    def read(self):
        """Return the object that the others belong to."""
        root = self.get(self.root)
        if unused := [*self.tensors, *(range(len(self.rows)) - self.made.keys())]:
            raise _Refused(f"it holds {unused[0]!r}, to which nothing in it refers.")
        for estimator in self.with_net:
            module, criterion, history = vars(estimator).pop("net_")
            try:
                device = resolve_device(estimator.device)
            except ValueError as error:
                raise _Refused(f"{error}. Pass load(path, device=...).") from None
            estimator.net_ = make_net(estimator, module, criterion, device)
            estimator.net_.history = history
        return root

    def get(self, value):
        """Return what a value in JSON stands for."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        (place,) = value
        if type(place) is not int or not 0 <= place < len(self.rows):
            raise _Refused(f"it refers to a row {place!r}, which it does not have.")
        if place not in self.made:
            self.made[place] = UNFINISHED
            self.made[place] = self._make(place, self.rows[place])
        if self.made[place] is UNFINISHED:
            raise _Refused(f"row {place} is part of itself.")
        return self.made[place]

    def _all(self, items):
        return [self.get(item) for item in items]

    def _make(self, place, row):
        match row:
            case ["list", items]:
                self.made[place] = made = []  # first, since its items may refer to it
                made.extend(self._all(items))
                return made
            case ["dict" | "OrderedDict" | "Bunch" as kind, pairs]:
                self.made[place] = made = {"dict": dict, "OrderedDict": OrderedDict,
                                           "Bunch": Bunch}[kind]()
                made.update((self.get(key), self.get(item)) for key, item in pairs)
                return made
            case ["object", str(name), dict(state)]:
                return self._object(place, self._named(name), state)
            case ["tuple" | "set" | "frozenset" | "History" as kind, items]:
                return {"tuple": tuple, "set": set, "frozenset": frozenset,
                        "History": History}[kind](self._all(items))
            case ["namedtuple", str(name), items]:
                return tuple.__new__(self._named(name), self._all(items))
            case ["Tensor" | "Parameter" as kind, str(name), axes, bool(learns)]:
                tensor = self._tensor(name).permute(np.argsort(axes).tolist())
                return nn.Parameter(tensor, requires_grad=learns) if kind == "Parameter" \
                    else tensor.requires_grad_(learns)
            case ["ndarray", str(name), axes]:
                return self._tensor(name).numpy().transpose(np.argsort(axes).tolist())
            case ["objects", shape, items]:
                return _objects(shape, self._all(items))
            case ["words", str(name)]:
                return _words(self._tensor(name).numpy())
            case ["scalar", str(dtype), value] if np.dtype(dtype).kind in "biufU":
                return np.dtype(dtype).type(self.get(value))
            case ["float", "nan" | "inf" | "-inf" as text]:
                return float(text)
            case ["slice", [start, stop, step]]:
                return slice(*self._all((start, stop, step)))
            case ["path", str(path)]:
                return Path(path)
            case ["dtype", str(name)] if isinstance(vars(torch).get(name), torch.dtype):
                return vars(torch)[name]
            case ["device", str(name)]:
                return torch.device(name)
            case ["RandomState" | "Generator" as kind, state]:
                return _random(kind, self.get(state))
            case ["WordNetNouns"]:
                return WordNetNouns()
            case ["name", str(name)]:
                return FUNCTIONS.get(name) or self._named(name)
            case ["enum", str(name), value] if issubclass(self._named(name), enum.Enum):
                return self._named(name)(self.get(value))
            case ["net", module, criterion, history]:
                return _Saved(*self._all((module, criterion, history)))
            case ["skops", str(name)]:
                return _from_skops(self._tensor(name).numpy().tobytes())
        raise _Refused(f"row {place} is nothing that save writes.")

    def _tensor(self, name):
        # a copy lies where tensors usually lie: alignment, too, can change a product's last bit
        return self.tensors.pop(name).clone()

    def _named(self, name):
        if name.startswith(TRUSTED):
            name = name.removeprefix(TRUSTED)
            if name not in self.trusted and name.isidentifier():
                raise _Refused(f"it needs {name}, which is not of a library that files may name, "
                               "but the code of whoever saved it. If you have that code and trust "
                               f'it, pass load(path, trusted={{"{name}": {name}}}).')
            return self.trusted[name]
        if (found := _listed(name)) is None:
            raise _Refused(f"it names {_shortened(name)!r}, which is no class that a file may "
                           "name. Nothing was loaded.")
        return found

    def _object(self, place, cls, state):
        if not (issubclass(cls, (BaseEstimator, nn.Module)) or cls in INSTANCES
                or cls in self.trusted.values()):
            raise _Refused(f"it has an instance of {_full_name(cls)}, which save does not write.")
        for name in state:
            if hasattr(inspect.getattr_static(cls, name, None), "__get__"):
                raise _Refused(f"it gives {_full_name(cls)} a {name} of its own, which is a method "
                               "of its class.")
        self.made[place] = made = object.__new__(cls)  # no constructor runs
        state = {name: self.get(item) for name, item in state.items()}
        if issubclass(cls, BaseEstimator):
            if "memory" in state:
                state["memory"] = None
            if "device" in state and self.device is not None:
                state["device"] = self.device
        if isinstance(made, nn.Module):
            nn.Module.__init__(made)
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            vars(made).update(state)
        if "net_" in state:
            if not (isinstance(made, TorchEstimator) and isinstance(state["net_"], _Saved)):
                raise _Refused("it has a net where there is none.")
            self.with_net.append(made)
        return made


UNFINISHED = object()


def _objects(shape, items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)


def _words(codes):
    """Return an array of strings, whose characters are along the last axis."""
    if codes.dtype != np.int32 or codes.min(initial=0) < 0 or codes.max(initial=0) > sys.maxunicode:
        raise _Refused("it has strings of what are no characters.")
    return codes.view(f"<U{codes.shape[-1]}")[..., 0]


def _random(kind, state):
    bits = GENERATORS[state["bit_generator"]]()
    if kind == "Generator":
        bits.state = state
        return np.random.Generator(bits)
    generator = np.random.RandomState(bits)
    generator.set_state(state)
    return generator


def _from_skops(content):
    try:
        import skops.io
    except ImportError:
        raise _Refused("it holds an estimator of scikit-learn that skops reads, which is not "
                       "installed (pip install skops).") from None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise _Refused("what skops is to read is compressed, and might be of any size.")
    estimator = skops.io.loads(content, trusted=[])
    if not _of_scikit_learn(type(estimator)):
        raise _Refused(f"skops read a {_full_name(type(estimator))} from it.")
    return estimator
