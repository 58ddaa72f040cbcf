"""A network that was trained elsewhere, in the role of a teacher."""

import copy
import os

import torch
from sklearn.utils.validation import check_consistent_length, check_is_fitted
from torch import nn

from cmkdlearn._bridge.inference import infer
from cmkdlearn._bridge.net import as_it_was
from cmkdlearn._bridge.reading import Reader
from cmkdlearn._hashing import content_hash
from cmkdlearn._validation import check_number, check_option
from cmkdlearn.nn.data import TensorData, move, resolve_device
from cmkdlearn.nn.modules import Classifier, LogitsOnly, linear_head, split_head
from cmkdlearn.nn.trained import (
    PROGRAMS,
    Exported,
    Logits,
    Onnx,
    Prepare,
    Script,
    Tapped,
    onnx_content,
    wrapped,
)
from cmkdlearn.teachers._given import GivenTeacher, check_logits, refuse_probabilities

OUTPUT = "module's output"
PROBED = 32  # samples, from which it is told whether a network goes with X and with its classes


class PretrainedTeacher(GivenTeacher):
    """A network that was trained elsewhere, and is asked as it is.

    It is never trained, and never changed: ``fit`` copies it, looks whether it goes with X and y,
    and keeps the features of the training samples.

    Parameters
    ----------
    module : torch.nn.Module, ScriptModule, ExportedProgram, str or os.PathLike
        The network: any module, such as one of timm or of Hugging Face; one of TorchScript; a
        program of ``torch.export``; or the path of an ONNX file, which ONNX Runtime runs on the
        CPU (the extra ``onnx``). It returns logits (n, n_classes), or something that
        has them as ``logits``, as Hugging Face's models do.
    classes : array-like of shape (n_classes,)
        The class of each of the network's outputs, in its order.
    modality : str or list, default=None
        What it reads, where ``X`` is a dict of modalities (or the columns of a table).
    input_type : {None, "table", "image", "sequence", "channels_first", "channels_last"}
        What ``X`` holds, where its shape and dtype leave it open
        (see :func:`cmkdlearn.nn.inputs.canonical`). The network is fed the canonical layout.
    feature_layer : str, default=None
        The layer whose output, (n, d), are the features, by its name in ``named_modules()``; of an
        ONNX file the output. None: what the last linear layer reads, if the logits are what that
        says. Modules only: in a program there are no layers to be found.
    preprocess : callable or torch.nn.Module, default=None
        Of a batch, a float32 tensor (n, ...) on the device of the network, to what the network is
        called with: a tensor, or a dict of several by the names of its arguments. Images that come
        as bytes are in [0, 1] by then. A function by a name, rather than a lambda, can be pickled.
    batch_size : int, default=128
        Samples that are asked about at a time; -1 takes all at once.
    device : str or torch.device, default="auto"
        Where the copy runs; "auto" takes the GPU where there is one. Programs of ``torch.export``
        stay where they were exported.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted, as everywhere in scikit-learn; the logits' columns follow.
    module_ : torch.nn.Module
        The copy, in evaluation mode, with what stands before it.
    head_ : torch.nn.Module
        From features to logits. Only where the features are what the last linear layer reads.
    feature_bank_ : ndarray of shape (n, d)
        The training samples' features, float32. Only where there are features.
    feature_bank_labels_ : ndarray of shape (n,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where ``X`` is a DataFrame with string column names.

    Raises
    ------
    ValueError
        By ``fit``, if the network cannot read X, if its outputs are not one for each of
        ``classes``, or probabilities, or if y holds a label that is none of ``classes``.

    See Also
    --------
    PrecomputedTeacher : For a network that is not at hand, but its logits are.
    UnimodalTeacher : To train a network.

    Notes
    -----
    Clones share the network, as they may: nothing changes it. ``memory=`` knows it by its weights
    and its code, an ONNX file by its content.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.students import MultiTeacherDistiller
    >>> from cmkdlearn.teachers import PretrainedTeacher
    >>> X, y = load_digits(return_X_y=True)
    >>> network = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(),
    ...                               torch.nn.Linear(32, 10))         # trained elsewhere
    >>> teacher = PretrainedTeacher(network, classes=range(10))
    >>> teacher.fit(X, y).encode(X).shape
    (1797, 32)
    >>> student = MultiTeacherDistiller([("network", teacher)], max_epochs=2, random_state=0)
    >>> student.fit(X, y).predict(X).shape
    (1797,)
    """

    module_: nn.Module

    def __init__(self, module, classes, *, modality=None, input_type=None, feature_layer=None,
                 preprocess=None, batch_size=128, device="auto"):
        self.module = module
        self.classes = classes
        self.modality = modality
        self.input_type = input_type
        self.feature_layer = feature_layer
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.device = device

    def fit(self, X, y):
        """Look whether the network goes with the data, and keep their features.

        Parameters
        ----------
        X : array-like, Dataset, or dict of these
            As for :class:`UnimodalTeacher`.
        y : array-like of shape (n,)
            Labels, all of them among ``classes``. None takes those of a ``Dataset`` of pairs.

        Returns
        -------
        self
        """
        with as_it_was(self):
            self._check_params()
            self._learn_classes()
            y = self._check_labels(X, y)
            self.reader_ = Reader(self.modality, self.input_type)
            data = self.reader_.read(X, owner=self, reset=True)
            check_consistent_length(data, y)
            self.module_ = self._build(data[:PROBED])
            for name in ("feature_bank_", "feature_bank_labels_"):
                self.__dict__.pop(name, None)  # another network may have had features
            if self._has_features:
                self.feature_bank_, self.feature_bank_labels_ = self._ask(data)[1], y
        return self

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")

    def _check_params(self):
        if not isinstance(self.module, (nn.Module, *PROGRAMS, str, os.PathLike)):
            raise TypeError(f"module={self.module!r} must be a network: a torch.nn.Module, a "
                            "module of TorchScript, a program of torch.export, or the path of an "
                            "ONNX file.")
        if not (self.preprocess is None or callable(self.preprocess)):
            raise TypeError(f"preprocess={self.preprocess!r} must be callable, from a batch to "
                            "what the network reads.")
        if self.batch_size != -1:
            check_number("batch_size", self.batch_size, low=1, integer=True)
        resolve_device(self.device)

    # ---------------------------------------------------------------- the network

    def _build(self, probe):
        """Return the network that is asked, once it was found to go with the data."""
        if isinstance(self.module, (str, os.PathLike)):
            network = Onnx(onnx_content(self.module), self.feature_layer,
                           Prepare(copy.deepcopy(self.preprocess)))
            return self._tried(network, probe)
        prepare = Prepare(copy.deepcopy(self.preprocess))
        if isinstance(self.module, PROGRAMS):
            if self.feature_layer is not None:
                raise ValueError(f"feature_layer={self.feature_layer!r}: in a "
                                 f"{type(self.module).__name__} there are no layers to be found. "
                                 "Pass the torch.nn.Module that it was made of, or "
                                 "feature_layer=None.")
            program = copy.deepcopy(wrapped(self.module)).eval()
            return self._tried(LogitsOnly(Logits(program), prepare), probe)
        network = Logits(copy.deepcopy(self.module)).eval()
        if self.feature_layer is not None:
            layers = dict(network.network.named_modules())
            check_option("feature_layer", self.feature_layer, filter(None, layers))
            return self._tried(Tapped(network, layers[self.feature_layer], prepare), probe)
        whole = self._tried(LogitsOnly(network, prepare), probe)
        probe = move({"X": probe}, self._device(whole)).X
        return split_head(network, probe, len(self.classes_), prepare).eval()

    def _tried(self, network, probe):
        """Return a network, if what it says of some samples can be logits of the classes."""
        device = self._device(network)
        network = network.eval().requires_grad_(False).to(device)
        try:
            with torch.inference_mode():
                logits, features, *_ = network(move({"X": probe}, device).X)
        except Exception as error:  # each network fails in its own way
            any_number = "" if isinstance(self.module, nn.Module) else \
                " It must have been exported for any number of samples."
            raise ValueError(f"module cannot read a batch of X, of shape {tuple(probe.shape)}"
                             f"{'' if self.preprocess is None else ', after preprocess'}."
                             f"{any_number} {type(error).__name__}: {error}") from error
        n, k = len(probe), len(self.classes_)
        if _shape(logits) != (n, k):
            raise ValueError(f"module returned {_shape(logits)} for {n} samples, and there "
                             f"are {k} classes: it must return logits, ({n}, {k}), one for each of "
                             "classes and in their order.")
        refuse_probabilities(check_logits(logits.cpu().float().numpy(), OUTPUT, k), OUTPUT)
        if self.feature_layer is not None and getattr(features, "ndim", 0) != 2:
            raise ValueError(f"feature_layer={self.feature_layer!r} returned {_shape(features)}; "
                             "features must be (n, d). Name a layer behind the pooling.")
        return network

    def _device(self, network):
        """Return where a network is to run."""
        fixed = next((part.device for part in network.modules()
                      if isinstance(part, (Exported, Onnx))), None)
        device = resolve_device(self.device if fixed is None or self.device != "auto" else fixed)
        if fixed is not None and device != fixed:
            raise ValueError(f"device={self.device!r}: this module runs on {str(fixed)!r} and "
                             'cannot be moved; use device="auto".')
        return device

    def _ask(self, data):
        """Return the logits, in the network's order, and the features of samples, as arrays."""
        device = self._device(self.module_)
        network = self.module_.to(device)  # from where it was before set_params or a pickle
        logits, features, _ = infer(lambda batch: self._output(network, batch), TensorData(X=data),
                                    device=device, batch_size=self.batch_size)
        return (check_logits(logits.float().numpy(), OUTPUT, len(self.classes_)),
                None if features is None else features.float().numpy())

    def _output(self, module, batch):
        """Call the network on a batch."""
        return module(batch.X)

    @property
    def _has_features(self):
        return isinstance(self.module_, (Classifier, Tapped)) \
            or isinstance(self.module_, Onnx) and len(self.module_.wanted) == 2

    # ---------------------------------------------------------------- a teacher

    def _given(self, X):
        return self._ask(self.reader_.read(X, owner=self))[0]

    def encode(self, X):
        """Return the features, (n, d) float32.

        Raises
        ------
        ValueError
            If the network has none that can be told.
        """
        check_is_fitted(self)
        if not self._has_features:
            raise ValueError("module does not end in a linear layer that can be told from the "
                             "rest, so its features cannot be either. Name the layer that gives "
                             "them, as feature_layer=.")
        return self._ask(self.reader_.read(X, owner=self))[1]

    @property
    def head_(self):
        """Torch module from features to logits."""
        check_is_fitted(self)
        if not isinstance(self.module_, Classifier):
            raise AttributeError("module has no linear layer that makes logits of its features.")
        head = self.module_.head
        bias = 0 if head.bias is None else head.bias[self._columns]
        return linear_head(head.weight[self._columns], bias)

    # ---------------------------------------------------------------- pickling

    def __getstate__(self):
        state = {**super().__getstate__()}
        if isinstance(self.module, PROGRAMS):
            state["module"] = wrapped(self.module)
        elif isinstance(self.module, (str, os.PathLike)) and os.path.isfile(self.module):
            state["_content"] = content_hash(onnx_content(self.module))  # what memory= knows it by
        if "module_" in state:
            state["module_"] = _on_cpu(self.module_)
        return state

    def __setstate__(self, state):
        super().__setstate__({name: value for name, value in state.items() if name != "_content"})
        if isinstance(self.module, (Script, Exported)):
            self.module = self.module.program

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _on_cpu(network):
    """Return a network, or a copy of one that is on another device, on the CPU."""
    there = all(part.device.type == "cpu" for part in (*network.parameters(), *network.buffers()))
    return network if there else copy.deepcopy(network).cpu()


def _shape(output):
    return tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
