"""Algorithm 1 of Guo et al.: which nouns stand in for the class names."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from cmkdlearn._validation import check_number, check_option

IMAGES_PER_CLUSTER = 300
CLUSTERS_PER_CLASS = 3
MINI_BATCH_ABOVE = 10_000  # images
CHUNK_BYTES = 2**26


class WordNetRelaxer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Relaxed text for images, without a look at their labels.

    Algorithm 1 of [1]_: the images' embeddings are clustered into M centres m_k. Each candidate
    noun n_i goes to its most similar centre, arg max over k of S_ki = m_k · n_i, and in each
    cluster the nouns of highest softmax(S_ki) stay, the softmax running over the centres: how
    surely a noun belongs to this one. An image's relaxed text is the most similar noun of its own
    cluster, the one of the nearest centre; or, with a ``temperature``, a mean of all kept nouns.

    Parameters
    ----------
    nouns : sequence of str
        Candidates.
    noun_embeddings : array-like of shape (n_nouns, d)
        Their text embeddings in the space of the images, as
        :func:`~cmkdlearn.text.encode_prompts` returns them.
    n_clusters : int or "auto", default="auto"
        M. "auto" is one centre per 300 images as in TAC [2]_, and at least three a class; never
        more than there are distinct images.
    nouns_per_cluster : int, default=5
        How many nouns a cluster keeps at most; all of them where fewer went to it.
    n_classes : int, default=1
        For ``n_clusters="auto"``.
    temperature : float, default=None
        Above 0: an image v is given the mean of all kept nouns n*, weighed by
        softmax(v · n* / ``temperature``) and L2-normalised, as TAC [2]_ does it, and so does the
        code of [1]_, both at 0.005. None: one noun, of the image's own cluster.
    random_state : int, RandomState or None, default=None
        Of the clustering: K-means on normalised embeddings, with centres renormalised
        (mini-batches above 10,000 images).

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (M, d)
        L2-normalised, float32.
    noun_indices_ : ndarray of shape (n_kept,)
        The kept nouns' positions among the candidates, cluster by cluster, the surest first.
    nouns_ : list of str
        The kept nouns.
    noun_embeddings_ : ndarray of shape (n_kept, d)
        L2-normalised, float32.
    noun_clusters_ : ndarray of shape (n_kept,)
        The cluster of each, in ascending order. A cluster to which no noun went has none; its
        images go to the nearest centre that has.
    n_features_in_ : int
        d.

    References
    ----------
    .. [1] Guo et al. "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification".
    .. [2] Li et al. "Image Clustering with External Guidance", ICML 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.text import WordNetRelaxer
    >>> images = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> relaxer = WordNetRelaxer(["east", "north", "north-east"], [[1, 0], [0, 1], [0.6, 0.8]],
    ...                          n_clusters=2, nouns_per_cluster=1, random_state=0).fit(images)
    >>> [relaxer.nouns_[i] for i in relaxer.assign(images)]
    ['east', 'east', 'north', 'north']
    """

    def __init__(self, nouns, noun_embeddings, *, n_clusters="auto", nouns_per_cluster=5,
                 n_classes=1, temperature=None, random_state=None):
        self.nouns = nouns
        self.noun_embeddings = noun_embeddings
        self.n_clusters = n_clusters
        self.nouns_per_cluster = nouns_per_cluster
        self.n_classes = n_classes
        self.temperature = temperature
        self.random_state = random_state

    def fit(self, X, y=None):
        """Cluster the images and choose the nouns.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Image embeddings.
        y : None
            Ignored: no label is looked at.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are fewer candidates than ``nouns_per_cluster``, not one embedding a noun, an
            embedding that is not finite or is zero, nouns and images of different dimension, or
            more clusters asked for than there are distinct images.
        """
        check_number("nouns_per_cluster", self.nouns_per_cluster, low=1, integer=True)
        check_number("n_classes", self.n_classes, low=1, integer=True)
        if self.temperature is not None:
            check_number("temperature", self.temperature, low=0, open_low=True)
        if isinstance(self.n_clusters, str):
            check_option("n_clusters", self.n_clusters, ("auto",))
        else:
            check_number("n_clusters", self.n_clusters, low=1, integer=True)
        V = normalize(validate_data(self, X, dtype=np.float32))
        nouns, N = self._candidates(V.shape[1])
        centres = self._cluster(V)  # m_k, line 13
        cluster, certainty = _nearest_centre(N, centres)  # lines 14 and 15
        # cluster by cluster, the surest noun first; ties go to the earlier candidate
        order = np.lexsort((-certainty, cluster))
        rank = np.arange(len(N)) - np.searchsorted(cluster[order], cluster[order])
        kept = order[rank < self.nouns_per_cluster]  # lines 16 and 18
        self.cluster_centers_ = centres
        self.noun_indices_ = kept
        self.nouns_ = [nouns[i] for i in kept]
        self.noun_embeddings_ = N[kept]  # n*; of unit length already, line 19
        self.noun_clusters_ = cluster[kept]
        self._n_features_out = V.shape[1]
        return self

    def _candidates(self, n_features):
        nouns = list(self.nouns)
        N = check_array(self.noun_embeddings, dtype=np.float32, input_name="noun_embeddings")
        if len(N) != len(nouns):
            raise ValueError(f"nouns holds {len(nouns)} words and noun_embeddings {len(N)} rows; "
                             "give one row a word.")
        if N.shape[1] != n_features:
            raise ValueError(f"noun_embeddings have {N.shape[1]} dimensions and X has "
                             f"{n_features}; they must share one space.")
        if len(nouns) < self.nouns_per_cluster:
            raise ValueError(f"nouns holds {len(nouns)} candidates, fewer than nouns_per_cluster="
                             f"{self.nouns_per_cluster}; offer more nouns.")
        lost = np.flatnonzero(~N.any(axis=1))
        if len(lost):
            raise ValueError(f"The embedding of the noun {nouns[lost[0]]!r} is zero, which has no "
                             "direction; leave the noun out.")
        return nouns, normalize(N)  # lines 10 and 19

    def _cluster(self, V):
        n_distinct = len({v.tobytes() for v in V})  # np.unique would sort them
        if self.n_clusters == "auto":
            M = max(round(len(V) / IMAGES_PER_CLUSTER), CLUSTERS_PER_CLASS * self.n_classes)
            M = min(M, n_distinct)
        elif self.n_clusters <= n_distinct:
            M = self.n_clusters
        else:
            raise ValueError(f"n_clusters={self.n_clusters} is more than the {n_distinct} distinct "
                             "images.")
        from sklearn.cluster import KMeans, MiniBatchKMeans  # slow to import

        method = KMeans if len(V) <= MINI_BATCH_ABOVE else MiniBatchKMeans
        # KMeans sums over threads in the order in which they end, so that only one of them gives
        # the same bits each time.
        with threadpool_limits(1, user_api="openmp"):
            kmeans = method(M, n_init=1, random_state=self.random_state).fit(V)
        return normalize(kmeans.cluster_centers_)

    def assign(self, X):
        """Return which kept noun stands for each image, (n,) int.

        With a ``temperature``, the one of most weight.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Image embeddings.
        """
        check_is_fitted(self)
        V = self._read(X)
        if self.temperature is not None:
            return _nearest_centre(V, self.noun_embeddings_)[0]
        named = np.unique(self.noun_clusters_)
        cluster = named[_nearest_centre(V, self.cluster_centers_[named])[0]]
        rows = np.empty(len(V), dtype=np.int64)
        by_cluster = np.argsort(cluster, kind="stable")
        for images in np.split(by_cluster, np.flatnonzero(np.diff(cluster[by_cluster])) + 1):
            here = np.flatnonzero(self.noun_clusters_ == cluster[images[0]])
            rows[images] = here[(V[images] @ self.noun_embeddings_[here].T).argmax(axis=1)]
        return rows

    def transform(self, X):
        """Return each image's relaxed text embedding, (n, d) float32.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Image embeddings.
        """
        if self.temperature is None:
            rows = self.assign(X)  # first: it says so if this is not fitted
            return self.noun_embeddings_[rows]
        check_is_fitted(self)
        nouns = torch.from_numpy(self.noun_embeddings_)
        step = max(1, CHUNK_BYTES // (4 * len(nouns)))
        return np.concatenate([
            F.normalize(noun_weights(v, nouns, self.temperature) @ nouns).numpy()
            for v in torch.from_numpy(self._read(X)).split(step)])

    def _read(self, X):
        return normalize(validate_data(self, X, reset=False, dtype=np.float32))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def noun_weights(V, nouns, temperature):
    """Return what share each noun has in an image's text, (n, n_nouns): softmax(v · n* / T)."""
    return torch.softmax(V @ nouns.T / temperature, dim=1)


def _nearest_centre(vectors, centres):
    """Return each vector's most similar centre, arg max over k of S_ki, and softmax(S_ki) there.

    In chunks: for all of WordNet's nouns and a thousand centres S has half a gigabyte.
    """
    step = max(1, CHUNK_BYTES // (4 * len(centres)))
    nearest = np.empty(len(vectors), dtype=np.int64)
    certainty = np.empty(len(vectors))
    for i in range(0, len(vectors), step):
        S = vectors[i:i + step] @ centres.T  # line 14
        nearest[i:i + step] = S.argmax(axis=1)  # line 15
        S -= S.max(axis=1, keepdims=True)
        certainty[i:i + step] = 1 / np.exp(S, out=S).sum(axis=1, dtype=np.float64)  # line 16
    return nearest, certainty
