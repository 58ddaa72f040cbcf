"""What embedders share: input checks, batches, precision and the cache."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from cmkdlearn._progress import progress
from cmkdlearn._validation import check_number, check_option
from cmkdlearn.embedding._cache import EmbeddingCache, array_digest
from cmkdlearn.nn.data import resolve_device
from cmkdlearn.nn.inputs import INPUT_TYPES, as_images
from cmkdlearn.nn.lazy import LazyDataset, lazily

CHUNK, CHUNK_BYTES = 1024, 2**28  # images in memory at a time, and in an entry of the cache


class Embedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the embedders: images and texts as unit vectors of one space.

    A subclass says which network embeds, and what makes its embeddings the ones they are:

    - ``_network(device)`` returns a module with ``encode_image``, from images (b, 3, H, W) in
      [0, 1] on ``device`` to (b, d), and ``encode_text``, from a list of b texts to (b, d). It
      must not be kept on the instance: a module-level cache holds it, so that use leaves the
      embedder's pickle and hash as they were, and clones share one network.
    - ``_identity()`` returns a dict, fit for JSON, of all that the embeddings depend on: the
      model's parameters and the digests of its weights. It is part of every cache key.
    - ``_n_features_out`` is d.
    - ``_check_params()`` checks the subclass's own parameters, then calls this one.

    It stores ``input_type``, ``batch_size``, ``device``, ``memory`` and ``verbose``.
    """

    def fit(self, X, y=None):
        """Check the parameters and the images. Nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n, H, W), (n, H, W, C) or (n, C, H, W)
            Images, uint8 or floating-point in [0, 1].
        y : ignored

        Returns
        -------
        self : Embedder
        """
        self._check_params()
        self._images(X)
        return self

    def transform(self, X):
        """Embed images.

        Parameters
        ----------
        X : array-like of shape (n, H, W), (n, H, W, C) or (n, C, H, W), or Dataset
            Grey or RGB images, uint8 or floating-point in [0, 1]. Those of a memory-mapped array
            or a ``Dataset`` are read up to 1024 at a time.

        Returns
        -------
        V : ndarray of shape (n, d), float32
            One unit vector an image.

        Notes
        -----
        With ``memory`` the embeddings are kept up to 1024 at a time, so that work which was
        interrupted goes on where it stopped.
        """
        self._check_params()
        X, V = self._images(X), []
        chunks = _chunks(X)
        n_batches = [math.ceil((rows.stop - rows.start) / self.batch_size) for rows in chunks]
        with self._progress("images", sum(n_batches)) as bar:
            for i, rows in enumerate(chunks):
                images = np.asarray(X[rows])
                if isinstance(X, LazyDataset):
                    _check_range([images])
                V.append(self._embed_images(images, bar))
                bar.update(sum(n_batches[:i + 1]) - bar.n)  # what was kept takes no steps
        return np.concatenate(V)

    def _embed_images(self, images, bar):
        device = resolve_device(self.device)
        return self._embed(
            key=lambda: {"images": array_digest(images)}, n=len(images), bar=bar,
            encode=lambda network, start, stop: network.encode_image(
                _unit_rgb(_own_tensor(images[start:stop]), device)))

    def embed_batch(self, images):
        """Embed a batch of images that is a tensor, as a network is trained on.

        Nothing is looked up or kept in ``memory``: augmented images do not come again.

        Parameters
        ----------
        images : Tensor of shape (n, C, H, W), uint8 or floating-point in [0, 1]
            Grey or RGB, on any device.

        Returns
        -------
        V : Tensor of shape (n, d), float32
            One unit vector an image, on the embedder's device, without a gradient.

        Raises
        ------
        ValueError
            On another shape, or values outside of [0, 1].
        """
        self._check_params()
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"A batch of images has shape (n, 1, H, W) or (n, 3, H, W); this one "
                             f"has {tuple(images.shape)}.")
        if images.is_floating_point():
            _check_range([torch.stack(images.aminmax()).cpu()])
        device = resolve_device(self.device)
        network = self._network(device)
        with torch.no_grad(), torch.autocast(device.type, enabled=device.type == "cuda"):
            return torch.cat([F.normalize(network.encode_image(_unit_rgb(part, device)).float())
                              for part in images.split(self.batch_size)])

    def encode_text(self, texts):
        """Embed texts.

        Parameters
        ----------
        texts : list of str
            None of them empty.

        Returns
        -------
        N : ndarray of shape (len(texts), d), float32
            One unit vector a text, in the space of the images' embeddings.
        """
        self._check_params()
        texts = _check_texts(texts)
        # Texts of like length share a batch, which spends little on padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))

        def encode(network, start, stop):
            return network.encode_text([texts[i] for i in order[start:stop]])

        def restore(rows):
            embeddings = np.empty_like(rows)
            embeddings[order] = rows
            return embeddings

        with self._progress("texts", math.ceil(len(texts) / self.batch_size)) as bar:
            return self._embed(key=lambda: {"texts": texts}, n=len(texts), bar=bar, encode=encode,
                               restore=restore)

    def _embed(self, *, key, n, bar, encode, restore=lambda rows: rows):
        device = resolve_device(self.device)
        on_gpu = device.type == "cuda"

        def identified():
            return {"class": type(self).__name__, "half": on_gpu, **self._identity(), **key()}

        def compute():
            network = self._network(device)
            rows = []
            with torch.inference_mode(), torch.autocast(device.type, enabled=on_gpu):
                for i in range(0, n, self.batch_size):
                    stop = min(i + self.batch_size, n)
                    rows.append(F.normalize(encode(network, i, stop).float()))
                    bar.update()
            return restore(torch.cat(rows).cpu().numpy())

        return EmbeddingCache(self.memory)(identified, compute)

    def _progress(self, what, n_batches):
        return progress(f"{type(self).__name__}: {what}", n_batches, "batch", self.verbose)

    def _check_params(self):
        check_number("batch_size", self.batch_size, low=1, integer=True)
        if self.input_type is not None:
            check_option("input_type", self.input_type, INPUT_TYPES)
        if isinstance(self.verbose, str):
            check_option("verbose", self.verbose, ("auto",))
        EmbeddingCache(self.memory)

    def _images(self, X):
        """Return the images as (n, C, H, W), or what reads them when they are asked for."""
        lazy = lazily(X, self.input_type or "image", lambda first: (self._layout(first), 1), {})
        X = self._layout(X) if lazy is None else lazy
        if not isinstance(X, LazyDataset):  # that is checked as it comes
            _check_range(X[rows] for rows in _chunks(X))
        return X

    def _layout(self, X):
        X = as_images(X, self.input_type)
        if len(X) == 0:
            raise ValueError(f"X of shape {X.shape} holds no image; give at least one.")
        if X.shape[1] not in (1, 3):
            raise ValueError(f"Images must have 1 or 3 channels; X has {X.shape[1]} (as images "
                             f"{X.shape}). Drop an alpha channel, as in X[..., :3].")
        if X.dtype.kind != "f" and X.dtype != np.uint8:
            raise TypeError(f"Images must be uint8, or floating-point in [0, 1]; X has dtype "
                            f"{X.dtype}. Values from 0 to 255 become X.astype('uint8').")
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags


def _chunks(X):
    """Divide the images among entries of the cache; alike, wherever they come from."""
    size = CHUNK
    while size > 1 and size * math.prod(X.shape[1:]) * X.dtype.itemsize > CHUNK_BYTES:
        size //= 2
    return [slice(i, min(i + size, len(X))) for i in range(0, len(X), size)]


def _check_range(chunks):
    low, high = 0, 1
    for images in map(np.asarray, chunks):
        if images.dtype.kind == "f":
            low, high = min(low, images.min()), max(high, images.max())
    if low < 0 or high > 1:
        raise ValueError(f"Floating-point images must lie in [0, 1]; X reaches to "
                         f"{low if low < 0 else high:g}. Scale it, as in X / 255, or pass uint8; "
                         "standardisation is the embedder's own business.")


def _own_tensor(images):
    """Copy images into a tensor, uint8 or float32."""
    dtype = np.uint8 if images.dtype == np.uint8 else np.float32
    return torch.from_numpy(np.array(images, dtype=dtype, order="C"))


def _unit_rgb(batch, device):
    """Bring a batch to the device as RGB (b, 3, H, W), float32 in [0, 1]."""
    batch = batch.to(device, non_blocking=True)
    batch = batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
    return batch.expand(-1, 3, -1, -1)


def _check_texts(texts):
    if isinstance(texts, (str, bytes)) or not np.iterable(texts):
        raise TypeError(f"texts={texts!r} is a {type(texts).__name__}; it must be a list of "
                        "strings.")
    texts = list(texts)
    if not texts:
        raise ValueError("texts is empty; give at least one string.")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}]={text!r} is a {type(text).__name__}; it must be a string.")
        if not text.strip():
            raise ValueError(f"texts[{i}]={text!r} is empty; each text needs at least one word.")
    return texts
