"""Networks that come trained: what they are fed, what they say, and what they pickle to."""

import contextlib
import io
import warnings
import weakref
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from cmkdlearn._validation import missing_package
from cmkdlearn.losses import Output
from cmkdlearn.nn.modules import ToFloat

PROGRAMS = (torch.jit.ScriptModule, torch.export.ExportedProgram)
NUMPY_FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64,
                "tensor(float16)": np.float16}
# of ONNX files: outside of them, since a use must not change what a network pickles to
SESSIONS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Prepare(nn.Module):
    """Bytes become floating-point numbers in [0, 1]; then comes what the user's network needs."""

    def __init__(self, transform=None):
        super().__init__()
        self.to_float = ToFloat()
        self.transform = transform

    def forward(self, x):
        """Return what the network is called with: a tensor, or several by their names."""
        x = self.to_float(x)
        return x if self.transform is None else self.transform(x)


class Logits(nn.Module):
    """A network of any library, asked for logits."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        """Call it in its own precision, and return its logits."""
        dtype = next((p.dtype for p in self.network.parameters() if p.is_floating_point()),
                     torch.float32)

        def own(t):
            return t.to(dtype) if t.is_floating_point() else t

        output = self.network(**{name: own(part) for name, part in x.items()}) \
            if isinstance(x, Mapping) else self.network(own(x))
        if isinstance(output, Mapping):
            return output["logits"]
        return getattr(output, "logits", output)


class Tapped(nn.Module):
    """A network that is asked for logits, and overheard at a layer."""

    def __init__(self, network, layer, preprocess):
        super().__init__()
        self.preprocess = preprocess
        self.network = network
        self.place = list(network.modules()).index(layer)  # held twice, a layer is hard to keep

    def forward(self, x):
        """Return the :class:`~cmkdlearn.losses.Output` of a batch."""
        heard: list = []
        layer = list(self.network.modules())[self.place]
        hook = layer.register_forward_hook(lambda layer, args, output: heard.append(output))
        try:
            logits = self.network(self.preprocess(x))
        finally:
            hook.remove()
        return Output(logits, heard[-1] if heard else None)


class Script(nn.Module):
    """A TorchScript module, which pickles as the file that torch makes of it."""

    def __init__(self, program):
        super().__init__()
        self.program = program

    def forward(self, *args, **kwargs):
        """Run it."""
        return self.program(*args, **kwargs)

    def __reduce__(self):
        # of a copy: only copies of copies have the same bytes
        return _script, (_scripted(_script(_scripted(self.program)).program),)


class Exported(nn.Module):
    """A program of ``torch.export``, which pickles as the file that torch makes of it.

    It runs where it was exported.
    """

    def __init__(self, program):
        super().__init__()
        # no submodule: it cannot be told that it is not in training, and is not
        self.__dict__.update(program=program, call=program.module())

    @property
    def device(self):
        """Where it runs."""
        return next((part.device for part in self.program.state_dict.values()),
                    torch.device("cpu"))

    def forward(self, *args, **kwargs):
        """Run it."""
        return self.call(*args, **kwargs)

    def __reduce__(self):
        file = io.BytesIO()
        torch.export.save(self.program, file)
        return _exported, (file.getvalue(),)


class Onnx(nn.Module):
    """The network in an ONNX file, run by ONNX Runtime on the CPU.

    Parameters
    ----------
    content : bytes
        Of the file, weights included.
    feature_output : str or None
    preprocess : Module
    """

    device = torch.device("cpu")

    def __init__(self, content, feature_output, preprocess):
        super().__init__()
        self.preprocess = preprocess
        self.content = content
        outputs = [output.name for output in self.session.get_outputs()]
        if feature_output is not None and feature_output not in outputs:
            raise ValueError(f"feature_layer={feature_output!r} is no output of the ONNX file, "
                             f"which has {outputs}. Name one of these, or export the network with "
                             "its features as an output.")
        said = [name for name in outputs if name != feature_output]
        self.wanted = ["logits" if "logits" in said else said[0]]
        self.wanted += [] if feature_output is None else [feature_output]

    @property
    def session(self):
        """What runs it."""
        if self not in SESSIONS:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            SESSIONS[self] = onnxruntime.InferenceSession(
                self.content, options, providers=["CPUExecutionProvider"])
        return SESSIONS[self]

    def forward(self, x):
        """Return the :class:`~cmkdlearn.losses.Output` of a batch."""
        x, inputs = self.preprocess(x), self.session.get_inputs()
        x = x if isinstance(x, Mapping) else {inputs[0].name: x}
        floats = {put.name: NUMPY_FLOATS.get(put.type) for put in inputs}
        fed = {name: part.numpy().astype(floats.get(name) or np.float32, copy=False)
               if part.is_floating_point() else part.numpy() for name, part in x.items()}
        said = [torch.from_numpy(np.asarray(part))
                for part in self.session.run(self.wanted, fed)]
        return Output(said[0], said[1] if len(said) == 2 else None)


def wrapped(program):
    """Return a TorchScript module or an exported program as one that can be pickled."""
    return Script(program) if isinstance(program, torch.jit.ScriptModule) else Exported(program)


def onnx_content(path):
    """Return an ONNX file's content, with the weights that it keeps in files beside it."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise missing_package("ONNX", "onnx", error) from error
    try:
        return onnx.load(path).SerializeToString()
    except OSError:
        raise
    except Exception as error:  # parsing fails in its own ways
        raise ValueError(f"module={str(path)!r} is no ONNX file: {error}") from error


def _scripted(program):
    file = io.BytesIO()
    with _no_news_of_script():
        torch.jit.save(program, file)
    return file.getvalue()


def _script(content):
    with _no_news_of_script():
        return Script(torch.jit.load(io.BytesIO(content)))


@contextlib.contextmanager
def _no_news_of_script():
    """Leave it to the user's own calls to say that torch will not develop TorchScript further."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit", category=FutureWarning)
        warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
        yield


def _exported(content):
    return Exported(torch.export.load(io.BytesIO(content)))
