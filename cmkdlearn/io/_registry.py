"""What a file may hold: classes, and of each the attributes, with their types and ranges.

:func:`objection` is asked by both sides: by ``save``, so that what cannot be loaded is not written,
and by ``load``, of everything that it makes. A new attribute of an estimator takes a line in
``LEARNED``, a parameter that is more than numbers and texts one in ``PARAMETERS``.
"""

import enum
import inspect
import math
import re
import sys
from types import NoneType

import numpy as np
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
from skorch import NeuralNet
from skorch.history import History
from torch import nn

from cmkdlearn._bridge.net import Net
from cmkdlearn._bridge.reading import Reader
from cmkdlearn._protocol import ClassifierTeacher
from cmkdlearn.base import TorchEstimator
from cmkdlearn.losses import LOSSES, DistillationLoss
from cmkdlearn.nn.augment import SpecAugment, StrongAugmentation, WeakAugmentation
from cmkdlearn.nn.inputs import INPUT_TYPES, KINDS
from cmkdlearn.nn.modules import EmbeddingResNet
from cmkdlearn.selection import CRITERIA, Verdict
from cmkdlearn.students import MultiTeacherDistiller  # noqa: F401  with all that may be in a file
from cmkdlearn.teachers import PretrainedTeacher
from cmkdlearn.text import WordNetNouns

# ---------------------------------------------------------------- classes and functions

OF_SCIKIT_LEARN = {
    FrozenEstimator, FunctionTransformer, GaussianNB, LabelBinarizer, LinearDiscriminantAnalysis,
    LinearRegression, LinearSVC, LogisticRegression, MinMaxScaler, PCA, Pipeline, Ridge,
    RidgeClassifier, StandardScaler,
}
AUGMENTATIONS = (WeakAugmentation, StrongAugmentation, SpecAugment)
NETWORKS = ("cmkdlearn.losses.", "cmkdlearn.nn.", "cmkdlearn.students.", "cmkdlearn.teachers.",
            "torch.nn.modules.", "timm.layers.", "timm.models.")
FUNCTIONS = {"torch.nn.functional.gelu": F.gelu, "torch.nn.functional.relu": F.relu}
OPTIMISERS = {cls for cls in vars(torch.optim).values()
              if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer)}


def is_listed(cls):
    """Tell whether a file may hold an instance of a class."""
    if cls in OF_SCIKIT_LEARN or cls is ClassifierTeacher or cls in AUGMENTATIONS:
        return True
    if issubclass(cls, nn.Module):
        return cls.__module__.startswith(NETWORKS) \
            and not cls.__module__.startswith("timm.models._features")
    return cls.__module__.startswith("cmkdlearn.") and issubclass(cls, BaseEstimator) \
        and not issubclass(cls, NeuralNet)


def is_layout(cls):
    """Tell whether a class is timm's, of how the axes of a batch are laid out."""
    return full_name(cls) == "timm.layers.format.Format"


def full_name(thing):
    """Return the name by which a class or function is known."""
    return f"{thing.__module__}.{thing.__qualname__}"


def listed(name):
    """Return the class or function that a file may name so, or None."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name.startswith("timm."):
        import timm  # noqa: F401  which imports all of its layers and models
    module, _, attribute = name.rpartition(".")
    # in the module's dict, and nowhere else: a module may import what it is asked for
    found = vars(sys.modules[module]).get(attribute) if module in sys.modules else None
    if not inspect.isclass(found) or full_name(found) != name:
        return None
    return found if is_listed(found) or found in OPTIMISERS or is_layout(found) else None


# ---------------------------------------------------------------- kinds of values

LARGEST = 2**63


def is_flag(value):
    return isinstance(value, (bool, np.bool_))


def whole(low=-LARGEST, high=LARGEST):
    return lambda value: isinstance(value, (int, np.integer)) and not is_flag(value) \
        and low <= value <= high


def real(low=-math.inf, high=math.inf):
    return lambda value: isinstance(value, (int, float, np.integer, np.floating)) \
        and not is_flag(value) and low <= value <= high


def text(pattern):
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def one_of(*options):
    return lambda value: isinstance(value, (str, NoneType)) and value in options


def either(*checks):
    return lambda value: any(check(value) for check in checks)


def listing(check):
    return lambda value: isinstance(value, (list, tuple)) and all(map(check, value))


def mapping(check):
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def array(kinds, *ndims):
    return lambda value: isinstance(value, np.ndarray) and value.dtype.kind in kinds \
        and value.ndim in ndims


def instance(*classes):
    return lambda value: isinstance(value, classes)


def is_none(value):
    return value is None


def is_scalar(value):
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


def is_key(value):
    """Tell whether a value may be a key: hashing composed ones takes time without end."""
    return all(map(is_scalar, value)) if type(value) is tuple else is_scalar(value)


def is_data(value):
    """Tell whether a value is of numbers and texts only, which nobody calls or opens."""
    if isinstance(value, dict):
        return all(map(is_data, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_data, value))
    return is_scalar(value) or isinstance(value, (np.ndarray, range, slice, WordNetNouns))


def is_tensors(value):
    if isinstance(value, (list, tuple)):
        return all(map(is_tensors, value))
    return is_data(value) or isinstance(value, torch.Tensor)


def is_own(value):
    """Tell whether a value is the user's: a class, a function, or an object of such a class.

    ``load`` makes them only where the caller says so.
    """
    if inspect.isclass(value):
        return not is_listed(value) and value not in OPTIMISERS and not is_layout(value)
    if inspect.isfunction(value):
        return value not in FUNCTIONS.values()
    known = is_data(value) or isinstance(value, (Net, torch.Tensor, torch.dtype, enum.Enum, Saved,
                                                 np.random.RandomState, np.random.Generator))
    return not known and not is_listed(type(value))


class Saved:
    """What is kept of a net: its module, its criterion and its history."""

    def __init__(self, module, criterion, history):
        self.module, self.criterion, self.history = module, criterion, history


# ---------------------------------------------------------------- estimators

def is_estimator(value):
    return isinstance(value, (BaseEstimator, ClassifierTeacher)) or is_own(value)


def is_named_estimators(value):
    return listing(lambda pair: isinstance(pair, tuple) and len(pair) == 2
                   and isinstance(pair[0], str) and is_estimator(pair[1]))(value)


is_augmentation = either(one_of(None, "weak", "strong"), instance(*AUGMENTATIONS), is_own)
is_identifier = text("[A-Za-z0-9_]{0,64}")
is_seed = either(is_none, whole(0, 2**32 - 1),
                 instance(np.random.RandomState, np.random.Generator))

DEVICES = ("auto", "cpu")
# What each parameter may be, under whatever class; those that are not here are data.
PARAMETERS = {
    "max_epochs": either(one_of("auto"), whole(0)), "pretrain_epochs": whole(0),
    "batch_size": either(one_of("auto"), whole(-1)), "lr": real(0),
    "schedule": one_of(None, "cosine"), "warmup": real(0, 1),
    "early_stopping": is_flag, "warm_start": is_flag,
    "verbose": either(one_of("auto"), is_flag, whole()),
    "validation_fraction": real(0, 1), "n_iter_no_change": whole(1),
    "input_type": one_of(None, *INPUT_TYPES), "device": one_of(*DEVICES),
    "random_state": is_seed, "label_smoothing": real(0, 1), "sampler": one_of(None, "balanced"),
    "optimizer": lambda value: value in OPTIMISERS if inspect.isclass(value) else is_own(value),
    "module": either(text(r"[A-Za-z0-9_.]{1,128}"), instance(nn.Module), is_own,
                     lambda value: value is EmbeddingResNet),
    "preprocess": either(is_none, instance(nn.Module)),
    "augmentation": is_augmentation, "mixup": real(0), "teacher_view": one_of("clean", "same"),
    "loss": either(one_of(*LOSSES), instance(DistillationLoss)),
    "metric": either(is_identifier, is_own),
    "estimator": either(is_identifier, is_estimator),
    "teachers": is_named_estimators, "steps": is_named_estimators,
    "teacher": either(is_data, is_estimator), "expert": either(is_none, is_estimator),
    "network": either(is_none, is_estimator), "distiller": either(is_none, is_estimator),
    "selector": either(is_none, is_estimator), "embedder": either(is_none, is_estimator),
    "func": is_none, "inverse_func": is_none,  # of a FunctionTransformer
    # names of open_clip's, which no path has
    "model_name": text("[A-Za-z0-9_-]{1,128}"), "pretrained": text("[A-Za-z0-9_]{1,128}"),
}
# What an estimator may have learned.
LEARNED = {
    "net_": instance(Net, Saved), "module_": instance(nn.Module), "interrupted_": is_flag,
    "max_epochs_": whole(0), "batch_size_": whole(-1),
    "classes_": array("biufUO", 1), "n_features_in_": whole(0), "feature_names_in_": array("UO", 1),
    "feature_bank_": array("f", 2), "pretraining_history_": instance(History),
    "teachers_": listing(is_estimator), "experts_": listing(is_estimator),
    "teacher_": either(is_none, is_estimator), "distiller_": is_estimator,
    "relaxer_": is_estimator, "networks_": mapping(is_estimator),
    "selectors_": mapping(is_estimator), "worthwhile_": mapping(instance(Verdict)),
    "criterion_": one_of(*CRITERIA),
    **dict.fromkeys([
        "feature_bank_labels_", "teacher_logits_", "teacher_predictions_", "teacher_modality_",
        "groups_", "class_embeddings_", "nouns_", "noun_indices_", "noun_embeddings_",
        "noun_clusters_", "cluster_centers_", "mi_student_label_", "mi_teacher_student_",
        "mi_gap_", "mi_gap_interval_", "evidence_", "evidence_interval_", "ranking_",
        "best_teacher_", "std_", "filters_", "frequencies_"], is_data),
    "reader_": instance(Reader), "readers_": mapping(instance(Reader)),
    "_tables": mapping(instance(Reader)), "kind": one_of(*KINDS),
    "shape": listing(whole(1, 2**31)), "dtype": one_of("uint8", "float32", "float64"),
    "reach": listing(real()), "class_weight_": array("f", 1),
    "class_prior_": array("f", 1), "temperatures_": array("f", 1), "prior_weights_": array("f", 1),
    "_augmentation": is_augmentation, "_augments": is_flag,
    "_bases": mapping(is_estimator), "_bank": is_tensors, "_columns": is_tensors,
    "_bank_rng": instance(np.random.Generator), "target_shape_": listing(whole(1, 2**31)),
    **dict.fromkeys([
        "_expert_accuracy", "_shares", "target_mean_", "target_scale_", "_scale", "_epochs_before",
        "_pretrained", "_share_seed", "_seed", "_continuous", "_n_features_out"], is_data),
}
# What takes a path, a command, a device or a callable, or leads to one: no file sets it.
NOT_TAKEN = re.compile(
    "(accelerator|callbacks|compile|iterator_train|iterator_valid|torch_load_kwargs)(__.*)?"
    "|memory|checkpoint|module__.*(cache|cfg|checkpoint|config|dir|file|path|pretrained|url).*",
    re.DOTALL)
# which nobody expects in a file
OF_THE_MACHINE = {"memory", "checkpoint", "device", "_sklearn_version"}

# ---------------------------------------------------------------- networks

OWN = {"training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}
MACHINERY = {*vars(nn.Module()), *dir(nn.Module)} - OWN
# What only the building of a timm network needs, with addresses and classes in it.
OF_BUILDING = {"pretrained_cfg", "default_cfg", "pretrained_model_args", "_traits", "_model_args",
               "act_layer", "norm_layer", "stage_block_types"}
# Every text that steers a network of torch, timm or this library; and the names of its parts.
TEXTS = {"", *"""
    zeros reflect replicate circular constant same valid mean sum none tanh relu
    nearest nearest-exact linear bilinear bicubic trilinear area Upsample LSTM GRU RNN_TANH RNN_RELU
    avg avgmax catavgmax max map token fast align all cat classification conv cr ij index learned
    merge reset separate soft spatial SUM BASIC BOTTLENECK NCHW NHWC NCL NLC
    logits features feature_maps euclidean cosine""".split()}
OF_RNN = re.compile(r"(weight|bias)_(ih|hh|hr)_l\d{1,3}(_reverse)?")
MAPS = re.compile(r"[A-Za-z0-9_.]{0,128}")  # of feature_info: names of parts of parts


def is_parameters(value):
    return isinstance(value, dict) and all(
        isinstance(part, (nn.Parameter, NoneType)) for part in value.values())


def is_buffers(value):
    return isinstance(value, dict) and all(
        isinstance(part, (torch.Tensor, NoneType)) and not isinstance(part, nn.Parameter)
        for part in value.values())


def is_modules(value):
    return isinstance(value, dict) and all(
        isinstance(part, (nn.Module, NoneType)) for part in value.values())


OF_MODULE = {"training": is_flag, "_parameters": is_parameters, "_buffers": is_buffers,
             "_modules": is_modules,
             "_non_persistent_buffers_set": lambda value: isinstance(value, set)}


def is_setting(value, texts):
    """Tell whether a value may steer a network: numbers, tensors, known texts and functions."""
    if isinstance(value, dict):
        return all(is_setting(key, texts | TEXTS) or isinstance(key, str) for key in value) \
            and all(is_setting(item, texts) for item in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(is_setting(item, texts) for item in value)
    if isinstance(value, str):
        return value in TEXTS or value in texts or OF_RNN.fullmatch(value) is not None
    if isinstance(value, (int, np.integer)):
        return abs(int(value)) <= 2**31
    return is_scalar(value) or isinstance(value, (torch.Tensor, nn.Module, torch.dtype)) \
        or is_layout(type(value)) \
        or isinstance(value, np.ndarray) and value.dtype.kind in "biuf" \
        or any(value is function for function in FUNCTIONS.values())


def is_feature_info(value):
    return listing(mapping(either(is_flag, whole(), is_none, text(MAPS.pattern))))(value)


OF_TEACHER = {"estimator": is_estimator, "modality": is_data, "classes_": LEARNED["classes_"],
              "head_": instance(nn.Module), "_linear": is_flag, "_soft": is_flag}

# ---------------------------------------------------------------- the question

def is_taken(cls, name, value):
    """Tell whether a file sets this attribute so; if not, it is left out, and left alone."""
    if issubclass(cls, nn.Module):
        return name not in MACHINERY and name not in OF_BUILDING and not (
            issubclass(cls, nn.RNNBase) and name == "_flat_weights")  # which are parameters
    if not issubclass(cls, BaseEstimator):
        return True
    if name == "_sklearn_version":
        return False
    return value in DEVICES if name == "device" else not NOT_TAKEN.fullmatch(name)


def missing(cls, state):
    """Return an attribute without which an instance of a class is none; None if all are there."""
    necessary = OWN if issubclass(cls, nn.Module) else OF_TEACHER if cls is ClassifierTeacher \
        else getattr(cls, "__dataclass_fields__", ())
    return next((name for name in necessary if name not in state), None)


def objection(cls, name, value, state):
    """Return what speaks against an attribute; None if a file may set it.

    ``state`` is all that the instance is to have.
    """
    found = inspect.getattr_static(cls, name, None)
    if name.startswith("__") or not isinstance(found, (NoneType, bool, int, float, str, tuple)):
        return "a method of its class"
    if not is_listed(cls):
        return None  # the user's own
    check = _check_of(cls, name, state)
    if check is None:
        return "no attribute that a file may set"
    return None if check(value) else "of another type or range than it may have in a file"


def _check_of(cls, name, state):
    if issubclass(cls, nn.Module):
        if name in OF_MODULE:
            return OF_MODULE[name]
        if name == "feature_info":
            return is_feature_info
        children = state.get("_modules", ())
        return lambda value: is_setting(value, frozenset(children))
    if cls in AUGMENTATIONS:
        return either(is_none, real(0, 2**31)) if name in cls.__dataclass_fields__ else None
    if cls is ClassifierTeacher:
        return {**OF_TEACHER, "feature_bank_": LEARNED["feature_bank_"],
                "feature_bank_labels_": is_data}.get(name)
    if cls is PretrainedTeacher and name == "module":
        return instance(nn.Module)  # and no path
    if name in cls._get_param_names():
        return PARAMETERS.get(name, is_data)
    if issubclass(cls, TorchEstimator) and name.partition("__")[0] in ("optimizer", "module"):
        return is_option
    if cls in OF_SCIKIT_LEARN:
        if name == "_label_binarizer":
            return instance(LabelBinarizer)
        if name == "_sklearn_output_config":
            return mapping(one_of(None, "default", "pandas", "polars"))
        return is_data if name.endswith("_") or name in OF_SCIKIT_LEARNS_OWN else None
    return LEARNED.get(name)


OF_SCIKIT_LEARNS_OWN = {"_fit_svd_solver", "_intercept_", "_max_components", "_n_features_out"}


def is_option(value):
    """Tell whether a value may be an option of an optimiser or a network."""
    if isinstance(value, (list, tuple)):
        return all(map(is_option, value))
    return is_identifier(value) if isinstance(value, str) else is_scalar(value)


# ---------------------------------------------------------------- what goes together

# Lengths of the axes, by letters: one letter is one length in one object. c are the classes, d the
# features; k is c, or 1 of two classes.
SHAPES = {
    "coef_": ("kd", "d"), "intercept_": ("k", ""), "mean_": ("d",), "scale_": ("d",),
    "var_": ("d", "cd"), "theta_": ("cd",), "class_prior_": ("c",), "class_count_": ("c",),
    "min_": ("d",), "data_min_": ("d",), "data_max_": ("d",), "data_range_": ("d",),
    "class_weight_": ("c",), "means_": ("cd",), "priors_": ("c",), "xbar_": ("d",),
    "scalings_": ("dm",),
    "components_": ("nd",), "explained_variance_": ("n",),
    "cluster_centers_": ("Md",), "noun_clusters_": ("N",), "noun_embeddings_": ("Nd",),
    "noun_indices_": ("N",), "feature_bank_": ("bf",), "feature_bank_labels_": ("b",),
}


def misfit(state):
    """Return the attribute whose shape does not go with the others'; None if there is none."""
    lengths = {}
    if isinstance(state.get("n_features_in_"), int):
        lengths["d"] = state["n_features_in_"]
    if isinstance(state.get("classes_"), np.ndarray):
        lengths["c"] = len(state["classes_"])
    if "c" in lengths and "coef_" in state:
        lengths["k"] = lengths["c"] if lengths["c"] > 2 else 1
    for name, shapes in SHAPES.items():
        if name not in state or state[name] is None:
            continue
        kinds = "biufUO" if name.endswith("labels_") else "iuf"
        shape = np.shape(state[name])
        if not (isinstance(state[name], (np.ndarray, np.generic, int, float))
                and np.asarray(state[name]).dtype.kind in kinds) \
                or not any(_fits(shape, axes, lengths) for axes in shapes):
            return name
    if "noun_clusters_" in state and "cluster_centers_" in state:
        clusters = np.asarray(state["noun_clusters_"])
        if clusters.dtype.kind not in "iu" \
                or not np.isin(clusters, np.arange(len(state["cluster_centers_"]))).all():
            return "noun_clusters_"
    return None


def _fits(shape, axes, lengths):
    if len(shape) != len(axes) or any(lengths.get(axis, length) != length
                                      for axis, length in zip(axes, shape, strict=True)):
        return False
    lengths.update(zip(axes, shape, strict=True))
    return True
