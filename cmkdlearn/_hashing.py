"""Names for values by what they hold: networks by their weights, users' code by what it does."""

import functools
import inspect
import sysconfig
import types
import weakref

import torch
from joblib.hashing import Hasher, NumpyHasher
from skorch import NeuralNet
from skorch.callbacks import Callback

from cmkdlearn._version import __version__

INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib",
                                                        "platlib"))
FIRST_SEEN: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # plain values of classes
WRAPPERS = (staticmethod, classmethod, property, functools.cached_property,
            functools.partialmethod)
PLAIN = (bool, int, float, complex, str, bytes, tuple, type(None))


class _Hasher(NumpyHasher):
    """joblib's, which knows tensors by where they lie in memory and code by its name.

    Here a tensor is its values, a parameter also whether it learns and which others are the same
    one; a class or function that is not of an installed package is its code, with what that names;
    and a trained net is its network, whenever and however long it was trained.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._parameters, self._codes, self._alive = {}, {}, []

    def save(self, obj):
        if isinstance(obj, torch.Tensor):
            tied = self._parameters.setdefault(id(obj), len(self._parameters)) \
                if isinstance(obj, torch.nn.Parameter) else None
            plain = obj.detach().cpu().contiguous()
            obj = (str(obj.dtype), tuple(obj.shape), obj.requires_grad, tied,
                   plain.reshape(-1).view(torch.uint8).numpy())
        elif isinstance(obj, NeuralNet) and hasattr(obj, "module_"):
            obj = type(obj).__qualname__, obj.module_
        elif isinstance(obj, (types.FunctionType, type)) and _is_users(obj):
            obj = self._code(obj)
        super().save(obj)

    def _batch_setitems(self, items, *args):
        """Order items by their keys; joblib's compares values too, and hides what they raise."""
        in_order = sorted(items, key=lambda item: (type(item[0]).__name__, repr(item[0])))
        super(Hasher, self)._batch_setitems(iter(in_order), *args)

    def _code(self, named):
        """Return what a class or function of the user's consists of, each of them once."""
        if id(named) in self._codes:
            return "code", self._codes[id(named)]
        self._codes[id(named)] = len(self._codes)
        self._alive.append(named)  # an id is an object's own while it lives
        if isinstance(named, types.FunctionType):
            closure = [cell.cell_contents for cell in named.__closure__ or () if not _empty(cell)]
            return ("function", named.__qualname__, _instructions(named.__code__),
                    named.__defaults__, named.__kwdefaults__, closure,
                    _globals_of(named.__code__, named.__globals__))
        parts = {name: part for name, part in vars(named).items()
                 if name not in ("__dict__", "__weakref__", "__module__", "__doc__",
                                 "__firstlineno__", "__static_attributes__")}
        functions = {name: _runs(part) for name, part in parts.items()
                     if isinstance(part, (types.FunctionType, type, *WRAPPERS))}
        # as it was when first seen: what a class holds may be what it has noted down since; and
        # that of a callback is nothing else
        values = {} if issubclass(named, Callback) else FIRST_SEEN.setdefault(named, {
            name: part for name, part in parts.items() if isinstance(part, PLAIN)})
        return "class", named.__qualname__, named.__bases__, functions, values


def _is_users(named):
    """Tell whether code may change while versions of packages stay the same."""
    module = inspect.getmodule(named)
    if module is None or module.__name__.split(".")[0] in ("cmkdlearn", "builtins"):
        return module is None
    file = getattr(module, "__file__", None)
    return module.__name__ == "__main__" or file is not None and not file.startswith(INSTALLED)


def _runs(member):
    """Return what a member of a class runs: itself, or what it wraps."""
    if not isinstance(member, WRAPPERS):
        return member
    return [getattr(member, name, None)
            for name in ("__func__", "fget", "fset", "fdel", "func", "args", "keywords")]


def _instructions(code):
    consts = [_instructions(const) if isinstance(const, types.CodeType) else
              sorted(map(repr, const)) if isinstance(const, frozenset) else const
              for const in code.co_consts]
    return code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars


def _globals_of(code, known):
    """Return the user's functions and plain values that code, and code within it, may look up."""
    names = {*code.co_names}
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= _globals_of(const, known).keys()
    return {name: known[name] for name in sorted(names)
            if name in known and isinstance(known[name], (types.FunctionType, type, *PLAIN))}


def _empty(cell):
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def content_hash(value):
    """Return a hexadecimal digest; that of equal networks, or estimators of them, is equal.

    Another version of the library has another, so that it does not read what this one kept.
    """
    return _Hasher("md5").hash((__version__, value))


class ByContent:
    """An argument that ``joblib.Memory`` knows by its content."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return str, (content_hash(self.value),)
