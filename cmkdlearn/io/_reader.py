"""From a table of objects and tensors to an estimator, without trust in either."""

import inspect
import json
import math
import re
import sys
import warnings
from collections import OrderedDict

import numpy as np
import torch
from sklearn.base import BaseEstimator
from skorch.history import History
from torch import nn

from cmkdlearn._bridge.net import make_net
from cmkdlearn.base import TorchEstimator
from cmkdlearn.io import _registry as registry
from cmkdlearn.io._format import Refused, naming, other_versions, read, shortened
from cmkdlearn.io._trial import try_out
from cmkdlearn.io._writer import MOST_DEEP, TRUSTED
from cmkdlearn.nn.data import resolve_device
from cmkdlearn.selection._verdict import ADVICE, Verdict
from cmkdlearn.teachers import PretrainedTeacher
from cmkdlearn.text import WordNetNouns

TABLE_BYTES = 2**26
# Shared parts count as often as they are reached, so that parts of parts do not multiply.
UNFOLDED = 8  # parts a byte of the table
LARGEST = 2**128  # whole number in the table: of a random state
GENERATORS = {cls.__name__: cls for cls in (np.random.MT19937, np.random.PCG64,
                                            np.random.PCG64DXSM, np.random.Philox,
                                            np.random.SFC64)}
SCALAR = re.compile(r"[<>|=]?([biufU])\d{1,9}")


def load(path, *, trusted=None, device=None):
    """Read an estimator that :func:`save` wrote.

    Nothing in the file is executed or called, whatever is in it: there is no pickle, classes are
    taken from a list of this library's, torch's, timm's and scikit-learn's, and so are their
    attributes, each with the types and the range that it may have. What names a file, a command, a
    device or a callable is never taken from a file.

    Parameters
    ----------
    path : str or os.PathLike
    trusted : dict of str to class or function, optional
        Those of yours that the estimator needs, by name, such as ``{"MyNet": MyNet}``. Their code
        runs when the estimator is used, on attributes that come from the file.
    device : str or torch.device, optional
        In place of the estimator's own ``device``: "cpu" if it was that, else "auto".

    Returns
    -------
    estimator
        Fitted. It predicts as the saved one did, bit for bit, on the same kind of machine.

    Raises
    ------
    ValueError
        If it is no file of :func:`save`, one of another format version, or one that is cut off,
        changed, or names a class that is neither listed nor trusted; if an attribute is not
        listed, or of another type or range; or if the parts of a network do not go together.
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
    you from them is that the file can do no more than set listed attributes of listed classes. Its
    predictions are as good as its source.

    An embedder is kept by its parameters, its ``checkpoint`` apart: when it is used, it reads the
    published weights that these name.
    """
    trusted = dict(trusted or {})
    for name, value in trusted.items():
        if not callable(value):
            raise TypeError(f"trusted[{name!r}]={value!r} must be a class or a function.")
    if device is not None:
        resolve_device(device)
    with naming(path):
        metadata, tensors = read(path)
        estimator = Reader(tensors, trusted, device).read()
        if not registry.is_estimator(estimator) or inspect.isroutine(estimator) \
                or inspect.isclass(estimator):
            raise Refused("it holds no estimator.")
        other = other_versions(metadata["versions"])
    if other:
        warnings.warn(f"{path} was written with {', '.join(other)}. Check its predictions.",
                      stacklevel=2)
    return estimator


class Reader:
    """Turns rows of the table and tensors into objects, each row from those before it."""

    def __init__(self, tensors, trusted=None, device=None):
        table = tensors.pop("estimator").numpy().tobytes()
        if len(table) > TABLE_BYTES:
            raise Refused(f"its table has {len(table):,} bytes; the largest are {TABLE_BYTES:,}.")
        rest = json.loads(table)
        self.root, self.rows = rest["root"], rest["objects"]
        self.most = UNFOLDED * len(table)
        self.tensors, self.trusted, self.device = tensors, trusted or {}, device
        self.made, self.depths, self.sizes, self.used = [], [], [], set()
        self.depth = self.size = 0  # of the row that is being made
        self.with_net, self.with_module = [], []

    def read(self):
        """Return the object that the others belong to."""
        needed = self._needed()
        for place, row in enumerate(self.rows):
            self.depth, self.size = 0, 1
            self.made.append(self._make(row) if place in needed else None)
            if self.depth > MOST_DEEP:
                raise Refused(f"row {len(self.made) - 1} is {self.depth} rows deep; "
                              f"{MOST_DEEP} is the most.")
            if self.size > self.most:
                raise Refused(f"row {len(self.made) - 1} shares parts that share parts, "
                              f"{self.size:,} in all, which no estimator does.")
            self.depths.append(self.depth)
            self.sizes.append(self.size)
        root = self._get(self.root)
        for place in self.used - needed:  # only what is not taken refers to them
            for name in self.rows[place]:
                self.tensors.pop(name, None) if isinstance(name, str) else None
        if unused := [*self.tensors, *sorted({*range(len(self.rows))} - self.used)]:
            raise Refused(f"it holds {unused[0]!r}, to which nothing in it refers.")
        for estimator in self.with_net:
            self._give_net(estimator)
        for estimator in self.with_module:
            self._try_out(estimator, estimator.module_)
        return root

    def _needed(self):
        """Return the rows that are part of the root by what is taken of each."""
        needed, place = set(), self._place(self.root)
        if place is not None:
            needed.add(place)
        for place in range(len(self.rows) - 1, -1, -1):
            for value, taken in self._references(self.rows[place]):
                row = self._place(value)
                if taken and place in needed and row is not None:
                    needed.add(row)
        return needed

    def _references(self, row):
        """Yield what stands in a row for other rows, and whether it is taken."""
        match row:
            case ["list" | "tuple" | "History" | "set" | "frozenset" | "Verdict" | "slice",
                  list(items)]:
                yield from ((item, True) for item in items)
            case ["dict" | "OrderedDict", list(pairs)]:
                yield from ((item, True) for pair in pairs for item in pair)
            case ["object", str(name), dict(state)]:
                cls = registry.listed(name)
                yield from ((item, cls is None or registry.is_taken(cls, attribute, item))
                            for attribute, item in state.items())
            case ["objects" | "scalar", _, items]:
                yield from ((item, True) for item in (items if row[0] == "objects" else [items]))
            case ["net", *items]:
                yield from ((item, True) for item in items)
            case ["RandomState" | "Generator", state]:
                yield state, True

    def _place(self, value):
        """Return the number of the row that stands for a value, or None."""
        if value is None or type(value) in (bool, int, float, str):
            return None
        (place,) = value
        if type(place) is not int or not 0 <= place < len(self.rows):
            raise Refused(f"it refers to a row {place!r}, which it does not have.")
        self.used.add(place)
        return place

    def _get(self, value):
        """Return what a value in JSON stands for."""
        self.size += 1
        place = self._place(value)
        if place is None:
            return _plain(value)
        if place >= len(self.made):
            raise Refused(f"row {len(self.made)} refers to row {place}, which is not before it: "
                          "no row is part of itself.")
        self.depth = max(self.depth, self.depths[place] + 1)
        self.size += self.sizes[place]
        return self.made[place]

    def _all(self, items):
        if type(items) is not list:
            raise Refused(f"row {len(self.made)} is nothing that save writes.")
        return [self._get(item) for item in items]

    def _keys(self, items):
        keys = self._all(items)
        if not all(map(registry.is_key, keys)):
            raise Refused(f"row {len(self.made)} has keys that are no numbers, texts, or flat "
                          "tuples of these.")
        return keys

    def _make(self, row):
        match row:
            case ["list" | "tuple" | "History" as kind, items]:
                return {"list": list, "tuple": tuple, "History": History}[kind](self._all(items))
            case ["set" | "frozenset" as kind, items]:
                return {"set": set, "frozenset": frozenset}[kind](self._keys(items))
            case ["dict" | "OrderedDict" as kind, pairs]:
                keys, items = zip(*pairs, strict=True) if pairs else ((), ())
                pairs = zip(self._keys(list(keys)), self._all(list(items)), strict=True)
                return {"dict": dict, "OrderedDict": OrderedDict}[kind](pairs)
            case ["object", str(name), dict(state)]:
                return self._object(self._class(name), state)
            case ["Verdict", items]:
                return self._verdict(*self._all(items))
            case ["Tensor" | "Parameter" as kind, str(name), axes, bool(learns)]:
                tensor = self._tensor(name)
                tensor = tensor.permute(_order(axes, tensor.ndim))
                if learns and not tensor.is_floating_point():
                    raise Refused(f"the tensor {name!r} of {tensor.dtype} cannot learn.")
                return nn.Parameter(tensor, requires_grad=learns) if kind == "Parameter" \
                    else tensor.requires_grad_(learns)
            case ["ndarray", str(name), axes]:
                array = self._tensor(name).numpy()
                return array.transpose(_order(axes, array.ndim))
            case ["objects", shape, items]:
                return _objects(shape, self._keys(items))
            case ["words", str(name)]:
                return _words(self._tensor(name).numpy())
            case ["scalar", str(dtype), value]:
                return _scalar(dtype, self._get(value))
            case ["float", "nan" | "inf" | "-inf" as text]:
                return float(text)
            case ["slice", [_, _, _] as parts]:
                return slice(*self._keys(parts))
            case ["dtype", str(name)] if isinstance(vars(torch).get(name), torch.dtype):
                return vars(torch)[name]
            case ["RandomState" | "Generator" as kind, state]:
                return _random(kind, self._get(state))
            case ["WordNetNouns"]:
                return WordNetNouns()
            case ["name", str(name)]:
                return self._named(name)
            case ["enum", str(name), str(member)] if registry.is_layout(self._named(name)):
                return self._named(name).__members__[member]
            case ["net", module, criterion, history]:
                return self._saved(*self._all([module, criterion, history]))
        raise Refused(f"row {len(self.made)} is nothing that save writes.")

    def _tensor(self, name):
        # a copy lies where tensors usually lie: alignment, too, can change a product's last bit
        return self.tensors.pop(name).clone()

    def _named(self, name):
        if name.startswith(TRUSTED):
            name = name.removeprefix(TRUSTED)
            if name not in self.trusted and name.isidentifier():
                raise Refused(f"it needs {name}, which is not of a library that files may name, "
                              "but the code of whoever saved it. If you have that code and trust "
                              f'it, pass load(path, trusted={{"{name}": {name}}}).')
            return self.trusted[name]
        if (found := registry.listed(name)) is None:
            raise Refused(f"it names {shortened(name)!r}, which is no class that a file may "
                          "name. Nothing was loaded.")
        return found

    def _class(self, name):
        cls = self._named(name)
        if not inspect.isclass(cls) or not (registry.is_listed(cls)
                                            or cls in self.trusted.values()):
            raise Refused(f"it has an instance of {registry.full_name(cls)}, which save does not "
                          "write.")
        return cls

    def _object(self, cls, state):
        kept = {}
        for name, item in state.items():
            if registry.is_taken(cls, name, item):
                kept[name] = self._get(item)
        if missing := registry.missing(cls, kept):
            raise Refused(f"{registry.full_name(cls)} lacks its {missing}.")
        for name, item in kept.items():
            if why := registry.objection(cls, name, item, kept):
                raise Refused(f"it gives {registry.full_name(cls)} a {shortened(name)} of its own, "
                              f"which is {why}.")
        if issubclass(cls, nn.Module):
            return self._module(cls, kept)
        made = object.__new__(cls)  # no constructor runs
        if issubclass(cls, BaseEstimator):
            self._complete(cls, kept)
            if odd := registry.misfit(kept):
                raise Refused(f"{registry.full_name(cls)}.{odd} is of a shape or type that does "
                              "not go with the other attributes.")
        if "net_" in kept:
            if not issubclass(cls, TorchEstimator):
                raise Refused(f"{registry.full_name(cls)} has no net.")
            self.with_net.append(made)
        if "module_" in kept:
            if cls is not PretrainedTeacher:
                raise Refused(f"{registry.full_name(cls)} has no module_.")
            self.with_module.append(made)
        vars(made).update(kept)
        return made

    def _complete(self, cls, state):
        """Give an estimator what no file sets, and refuse one of which parameters are missing."""
        for name, parameter in inspect.signature(cls).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            if name == "device" and (self.device is not None or name not in state):
                state[name] = parameter.default if self.device is None else self.device
            elif name not in state:
                if registry.is_taken(cls, name, None) and registry.is_listed(cls):
                    raise Refused(f"{registry.full_name(cls)} lacks its {name}.")
                if parameter.default is not parameter.empty:
                    state[name] = parameter.default

    def _module(self, cls, state):
        parts = [*state["_parameters"], *state["_buffers"], *state["_modules"]]
        for name in parts:
            # as add_module does, but for what torch itself calls "weight.original"
            if not isinstance(name, str) or not name or "." in name \
                    or callable(inspect.getattr_static(cls, name, None)):
                raise Refused(f"{registry.full_name(cls)} has a part called "
                              f"{shortened(repr(name))}.")
        made = object.__new__(cls)
        nn.Module.__init__(made)
        vars(made).update(state)
        if issubclass(cls, nn.RNNBase):
            made._flat_weights = [getattr(made, name, None) for name in made._flat_weights_names]
            made._init_flat_weights()
        return made

    def _saved(self, module, criterion, history):
        if not (isinstance(module, nn.Module) and isinstance(criterion, nn.Module)
                and isinstance(history, History)):
            raise Refused("it has a net of other parts than a module, a criterion and a history.")
        return registry.Saved(module, criterion, history)

    def _verdict(self, answer, confidence):
        if answer not in ADVICE or not registry.real(0, 1)(confidence):
            raise Refused("it has a verdict that no selector gives.")
        return Verdict(answer, confidence)

    def _give_net(self, estimator):
        """Make a net around what was kept of one, with nothing else of the file in it."""
        saved = vars(estimator).pop("net_")
        try:
            device = resolve_device(estimator.device)
        except ValueError as error:
            raise Refused(f"{error}. Pass load(path, device=...).") from None
        self._try_out(estimator, saved.module)
        new = TorchEstimator(optimizer=estimator.optimizer)
        new.max_epochs_, new.batch_size_ = new._budget(1)  # a warm start has its own
        estimator.net_ = make_net(new, saved.module, saved.criterion, device)
        estimator.net_.method = estimator
        estimator.net_.history = saved.history

    def _try_out(self, estimator, module):
        if not any(type(part) in self.trusted.values() for part in module.modules()):
            try_out(estimator, module)


def _plain(value):
    """Return a number or a text of the table."""
    if type(value) is float and not math.isfinite(value) \
            or type(value) is int and abs(value) > LARGEST:
        raise Refused("it holds a number that is no number of an estimator.")
    return value


def _order(axes, ndim):
    """Return the order of axes in memory, the other way round."""
    if type(axes) is not list or any(type(axis) is not int for axis in axes) \
            or sorted(axes) != list(range(ndim)):
        raise Refused("it has a tensor whose axes are not all its own.")
    return np.argsort(axes).tolist()


def _objects(shape, items):
    if type(shape) is not list or any(type(n) is not int or n < 0 for n in shape) \
            or math.prod(shape) != len(items) or len(shape) > 32:
        raise Refused("it has an array of another shape than its items.")
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)


def _words(codes):
    """Return an array of strings, whose characters are along the last axis."""
    if codes.dtype != np.int32 or codes.ndim < 1 or codes.shape[-1] < 1 \
            or codes.min(initial=0) < 0 or codes.max(initial=0) > sys.maxunicode \
            or ((codes >= 0xd800) & (codes < 0xe000)).any():
        raise Refused("it has strings of what are no characters.")
    return codes.view(f"<U{codes.shape[-1]}")[..., 0]


def _scalar(dtype, value):
    """Return a number or a text of NumPy's, exactly as it stands in the table."""
    match = SCALAR.fullmatch(dtype)
    made = None
    if match and isinstance(value, str if match[1] == "U" else (bool, int, float)):
        made = np.str_(value) if match[1] == "U" else np.dtype(dtype).type(value)
    if made is None or type(made.item()) is not type(value) \
            or made.item() != value and value == value:
        raise Refused(f"it has a {shortened(dtype)} that is none.")
    return made


# ---------------------------------------------------------------- random states

def _array_of(n, dtype):
    return lambda value: isinstance(value, np.ndarray) and value.dtype == dtype \
        and value.shape == (n,)


WORD = registry.whole(0, 2**32 - 1)
PCG = {"state": {"state": registry.whole(0, 2**128 - 1), "inc": registry.whole(0, 2**128 - 1)},
       "has_uint32": registry.whole(0, 1), "uinteger": WORD}
RANDOM = {
    "MT19937": {"state": {"key": _array_of(624, np.uint32), "pos": registry.whole(0, 624)}},
    "PCG64": PCG, "PCG64DXSM": PCG,
    "Philox": {"state": {"counter": _array_of(4, np.uint64), "key": _array_of(2, np.uint64)},
               "buffer": _array_of(4, np.uint64), "buffer_pos": registry.whole(0, 4),
               "has_uint32": registry.whole(0, 1), "uinteger": WORD},
    "SFC64": {"state": {"state": _array_of(4, np.uint64)},
              "has_uint32": registry.whole(0, 1), "uinteger": WORD},
}


def _random(kind, state):
    """Make a generator of which the state is one that it can be in."""
    name = state["bit_generator"]
    expected = {"bit_generator": registry.one_of(*RANDOM), **RANDOM[name]}
    if kind == "RandomState":
        expected |= {"has_gauss": registry.whole(0, 1), "gauss": registry.real(-100, 100)}
    if not _is_state(state, expected):
        raise Refused(f"it has a state of {shortened(repr(name))} that this cannot be in.")
    bits = GENERATORS[name]()
    if kind == "Generator":
        bits.state = state
        return np.random.Generator(bits)
    generator = np.random.RandomState(bits)
    generator.set_state(state)
    return generator


def _is_state(state, expected):
    return isinstance(state, dict) and state.keys() == expected.keys() and all(
        _is_state(state[name], check) if isinstance(check, dict) else check(state[name])
        for name, check in expected.items())
