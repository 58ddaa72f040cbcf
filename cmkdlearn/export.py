"""Trained networks for use without this library, and without Python."""

import copy
import json
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.base import is_regressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from cmkdlearn._files import whole_file
from cmkdlearn._validation import missing_package
from cmkdlearn.base import reads_one_tensor
from cmkdlearn.nn.data import as_tensor
from cmkdlearn.nn.inputs import canonical
from cmkdlearn.nn.modules import Classifier
from cmkdlearn.nn.samples import select_modality

__all__ = ["export_student", "quantize_student"]

TOLERANCE = 1e-5


def export_student(estimator, path, X):
    """Write a student's network as a program of ``torch.export`` or of ONNX.

    The program takes samples as ``predict`` does, any number of them, in the layout of ``X``, as
    bytes or in single precision; what the estimator does to them first is part of it. It returns
    the probabilities of the classes, or a regressor's prediction. It is read back and checked
    before it gets its name.

    Parameters
    ----------
    estimator : fitted estimator
        A student, or a teacher, that reads one modality with a network.
    path : str or os.PathLike
        ``.pt2`` is torch's format, ``.onnx`` needs the extra ``onnx``.
    X : array-like, or dict of array-like
        A few samples, two at least, as they will come: the program is traced with them, and checked
        on them.

    Returns
    -------
    float
        The largest difference to ``predict_proba`` (a regressor's ``predict``, relative to its
        largest value if that is above 1) on ``X``.

    Raises
    ------
    TypeError
        If the estimator is no network of one modality.
    ValueError
        If its network cannot be traced, or if the program says something else: a difference above
        1e-5.
    ImportError
        If the packages for ONNX are missing.

    Notes
    -----
    The classes are in the file, as JSON: in ``classes.json`` of torch's format, under ``classes``
    in ONNX's metadata. The input is called ``X``.

    Examples
    --------
    >>> import json, os, tempfile
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.export import export_student
    >>> from cmkdlearn.students import MultiTeacherDistiller
    >>> X, y = load_digits(return_X_y=True)
    >>> student = MultiTeacherDistiller(max_epochs=2, random_state=0).fit(X, y)
    >>> path = os.path.join(tempfile.mkdtemp(), "student.pt2")
    >>> export_student(student, path, X[:10]) < 1e-5
    True
    >>> extra = {"classes.json": ""}
    >>> program = torch.export.load(path, extra_files=extra).module()
    >>> json.loads(extra["classes.json"])
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> program(torch.from_numpy(X[:3]).float()).shape
    torch.Size([3, 10])
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"path={str(path)!r} must end in .pt2 (torch.export) or .onnx.")
    if not reads_one_tensor(estimator):
        raise TypeError(f"{type(estimator).__name__} is no network that reads one modality; "
                        f"{_inside(estimator)}.")
    check_is_fitted(estimator)
    write, read = FORMATS[path.suffix]
    estimator = _on_the_cpu(estimator)
    expected = estimator.predict(X) if is_regressor(estimator) else estimator.predict_proba(X)
    if len(expected) < 2:
        raise ValueError(f"X holds {len(expected)} sample; to trace the program takes two at "
                         "least.")
    network, x = _Program(estimator, X), _samples(estimator, X)
    try:
        program = torch.export.export(network.eval(), (x,),
                                      dynamic_shapes=({0: torch.export.Dim("n")},))
    except Exception as error:  # each network fails in its own way
        raise ValueError(f"module={estimator.module!r} cannot be traced by torch.export: "
                         f"{error}") from error
    with whole_file(path) as draft:
        write(program, draft, json.dumps(getattr(estimator, "classes_", np.empty(0)).tolist()))
        run = read(draft)
        said = [run(x), np.concatenate([run(x[:1]), run(x[1:])])]  # of any number of samples
        largest = max(1.0, np.abs(expected).max())
        difference = max(float(np.abs(part - expected).max()) for part in said) / largest
        if not difference <= TOLERANCE:
            raise ValueError(f"The program's output differs from the estimator's by "
                             f"{difference:.2g}, more than {TOLERANCE:g}; it was not kept.")
    return difference


def quantize_student(estimator, path, X, y):
    """Write a student's network with weights of eight bits, as ONNX, and say what that costs.

    The weights of linear and convolutional layers become bytes, their inputs while they run, by
    the range that each batch has (dynamic quantisation of ONNX Runtime). A file is about a quarter
    as large. Whether it is faster too depends on the processor: measure it.

    Parameters
    ----------
    estimator : fitted estimator
        As for :func:`export_student`.
    path : str or os.PathLike
        To end in ``.onnx``; needs the extra ``onnx``.
    X : array-like, or dict of array-like
        Samples that the estimator was not fitted on.
    y : array-like of shape (n,) or (n, n_targets)
        Their labels or targets.

    Returns
    -------
    Bunch
        score, score_float : float
            Accuracy (a regressor's R²) on ``X``, with eight bits and as it was.
        difference : float
            The largest difference between the two programs' outputs.
        n_bytes, n_bytes_float : int
            Sizes of the files.

    Raises
    ------
    ValueError, TypeError, ImportError
        As :func:`export_student`.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.export import quantize_student
    >>> from cmkdlearn.students import MultiTeacherDistiller
    >>> X, y = load_digits(return_X_y=True)
    >>> student = MultiTeacherDistiller(max_epochs=2, random_state=0).fit(X[:900], y[:900])
    >>> path = os.path.join(tempfile.mkdtemp(), "student.onnx")
    >>> cost = quantize_student(student, path, X[900:], y[900:])
    >>> bool(abs(cost.score - cost.score_float) < 0.02), cost.n_bytes < cost.n_bytes_float / 2.5
    (True, True)
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"path={str(path)!r} must end in .onnx: it is ONNX Runtime that computes "
                         "with eight bits.")
    with tempfile.TemporaryDirectory() as folder, whole_file(path) as draft:
        whole = Path(folder, "whole.onnx")
        export_student(estimator, whole, X)
        _write_bytes(whole, draft)
        said, said_whole = (_read_onnx(file)(_samples(estimator, X)) for file in (draft, whole))
        sizes = {"n_bytes": os.path.getsize(draft), "n_bytes_float": os.path.getsize(whole)}

    def score(output):
        if is_regressor(estimator):
            return float(r2_score(y, output))
        return float(accuracy_score(y, estimator.classes_[output.argmax(axis=1)]))

    return Bunch(score=score(said), score_float=score(said_whole),
                 difference=float(np.abs(said - said_whole).max()), **sizes)


def _on_the_cpu(estimator):
    """Return a fitted estimator whose network is on the CPU: a GPU's sums are shorter."""
    if estimator.net_.device.type == "cpu":
        return estimator
    moved, moved.net_ = copy.copy(estimator), copy.copy(estimator.net_)  # a net's copy is its own
    moved.net_.module_.cpu()
    moved.net_.device = torch.device("cpu")
    return moved


class _Program(nn.Module):
    """From samples as the user has them to what the estimator says of them."""

    def __init__(self, estimator, X):
        super().__init__()
        network = copy.deepcopy(estimator.net_.module_)
        if isinstance(network, Classifier):  # without what only training needs
            network = Classifier(network.encoder, network.head, network.preprocess)
        self.network = network
        self.shape = estimator.reader_.shape
        raw = _raw(estimator, X)
        probe = np.empty((2, *raw.shape[1:]), dtype=raw.dtype)
        self.channels_last = raw.ndim == 4 and estimator.reader_.kind == "image" \
            and canonical(probe, estimator.input_type)[0].strides != probe.strides
        self.regresses = is_regressor(estimator)
        if self.regresses:
            self.target_shape = estimator.target_shape_
            self.register_buffer("mean", torch.as_tensor(estimator.target_mean_))
            self.register_buffer("scale", torch.as_tensor(estimator.target_scale_))

    def forward(self, X):
        n = X.shape[0]  # len(X) would be a number in the program
        X = X.movedim(-1, 1) if self.channels_last else X.reshape(n, *self.shape)
        logits = self.network(X).logits
        if not self.regresses:
            return logits.softmax(dim=1)
        return logits.double().reshape(n, *self.target_shape) * self.scale + self.mean


def _inside(estimator):
    """Return what to export of what is no network itself."""
    if isinstance(estimator, Pipeline):
        return "export its last step, pipeline[-1], and give it pipeline[:-1].transform(X) for X"
    if hasattr(estimator, "best_estimator_"):
        return "export its best_estimator_"
    return "export a student, such as MultiTeacherDistiller"


def _raw(estimator, X):
    return np.asarray(select_modality(X, estimator.modality, fitting=False))


def _samples(estimator, X):
    """Return the samples in the user's layout, as bytes or in single precision."""
    dtype = estimator.reader_.read(X, owner=estimator).dtype
    raw = as_tensor(_raw(estimator, X)).to(dtype)
    return (raw.float() if raw.is_floating_point() else raw).clone(
        memory_format=torch.contiguous_format)  # a network may write to its input


# ---------------------------------------------------------------- formats

def _write_torch(program, path, classes):
    torch.export.save(program, path, extra_files={"classes.json": classes})


def _read_torch(path):
    program = torch.export.load(path).module()
    return lambda x: program(x).detach().numpy()


def _write_onnx(program, path, classes):
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_package("ONNX", "onnx", error) from error
    converted = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["X"])
    converted.model.metadata_props["classes"] = classes  # type: ignore[union-attr]
    converted.save(path)  # type: ignore[union-attr]


def _write_bytes(source, path):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    del model.graph.value_info[:]  # shapes that the converter's own optimisation left wrong
    _transpose_weights(model.graph)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # a hint, on the root logger, at preparing what is prepared
    try:
        quantize_dynamic(model, path, weight_type=QuantType.QUInt8)
    finally:
        logging.disable(disabled)
    if os.path.getsize(path) >= os.path.getsize(source):
        raise ValueError("ONNX Runtime found no weights of linear or convolutional layers that it "
                         "could make smaller; keep the file of export_student.")


def _transpose_weights(graph):
    """Transpose now what PyTorch 2.5's converter has transposed on the way: it is no weight yet."""
    from onnx import numpy_helper

    weights = {weight.name: weight for weight in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        if weight := weights.get(node.input[0]):
            axes = next((axes.ints for axes in node.attribute if axes.name == "perm"), None)
            turned = np.ascontiguousarray(numpy_helper.to_array(weight).transpose(axes))
            graph.initializer.append(numpy_helper.from_array(turned, node.output[0]))
            graph.node.remove(node)


def _read_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"X": x.numpy()})[0]


FORMATS = {".pt2": (_write_torch, _read_torch), ".onnx": (_write_onnx, _read_onnx)}
