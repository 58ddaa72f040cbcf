"""Training that was killed, and goes on where it was."""

import os
import warnings
from pathlib import Path

import torch
from skorch.callbacks import Callback, EarlyStopping
from skorch.history import History

from cmkdlearn._hashing import content_hash
from cmkdlearn.nn.data import TensorData

KEY_ROWS = 256  # by which a checkpoint knows the data
STOPPING = ("misses_", "dynamic_threshold_", "best_epoch_", "best_model_weights_")


class Checkpoint(Callback):
    """Keep the state of training after each epoch, begin with what is found, and clear up.

    Parameters
    ----------
    file : str or os.PathLike
        Tensors and plain values by ``torch.save``; read with ``weights_only=True``, so that
        nothing in it is executed.
    method : TorchEstimator
        Gives ``_training_state()`` and takes it back by ``_resume(state)``.

    Notes
    -----
    It stands behind all other callbacks, which have begun, or seen the epoch, when its turn comes.
    """

    def __init__(self, file, method):
        self.file = Path(file)
        self.method = method

    def on_train_begin(self, net, **kwargs):
        """Go on from the file, if there is one."""
        self._max_epochs = net.max_epochs
        if not self.file.exists():
            return
        try:
            state = torch.load(self.file, map_location=net.device, weights_only=True)
        except Exception as error:  # unpickling fails in many ways
            warnings.warn(f"The checkpoint {str(self.file)!r} cannot be read, so training begins "
                          f"anew. {error}", stacklevel=2)
            return
        net.module_.load_state_dict(state["module"])
        net.criterion_.load_state_dict(state["criterion"])
        net.optimizer_.load_state_dict(state["optimizer"])
        for name, callback in net.callbacks_:
            _give_back(callback, state["callbacks"].get(name, {}))
        self.method._resume(state["method"])
        torch.set_rng_state(state["random"].cpu())
        if state["random_of_device"] is not None:
            torch.cuda.set_rng_state(state["random_of_device"].cpu(), net.device)
        done = len(state["history"]) - len(net.history)
        net.history = History(state["history"])
        net.max_epochs -= done

    def on_epoch_end(self, net, **kwargs):
        """Write the file, whole or not at all."""
        if not net.writes:
            return
        on_gpu = torch.device(net.device).type == "cuda"
        state = {
            "module": net.module_.state_dict(), "criterion": net.criterion_.state_dict(),
            "optimizer": net.optimizer_.state_dict(), "history": net.history.to_list(),
            "callbacks": {name: _kept(callback) for name, callback in net.callbacks_},
            "method": self.method._training_state(), "random": torch.get_rng_state(),
            "random_of_device": torch.cuda.get_rng_state(net.device) if on_gpu else None,
        }
        draft = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, draft)
            os.replace(draft, self.file)
        except (OSError, RuntimeError) as error:  # torch's writer has errors of its own
            draft.unlink(missing_ok=True)
            warnings.warn(f"The checkpoint {str(self.file)!r} cannot be written, so this epoch is "
                          f"lost if training is killed. {error}", stacklevel=2)

    def on_train_end(self, net, **kwargs):
        """Remove the file of a training that is finished."""
        net.max_epochs = self._max_epochs
        if net.writes and not net._interrupted:
            self.file.unlink(missing_ok=True)


def key_of(method, data):
    """Name a training: by parameters, data (some of them), and weights if they are old."""
    params = {name: value for name, value in method.get_params(deep=False).items()
              if name not in ("checkpoint", "verbose", "device")}
    rows = torch.linspace(0, len(data["X"]) - 1, min(len(data["X"]), KEY_ROWS)).long()
    old = method.net_.module_.state_dict() if len(method.net_.history) else None
    try:
        return content_hash([type(method).__qualname__, params, len(data["X"]),
                             TensorData(**data)[rows], old])
    except Exception as error:  # pickling fails in many ways
        raise ValueError(f"checkpoint={method.checkpoint!r} needs parameters that can be "
                         f"pickled, to know this training again. {error}") from error


def _kept(callback):
    if hasattr(callback, "lr_scheduler_"):
        return {"scheduler": callback.lr_scheduler_.state_dict(), "batch_idx": callback.batch_idx_}
    if isinstance(callback, EarlyStopping):
        return {name: getattr(callback, name) for name in STOPPING if hasattr(callback, name)}
    return {}


def _give_back(callback, state):
    if "scheduler" in state:
        callback.lr_scheduler_.load_state_dict(state["scheduler"])
        callback.batch_idx_ = state["batch_idx"]
    else:
        vars(callback).update(state)
