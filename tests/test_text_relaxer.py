"""Algorithm 1, steps 2 and 3."""

import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmkdlearn.text import WordNetRelaxer, _relaxer


def words(m):
    return [f"noun {i}" for i in range(m)]


def problem(n=60, m=80, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)).astype(np.float32)


def relaxer(N, **params):
    return WordNetRelaxer(words(len(N)), N, **{"n_clusters": 7, "random_state": 0, **params})


def centred(relaxer, X, centres):
    """Fit with these centres, whatever K-means would say."""
    relaxer._cluster = lambda V: normalize(np.asarray(centres, dtype=np.float32))
    return relaxer.fit(X)


def by_loops(centres, N, nouns_per_cluster):
    """Algorithm 1, step 2, noun by noun: the kept ones and their clusters."""
    members = [[] for _ in centres]
    for i, noun in enumerate(N):
        noun = noun / np.sqrt((noun ** 2).sum())
        S = [float(centre @ noun) for centre in centres]
        k = max(range(len(S)), key=S.__getitem__)
        members[k].append((-np.exp(S[k]) / sum(np.exp(s) for s in S), i))
    chosen = [[i for _, i in sorted(member)[:nouns_per_cluster]] for member in members]
    return [i for kept in chosen for i in kept], [k for k, kept in enumerate(chosen) for _ in kept]


class TestAlgorithm1:
    # the same examples each time: of two nouns that are equally sure but for rounding, the loops
    # may choose the other one
    @settings(derandomize=True)
    @given(n=st.integers(1, 40), m=st.integers(1, 60), d=st.integers(2, 9), M=st.integers(1, 12),
           nouns_per_cluster=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
    def test_against_loops(self, n, m, d, M, nouns_per_cluster, seed):
        n, m = max(n, M), max(m, nouns_per_cluster)
        X, N = problem(n, m, d, seed)
        fitted = relaxer(N, n_clusters=M, nouns_per_cluster=nouns_per_cluster).fit(X)
        kept, clusters = by_loops(fitted.cluster_centers_.astype(float), N.astype(float),
                                  nouns_per_cluster)
        assert fitted.noun_indices_.tolist() == kept
        assert fitted.noun_clusters_.tolist() == clusters
        assert fitted.nouns_ == [f"noun {i}" for i in kept]
        np.testing.assert_allclose(fitted.noun_embeddings_, normalize(N[kept]), rtol=1e-6)

        # step 3: of the nouns of the image's own cluster, the most similar one
        for x, row, text in zip(X, fitted.assign(X), fitted.transform(X), strict=True):
            k = max(set(clusters), key=lambda k: fitted.cluster_centers_[k] @ x)
            own = [j for j in range(len(kept)) if clusters[j] == k]
            assert row == max(own, key=lambda j: fitted.noun_embeddings_[j] @ x)
            np.testing.assert_array_equal(text, fitted.noun_embeddings_[row])

    def test_the_soft_text_against_loops(self, monkeypatch):
        X, N = problem()
        fitted = relaxer(N, temperature=0.3).fit(X)
        nouns, texts = fitted.noun_embeddings_.astype(float), fitted.transform(X)
        for x, row, text in zip(normalize(X), fitted.assign(X), texts, strict=True):
            weights = np.array([np.exp(noun @ x / 0.3) for noun in nouns])
            mean = sum(weight * noun for weight, noun in zip(weights, nouns, strict=True))
            np.testing.assert_allclose(text, mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-6)
            assert row == weights.argmax()
        monkeypatch.setattr(_relaxer, "CHUNK_BYTES", 4 * len(nouns) * 7)  # seven images at a time
        np.testing.assert_allclose(fitted.transform(X), texts, rtol=1e-5)

    def test_a_cold_softmax_is_the_most_similar_noun(self):
        X, N = problem()
        cold, one = relaxer(N, temperature=1e-5).fit(X), relaxer(N, n_clusters=1, nouns_per_cluster=80).fit(X)
        kept = one.set_params(noun_embeddings=cold.noun_embeddings_, nouns=cold.nouns_,
                              nouns_per_cluster=len(cold.nouns_)).fit(X)  # one cluster, the same nouns
        np.testing.assert_allclose(cold.transform(X), kept.transform(X), atol=1e-5)

    def test_the_temperature_chooses_no_nouns(self):
        X, N = problem()
        assert relaxer(N, temperature=0.005).fit(X).nouns_ == relaxer(N).fit(X).nouns_

    def test_the_softmax_runs_over_the_centres(self):
        # Both nouns go to the first centre. The first one is more similar to it, but nearly as
        # similar to the other; the second one is surer of it.
        centres = [[1, 0, 0], [0.8, 0.6, 0]]
        N = np.array([[0.9, 0.2, np.sqrt(1 - 0.85)], [0.8, -0.6, 0]])
        fitted = centred(relaxer(N, nouns_per_cluster=1), np.eye(3), centres)
        S = np.array(centres) @ N.T
        assert S[0, 0] > S[0, 1] and (S.argmax(axis=0) == 0).all()
        assert fitted.nouns_ == ["noun 1"]

    def test_centres_are_the_normalised_centres_of_k_means(self):
        X, N = problem()
        kmeans = KMeans(7, n_init=1, random_state=0).fit(normalize(X).astype(np.float32))
        fitted = relaxer(N).fit(X)
        assert fitted.cluster_centers_.dtype == fitted.noun_embeddings_.dtype == np.float32
        np.testing.assert_allclose(fitted.cluster_centers_, normalize(kmeans.cluster_centers_),
                                   atol=1e-6)

    @pytest.mark.parametrize(("above", "method"), [(-1, MiniBatchKMeans), (0, KMeans)])
    def test_mini_batches_above_a_size(self, monkeypatch, above, method):
        X, N = problem()
        monkeypatch.setattr(_relaxer, "MINI_BATCH_ABOVE", len(X) + above)
        kmeans = method(7, n_init=1, random_state=0).fit(normalize(X).astype(np.float32))
        np.testing.assert_allclose(relaxer(N).fit(X).cluster_centers_,
                                   normalize(kmeans.cluster_centers_), atol=1e-6)

    @pytest.mark.parametrize(("n", "n_classes", "n_clusters"), [
        (900, 1, 3), (3000, 1, 10), (3000, 10, 30), (50, 1, 3), (20, 10, 20), (1, 1, 1)])
    def test_auto_clusters(self, n, n_classes, n_clusters):
        X, N = problem(n)
        fitted = relaxer(N, n_clusters="auto", n_classes=n_classes).fit(X)
        assert fitted.cluster_centers_.shape == (n_clusters, 6)

    def test_one_class_is_assumed(self):
        X, N = problem(50)
        assert len(relaxer(N, n_clusters="auto").fit(X).cluster_centers_) == 3

    def test_auto_clusters_are_never_more_than_distinct_images(self):
        X, N = problem(4)
        fitted = relaxer(N, n_clusters="auto", n_classes=10).fit(np.repeat(X, 5, axis=0))
        assert len(fitted.cluster_centers_) == 4


class TestInvariances:
    def test_order_of_the_candidates(self):
        X, N = problem()
        fitted = relaxer(N).fit(X)
        order = np.random.default_rng(1).permutation(len(N))
        shuffled = WordNetRelaxer(np.array(words(len(N)))[order], N[order], n_clusters=7,
                                  random_state=0).fit(X)
        assert shuffled.nouns_ == fitted.nouns_
        np.testing.assert_array_equal(order[shuffled.noun_indices_], fitted.noun_indices_)
        np.testing.assert_array_equal(shuffled.assign(X), fitted.assign(X))

    def test_lengths_of_the_vectors(self):
        X, N = problem()
        rng = np.random.default_rng(1)
        longer = relaxer(N * rng.uniform(0.1, 9, size=(len(N), 1))).fit(
            X * rng.uniform(0.1, 9, size=(len(X), 1)))
        assert longer.nouns_ == relaxer(N).fit(X).nouns_

    def test_an_image_alone_gets_what_it_gets_among_others(self):
        X, N = problem()
        fitted = relaxer(N).fit(X)
        np.testing.assert_array_equal([fitted.assign(x[None])[0] for x in X], fitted.assign(X))

    def test_of_twins_the_earlier_candidate_stays(self):
        X, N = problem()
        twice = WordNetRelaxer(words(160), np.repeat(N, 2, axis=0), n_clusters=7,
                               nouns_per_cluster=1, random_state=0).fit(X)
        assert (twice.noun_indices_ % 2 == 0).all()

    def test_chunks_change_nothing(self, monkeypatch):
        X, N = problem()
        whole = relaxer(N).fit(X)
        monkeypatch.setattr(_relaxer, "CHUNK_BYTES", 4 * 7 * 11)  # eleven nouns at a time
        parts = relaxer(N).fit(X)
        assert parts.nouns_ == whole.nouns_
        np.testing.assert_array_equal(parts.assign(X), whole.assign(X))

    def test_labels_are_not_looked_at(self):
        X, N = problem()
        fitted = relaxer(N).fit(X, np.arange(len(X)) % 2)
        np.testing.assert_array_equal(fitted.cluster_centers_, relaxer(N).fit(X).cluster_centers_)

    def test_same_bits_on_many_threads(self):
        # KMeans alone gives others each time on more than two threads
        program = """
import joblib, numpy as np
from cmkdlearn.text import WordNetRelaxer
X, N = (np.random.default_rng(0).normal(size=(n, 64)) for n in (3000, 300))
fit = lambda: WordNetRelaxer([*map(str, range(300))], N, n_clusters=9, random_state=0).fit(X)
print(len({joblib.hash(fit().cluster_centers_) for _ in range(5)}))"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": "6"}, check=True)
        assert done.stdout == "1\n"


class TestEmptyClusters:
    centres = [[1, 0], [0, 1], [-1, 0]]

    def test_its_images_go_to_the_nearest_centre_that_has_nouns(self):
        N = np.array([[1, 0.1], [1, 0.2], [-1, 0.3]])  # none goes north
        X = [[0.1, 1], [-0.1, 1], [1, 0]]
        fitted = centred(relaxer(N, nouns_per_cluster=1), X, self.centres)
        assert fitted.noun_clusters_.tolist() == [0, 2]
        assert [fitted.nouns_[row] for row in fitted.assign(X)] == ["noun 0", "noun 2", "noun 0"]

    def test_fewer_nouns_than_clusters(self):
        X, N = problem(m=3)
        fitted = relaxer(N, n_clusters=20, nouns_per_cluster=2).fit(X)
        assert sorted(fitted.nouns_) == words(3)
        assert set(fitted.assign(X)) <= {0, 1, 2}


class TestEstimator:
    def test_clone_and_pickle(self):
        X, N = problem()
        fitted = relaxer(N).fit(X)
        before = joblib.hash(fitted)
        texts = fitted.transform(X)
        assert joblib.hash(fitted) == before
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), texts)
        np.testing.assert_array_equal(clone(fitted).fit(X).transform(X), texts)

    def test_in_a_pipeline(self):
        X, N = problem()
        texts = make_pipeline(StandardScaler(), relaxer(N)).set_output(transform="pandas")
        texts = texts.fit_transform(X)
        assert list(texts.columns) == [f"wordnetrelaxer{i}" for i in range(6)]
        assert set(texts.dtypes) == {np.dtype("float32")}

    @pytest.mark.parametrize(("params", "error", "message"), [
        ({"nouns_per_cluster": 81}, ValueError, "80 candidates, fewer than nouns_per_cluster=81"),
        ({"nouns_per_cluster": 0}, ValueError, "nouns_per_cluster=0"),
        ({"nouns": words(79)}, ValueError, "79 words and noun_embeddings 80 rows"),
        ({"noun_embeddings": np.ones((80, 5))}, ValueError, "5 dimensions and X has 6"),
        ({"noun_embeddings": np.eye(80, 6)}, ValueError, "'noun 6' is zero"),
        ({"noun_embeddings": np.full((80, 6), np.nan)}, ValueError, "noun_embeddings contains NaN"),
        ({"n_clusters": 61}, ValueError, "n_clusters=61 is more than the 60 distinct images"),
        ({"n_clusters": "Auto"}, ValueError, "n_clusters='Auto'.*'auto'"),
        ({"n_clusters": 2.5}, TypeError, "n_clusters=2.5"),
        ({"n_classes": 0}, ValueError, "n_classes=0"),
        ({"n_classes": 1.5}, TypeError, "n_classes=1.5"),
        ({"nouns_per_cluster": 1.5}, TypeError, "nouns_per_cluster=1.5"),
    ])
    def test_bad_input(self, params, error, message):
        X, N = problem()
        with pytest.raises(error, match=message):
            relaxer(N).set_params(**params).fit(X)

    def test_bad_images(self):
        X, N = problem()
        with pytest.raises(ValueError, match="NaN"):
            relaxer(N).fit(np.full_like(X, np.nan))
        with pytest.raises(ValueError, match="5 features, but WordNetRelaxer is expecting 6"):
            relaxer(N).fit(X).assign(X[:, :5])


class ToyRelaxer(WordNetRelaxer):
    """With nouns in whatever space it is fitted in: scikit-learn's checks fit in several."""

    def __init__(self, nouns=None, noun_embeddings=None, *, n_clusters="auto",
                 nouns_per_cluster=5, n_classes=1, random_state=None):
        super().__init__(nouns, noun_embeddings, n_clusters=n_clusters, n_classes=n_classes,
                         nouns_per_cluster=nouns_per_cluster, random_state=random_state)

    def _candidates(self, n_features):
        return words(30), normalize(problem(m=30, d=n_features)[1])


@parametrize_with_checks([ToyRelaxer()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)
