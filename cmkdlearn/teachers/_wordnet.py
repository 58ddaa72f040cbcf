"""A multimodal teacher on image and WordNet-relaxed text (Guo et al.)."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from torch import nn

from cmkdlearn._labels import label_codes
from cmkdlearn._validation import check_number, check_option
from cmkdlearn.base import TorchTeacher
from cmkdlearn.nn.data import as_array, as_tensor, weighted_mean
from cmkdlearn.nn.modules import Standardise, build_classifier
from cmkdlearn.nn.samples import first_sample, is_dataset, is_mapped, select_modality
from cmkdlearn.text import DEFAULT_TEMPLATES, WordNetNouns, WordNetRelaxer, encode_prompts
from cmkdlearn.text._relaxer import noun_weights

RELAXED = -1  # in place of a label code: this sample's text is the relaxed one


class WordNetRelaxedTeacher(TorchTeacher):
    r"""The multimodal teacher T_x: an image embedding beside a relaxed text embedding.

    A teacher that reads the exact class name reaches 100 % by reading the label (*label
    leakage*) and has nothing to teach. Here the text of an image is a noun from WordNet, chosen
    by Algorithm 1 of [1]_ (:class:`~cmkdlearn.text.WordNetRelaxer`) without a look at its label.
    The embeddings of the chosen nouns, n*, are then trained with the classifier:

    .. math::

        L_{hier} &= 1 - \cos(n_{gt}, n_{relaxed}) & (4) \\
        L_{cosreg} &= 1 - \cos(n_{pretrained}, n_{relaxed}) & (5) \\
        L_{T_x} &= \mathrm{CE} + 0.1\, L_{hier} + 0.01\, L_{cosreg} & (6)

    Parameters
    ----------
    embedder : transformer with ``encode_text``, default=None
        ``transform(X)`` gives image embeddings (n, d) and ``encode_text(list of str)`` text
        embeddings (m, d), L2-normalised in one space, as
        :class:`~cmkdlearn.embedding.CLIPEmbedder` does. None: ``X`` holds image embeddings
        already, and ``nouns`` and ``class_names`` map to text embeddings.
    class_names : mapping or sequence, default=None
        The name of each class: a dict from label to name, or the names in the order of the
        sorted labels. None: the labels are strings, and their own names. Without an embedder, a
        dict from label to text embedding (d,).
    relaxation : {"wordnet", "noise"}, default="wordnet"
        "noise" is the paper's ablation: the relaxed text is a class name drawn at random.
    relaxed_proportion : float, default=1.0
        :math:`\beta`, the share of the training samples that get the relaxed text, in [0, 1].
        The others, :math:`\alpha = 1 - \beta`, get the name of their class.
    use_image, use_text : bool, default=True
        What the classifier reads; not both False.
    learnable_text : bool, default=True
        Train n*, rather than keep it as it was encoded.
    lambda_hier : float, default=0.1
    lambda_cosreg : float, default=0.01
    n_clusters : int or "auto", default="auto"
        M of Algorithm 1; see :class:`~cmkdlearn.text.WordNetRelaxer`.
    nouns_per_cluster : int, default=5
    text_temperature : float, default=None
        None: an image's relaxed text is one noun, the most similar one of its cluster. Above 0: it
        is the mean of all n*, weighed by softmax(v · n* / ``text_temperature``), with the n* of
        each training step; the authors' code does so, at 0.005. Equation 5 compares it with the
        mean of the n* as they were encoded, in the same weights.
    nouns : list of str, WordNetNouns or mapping, default=None
        Candidates. None: all of WordNet's nouns but those that ``exclude`` names; of a
        WordNetNouns, likewise. A list is taken as it is, class names included. Without an
        embedder, a dict from noun to text embedding (d,).
    exclude : {"synonyms", "names"}, default="synonyms"
        What of WordNet is no candidate: the class names and all that shares a synset with one; or
        the names alone, as in section 4.2 of [1]_, where synonyms may stand in for them. A name
        that WordNet does not have is told by a warning (see
        :meth:`~cmkdlearn.text.WordNetNouns.candidates`).
    templates : str or sequence of str, default=DEFAULT_TEMPLATES
        Prompts with a ``{}`` for the word; a word's embedding is the mean over them. "tac": those
        of TAC and of the authors' code, :data:`~cmkdlearn.text.TEMPLATES`.
    module : "auto", torch.nn.Module class or instance, default="auto"
        Classifier of the concatenated embeddings; "auto" is an MLP, and
        :class:`~cmkdlearn.nn.modules.EmbeddingResNet` the ResNet-50 of [1]_.
    modality : str, default=None
        The images' name where ``X`` is a dict.
    **training
        As for :class:`~cmkdlearn.base.TorchClassifier`: ``max_epochs``, ``lr``, ``batch_size``,
        ``label_smoothing``, ``early_stopping``, ``random_state``, ``device``, ...

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    class_embeddings_ : ndarray of shape (n_classes, d)
        n_gt, float32.
    nouns_ : ndarray of shape (n_nouns,), str
        The nouns that Algorithm 1 kept (the class names under "noise").
    noun_embeddings_ : ndarray of shape (n_nouns, d)
        n* after training, float32.
    text_drift_ : ndarray of shape (n_nouns,)
        1 − cos between each noun's embedding before and after training.
    relaxer_ : WordNetRelaxer
        Only where ``relaxation="wordnet"``. It holds the nouns it kept; the candidates are dropped.
    feature_bank_ : ndarray of shape (n, d)
        The training samples' features under the text that prediction sees, float32.

    References
    ----------
    .. [1] Guo et al. "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification".

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.teachers import WordNetRelaxedTeacher
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> centres = rng.normal(size=(2, 16))
    >>> X = centres[y] + 0.3 * rng.normal(size=(200, 16))        # image embeddings
    >>> nouns = {f"noun {i}": rng.normal(size=16) for i in range(60)}
    >>> teacher = WordNetRelaxedTeacher(class_names={0: centres[0], 1: centres[1]}, nouns=nouns,
    ...                                 n_clusters=4, random_state=0)
    >>> teacher.fit(X[:150], y[:150]).score(X[150:], y[150:])
    1.0
    >>> teacher.noun_of(X[:1])[0] in nouns
    True
    """

    def __init__(self, embedder=None, *, class_names=None, relaxation="wordnet",
                 relaxed_proportion=1.0, use_image=True, use_text=True, learnable_text=True,
                 lambda_hier=0.1, lambda_cosreg=0.01, n_clusters="auto", nouns_per_cluster=5,
                 text_temperature=None, nouns=None, exclude="synonyms",
                 templates=DEFAULT_TEMPLATES, module="auto", modality=None, **training):
        self.embedder = embedder
        self.class_names = class_names
        self.relaxation = relaxation
        self.relaxed_proportion = relaxed_proportion
        self.use_image = use_image
        self.use_text = use_text
        self.learnable_text = learnable_text
        self.lambda_hier = lambda_hier
        self.lambda_cosreg = lambda_cosreg
        self.n_clusters = n_clusters
        self.nouns_per_cluster = nouns_per_cluster
        self.text_temperature = text_temperature
        self.nouns = nouns
        self.exclude = exclude
        self.templates = templates
        super().__init__(module, modality=modality, **training)

    # ---------------------------------------------------------------- validation

    def _check_params(self):
        super()._check_params()
        check_option("relaxation", self.relaxation, ("wordnet", "noise"))
        check_number("relaxed_proportion", self.relaxed_proportion, low=0, high=1)
        check_number("nouns_per_cluster", self.nouns_per_cluster, low=1, integer=True)
        check_option("exclude", self.exclude, ("synonyms", "names"))
        if self.text_temperature is not None:
            check_number("text_temperature", self.text_temperature, low=0, open_low=True)
        check_number("lambda_hier", self.lambda_hier, low=0)
        check_number("lambda_cosreg", self.lambda_cosreg, low=0)
        if not (self.use_image or self.use_text):
            raise ValueError("use_image=False and use_text=False leave nothing to read; set one "
                             "of them to True.")
        if self.embedder is not None:
            for method in ("transform", "encode_text"):
                if not hasattr(self.embedder, method):
                    raise TypeError(f"embedder={self.embedder!r} has no {method}; it must embed "
                                    "images (transform) and text (encode_text) in one space, as "
                                    "CLIPEmbedder does.")
        else:
            for name in ("nouns", "class_names"):
                value = getattr(self, name)
                if not isinstance(value, Mapping) and self._reads(name):
                    raise TypeError(f"Without an embedder, {name} must be a dict to text "
                                    f"embeddings; got {type(value).__name__}. Pass one, or an "
                                    "embedder.")

    def _reads(self, name):
        return self.use_text and (name == "class_names" or self.relaxation == "wordnet")

    def _read(self, X, reset):
        X = self._checked(X, reset)
        # of the fit, embedded in _prepare, once labels and names are known to be good
        return {"X": X} if reset else self._fed(X)

    def _read_validation(self, X):
        return {"X": self._checked(X, reset=False)}

    def _beside(self, X, y, data):
        return self._fed(data["X"])

    def _checked(self, X, reset):
        if self.embedder is None:
            X = super()._read(X, reset)["X"].numpy()
            if self._kind != "table":
                raise ValueError(f"Without an embedder, X must hold image embeddings (n, d); it "
                                 f"holds a {self._kind} of shape {self.reader_.shape} per sample.")
        else:
            X = select_modality(X, self.modality, fitting=reset, owner=self)
            if is_dataset(X) or is_mapped(X):  # the embedder reads and checks all of them
                validate_data(self, first_sample(X), reset=reset, allow_nd=True, dtype="numeric")
            else:
                X = validate_data(self, X, reset=reset, allow_nd=True, dtype="numeric")
        return X

    def _fed(self, X):
        """Return the embeddings of images, and the relaxed text that goes with them."""
        data = {"X": self._embed(X)}
        if self.use_text:
            data["relaxed"] = self._relaxed_text(data["X"])
            data["shown"] = torch.full((len(X),), RELAXED)
        return data

    @property
    def _kind(self):
        """Embeddings are a table."""
        return "table" if self.embedder is not None else super()._kind

    def _embed(self, X):
        """Return the image embeddings, L2-normalised; a tensor is a batch of a student's."""
        if self.embedder is None:
            V = X
        elif isinstance(X, torch.Tensor):
            V = self.embedder.embed_batch(X)
        else:
            V = self.embedder.transform(X)
        V = np.asarray(as_array(V), dtype=np.float32)
        if V.ndim != 2 or len(V) != len(X) or not np.isfinite(V).all():
            raise ValueError(f"embedder.transform returned an array of shape {V.shape} for "
                             f"{len(X)} samples, or values that are not finite; it must return "
                             "(n, d) finite embeddings.")
        return as_tensor(normalize(V))

    # ---------------------------------------------------------------- text

    def _prepare(self, X, y, data):
        if self._goes_on():
            # the nouns stay, with what was learned of them
            return {"shown": self._shown(data["y"])} if self.use_text else {}
        if not self.use_text:
            return {"X": self._embed(data["X"])}
        names = self._class_names()
        nouns = self._candidates(names) if self.relaxation == "wordnet" else None
        self.class_embeddings_ = self._encode("class_names", names)
        V = self._embed(data["X"])
        if self.class_embeddings_.shape[1] != V.shape[1]:
            raise ValueError(f"Text embeddings have {self.class_embeddings_.shape[1]} dimensions "
                             f"and image embeddings {V.shape[1]}; they must share one space.")
        self._choose_text(V, names, nouns)
        self._share_seed = self._draw_seed()
        return {"X": V, "relaxed": self._relaxed_text(V), "shown": self._shown(data["y"])}

    def _class_names(self):
        """Return the name of each class; without an embedder, its text embedding."""
        classes = self.classes_.tolist()
        if self.class_names is None:
            if not all(isinstance(label, str) for label in classes):
                raise ValueError(f"class_names are missing: the labels {classes} are no names. "
                                 "Pass class_names={label: name}.")
            return classes
        if isinstance(self.class_names, Mapping):
            missing = [label for label in classes if label not in self.class_names]
            if missing:
                raise ValueError(f"class_names has no name for the labels {missing}.")
            return [self.class_names[label] for label in classes]
        if len(self.class_names) != len(classes):
            raise ValueError(f"class_names has {len(self.class_names)} names for {len(classes)} "
                             f"classes, {classes}.")
        return list(self.class_names)

    def _candidates(self, class_names):
        """Return the candidate nouns; without an embedder, a dict to their text embeddings."""
        nouns = WordNetNouns() if self.nouns is None else self.nouns
        if isinstance(nouns, WordNetNouns):
            nouns = nouns.candidates(exclude=class_names, synonyms=self.exclude == "synonyms")
        if len(nouns) < self.nouns_per_cluster:
            raise ValueError(f"nouns holds {len(nouns)} candidates, fewer than nouns_per_cluster="
                             f"{self.nouns_per_cluster}; offer more nouns.")
        return nouns

    def _encode(self, name, words):
        """Return text embeddings, (n_words, d) float32 (Algorithm 1, lines 1 to 10)."""
        if self.embedder is not None:
            return encode_prompts(self.embedder, words, self.templates)
        return _stack(name, words.values() if isinstance(words, Mapping) else words)

    def _choose_text(self, V, names, nouns):
        """Choose n* (Algorithm 1, lines 11 to 19), or take the class names for the ablation."""
        if self.relaxation == "noise":
            self.nouns_ = self.classes_.astype(str) if self.embedder is None else np.asarray(names)
            self._pretrained = self.class_embeddings_
            return
        self.relaxer_ = WordNetRelaxer(
            list(nouns), self._encode("nouns", nouns), n_clusters=self.n_clusters,
            nouns_per_cluster=self.nouns_per_cluster, n_classes=len(self.classes_),
            temperature=self.text_temperature, random_state=self._draw_seed()).fit(V.numpy())
        # a fitted teacher is kept and sent about without the many candidates that were not chosen
        self.relaxer_.set_params(nouns=None, noun_embeddings=None)
        self.nouns_ = np.asarray(self.relaxer_.nouns_)
        self._pretrained = self.relaxer_.noun_embeddings_

    def _relaxed_text(self, V):
        """Return the row of n* that goes with each image embedding; no label is looked at."""
        V = V.numpy()
        if self.relaxation == "wordnet":
            return torch.from_numpy(self.relaxer_.assign(V).astype(np.int64))
        # The same image draws the same name whenever it is asked for: the digits of a random
        # projection, of which no classifier can learn anything.
        direction = check_random_state(0).normal(size=V.shape[1])
        draw = np.abs(V.astype(np.float64) @ direction * 1e3) % 1
        return torch.from_numpy((draw * len(self.classes_)).astype(np.int64))

    def _shown(self, codes):
        """Show a share alpha of the samples the name of their class."""
        n = len(codes)
        order = check_random_state(self._share_seed).permutation(n)
        chosen = torch.from_numpy(order[: round((1 - self.relaxed_proportion) * n)])
        shown = torch.full((n,), RELAXED)
        shown[chosen] = codes[chosen]
        return shown

    # ---------------------------------------------------------------- training

    def _build(self, data):
        text = None
        few = Bunch(**{name: data[name][:2] for name in ("X", "relaxed", "shown") if name in data})
        if self.use_text:
            relaxes = self.relaxation == "wordnet"
            text = RelaxedText(torch.from_numpy(self._pretrained),
                               torch.from_numpy(self.class_embeddings_),
                               learnable=self.learnable_text and relaxes,
                               temperature=self.text_temperature if relaxes else None)
        inputs = join(few.X if self.use_image else None, text(few).detach() if text else None)
        # unit vectors become of unit variance; feature by feature, a text that learns would leave
        # the scale it was standardised by
        scale = Standardise(torch.zeros(()), torch.tensor(data["X"].shape[1] ** -0.5))
        classifier = build_classifier(self.module, inputs, "table", len(self.classes_),
                                      scale, **self._routed("module"))
        return MultimodalClassifier(classifier, text, self.use_image)

    def _as_predicted(self, data):
        if not self.use_text:
            return data
        return {**data, "shown": torch.full_like(data["shown"], RELAXED)}

    def _remember(self, data, y):
        super()._remember(self._as_predicted(data), y)  # the bank holds what prediction sees

    def _output(self, module, batch):
        return module(batch)

    def _loss(self, module, batch, output):
        ce = self._cross_entropy(output, batch)
        if not (self.use_text and self.learnable_text and self.relaxation == "wordnet"):
            return {"loss": ce}
        # a sample that is shown its class's name, whose text is n_gt, adds nothing
        is_relaxed = (batch.shown == RELAXED).float()
        n_gt = module.text.class_names[batch.y]
        n_relaxed, n_pretrained = module.text.relaxed(batch)
        hier, cosreg = (weighted_mean(is_relaxed * (1 - F.cosine_similarity(n, n_relaxed)), batch)
                        for n in (n_gt, n_pretrained))  # eq. 4, 5
        loss = ce + self.lambda_hier * hier + self.lambda_cosreg * cosreg  # eq. 6
        return {"loss": loss, "ce": ce, "hier": hier, "cosreg": cosreg}

    # ---------------------------------------------------------------- what it knows

    @property
    def noun_embeddings_(self):
        """n* after training, (n_nouns, d) float32."""
        return self._text_module().nouns.detach().cpu().numpy()

    @property
    def text_drift_(self):
        """1 − cos between each noun's embedding before and after training, (n_nouns,)."""
        text = self._text_module()
        return (1 - F.cosine_similarity(text.pretrained, text.nouns.detach())).cpu().numpy()

    def _text_module(self):
        check_is_fitted(self)
        if not self.use_text:
            raise AttributeError("use_text=False: this teacher has no text.")
        return self.net_.module_.text

    def noun_of(self, X):
        """Return the noun that stands for each sample's text, (n,) str.

        Parameters
        ----------
        X : array-like
            Images (embeddings, without an embedder).
        """
        self._text_module()
        return self.nouns_[self._read(X, reset=False)["relaxed"].numpy()]

    @property
    def needs_labels_to_teach(self):  # type: ignore[override]
        """True where every sample was given the name of its class (``relaxed_proportion=0``)."""
        return bool(self.use_text and self.relaxed_proportion == 0)

    def teaching_logits(self, X, y=None):
        """Return what a student is shown while training, (n, n_classes) float32 logits.

        Parameters
        ----------
        X : array-like
        y : array-like of shape (n,), optional
            With labels, a share 1 − ``relaxed_proportion`` of the samples is given the name of
            its class, as in training. A sample whose label is -1 or None gets the relaxed text.
        """
        return self._run(X, **self._shown_labels(X, y)).logits

    def text_inputs(self, X, y=None):
        """Return what the network is fed, as a Bunch of tensors.

        ``X`` (n, d) are image embeddings, ``relaxed`` (n,) rows of n*, and ``shown`` (n,) the
        class whose name is shown (-1: none, the text is relaxed); labels are shown as by
        :meth:`teaching_logits`.
        """
        check_is_fitted(self)
        return Bunch(**{**self._read(X, reset=False), **self._shown_labels(X, y)})

    def _shown_labels(self, X, y):
        check_is_fitted(self)
        if y is None or not self.use_text:
            return {}
        check_consistent_length(select_modality(X, self.modality, fitting=False), y)
        return {"shown": self._label_inputs(y)}

    def _label_inputs(self, y):
        if y is None or not self.use_text:
            return None
        return self._shown(torch.from_numpy(label_codes(y, self.classes_)))

    def score_with_labels(self, X, y):
        """Return the leaky accuracy: that of a teacher who is given text as in training.

        The paper's Table 2 reports this one. :meth:`score` is the honest one, for which every
        sample's text is the relaxed one.

        Parameters
        ----------
        X : array-like
        y : array-like of shape (n,)

        Returns
        -------
        float
            In [0, 1].
        """
        y = column_or_1d(y)
        winners = self.teaching_logits(X, y).argmax(axis=1)
        return float(np.mean(self.classes_[winners] == y))


class RelaxedText(nn.Module):
    """The text side: n* and the class names."""

    def __init__(self, nouns, class_names, learnable, temperature=None):
        super().__init__()
        self.temperature = temperature
        self.nouns = nn.Parameter(nouns.clone(), requires_grad=learnable)  # Algorithm 1, line 20
        self.register_buffer("pretrained", nouns.clone())
        self.register_buffer("class_names", class_names)

    def relaxed(self, batch):
        """Return each sample's relaxed text: n_relaxed, and the same of n* as it was encoded."""
        if self.temperature is None:
            return F.embedding(batch.relaxed, self.nouns), self.pretrained[batch.relaxed]
        n_star = F.normalize(self.nouns)
        weight = noun_weights(batch.X, n_star, self.temperature)
        return F.normalize(weight @ n_star), weight @ self.pretrained

    def forward(self, batch):
        """Return each sample's text embedding: its class's name where a label is shown."""
        named = F.embedding(batch.shown.clamp(min=0), self.class_names)
        return torch.where((batch.shown == RELAXED)[:, None], self.relaxed(batch)[0], named)


class MultimodalClassifier(nn.Module):
    """A classifier of the image and the text embedding, side by side."""

    def __init__(self, classifier, text, use_image):
        super().__init__()
        self.classifier = classifier
        self.text = text
        self.use_image = use_image

    @property
    def head(self):
        """From features to logits."""
        return self.classifier.head

    def inputs(self, batch):
        """Return what the classifier reads, (n, d_image + d_text)."""
        return join(batch.X if self.use_image else None,
                    self.text(batch) if self.text is not None else None)

    def forward(self, batch):
        """Return the :class:`~cmkdlearn.losses.Output` of a batch."""
        return self.classifier(self.inputs(batch))


def join(image, text):
    """Put what there is of image and text side by side."""
    return torch.cat([part for part in (image, text) if part is not None], dim=1)


def _stack(name, vectors):
    try:
        stacked = np.stack([np.asarray(vector, dtype=np.float32) for vector in vectors])
    except (TypeError, ValueError):
        raise ValueError(f"{name} must map to text embeddings, vectors (d,) of one "
                         "length.") from None
    if stacked.ndim != 2 or not np.isfinite(stacked).all() or not stacked.any(axis=1).all():
        raise ValueError(f"{name} must map to finite vectors (d,), none of them zero.")
    return normalize(stacked)
