"""Training that was killed, and goes on where it was."""

import hashlib
import io
import warnings
from pathlib import Path

import torch
from skorch.callbacks import Callback, EarlyStopping
from skorch.history import History

from cmkdlearn._files import whole_file
from cmkdlearn._hashing import content_hash
from cmkdlearn.nn.data import each
from cmkdlearn.nn.lazy import LazyDataset, LazyMap

DIGEST_BYTES = hashlib.sha256().digest_size
STOPPING = ("misses_", "dynamic_threshold_", "best_epoch_", "best_model_weights_")


class Checkpoint(Callback):
    """Keep the state of training after each epoch, begin with what is found, and clear up.

    Parameters
    ----------
    file : str or os.PathLike
        A SHA-256, of the file's name and of what follows it: tensors and plain values by
        ``torch.save``, read with ``weights_only=True``, so that nothing in it is executed.
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
            digest, content = _parts(self.file.read_bytes())
            if digest != _digest(self.file, content):
                raise ValueError("It is damaged, cut off, or another file's content.")
            state = torch.load(io.BytesIO(content), map_location=net.device, weights_only=True)
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
        buffer = io.BytesIO()
        try:
            torch.save(state, buffer)
            content = buffer.getbuffer()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.file) as draft, open(draft, "wb") as file:
                file.write(_digest(self.file, content))
                file.write(content)
        except OSError as error:
            warnings.warn(f"The checkpoint {str(self.file)!r} cannot be written, so this epoch is "
                          f"lost if training is killed. {error}", stacklevel=2)

    def on_train_end(self, net, **kwargs):
        """Remove the file of a training that is finished."""
        net.max_epochs = self._max_epochs
        if net.writes and not net._interrupted:
            self.file.unlink(missing_ok=True)


def key_of(method, data, data_val, seed):
    """Name a training by all that its result depends on.

    Those are the parameters with the code of the user's that they name, the seed that was drawn,
    the networks as they are when it begins, and the data: all rows of arrays and memory maps; of a
    ``Dataset`` its attributes and length, since what it gives may be drawn at random.
    """
    params = {name: value for name, value in method.get_params(deep=False).items()
              if name not in ("checkpoint", "verbose", "device", "memory")}
    samples = [{name: each(value, _known_by) for name, value in part.items()}
               for part in (data, data_val or {})]
    net = method.net_
    try:
        return content_hash([type(method), params, seed, samples,
                             dict(net.module_.state_dict(keep_vars=True)),
                             dict(net.criterion_.state_dict(keep_vars=True)),
                             net.optimizer_.state_dict() if net.history else None])
    except Exception as error:  # pickling fails in many ways
        raise ValueError(f"checkpoint={method.checkpoint!r} needs parameters that can be "
                         f"pickled, to know this training again. {error}") from error


def _known_by(values):
    if isinstance(values, LazyDataset):
        return type(values.source), len(values), vars(values.source), values.rows
    if isinstance(values, LazyMap):
        return [content_hash(part) for part in values.chunks()]
    return values


def _digest(file, content):
    # The name takes part, so that a checkpoint which was renamed is no other training's.
    hashed = hashlib.sha256(file.stem.encode())
    hashed.update(content)
    return hashed.digest()


def _parts(content):
    return content[:DIGEST_BYTES], content[DIGEST_BYTES:]


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
