"""How much of a multimodal teacher's decision comes from each modality."""

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from cmkdlearn._validation import check_number, missing_package
from cmkdlearn.nn.data import move

INTERNAL_BATCH = 4096


def modality_attribution(teacher, X, y=None, *, n_steps=50):
    """Attribute a teacher's decisions to its image part and its text part.

    Integrated gradients [1]_ (by Captum) of the winning class's logit with respect to the
    concatenated embeddings, from a baseline of zeros, summed over each part as in Figure 3 of
    [2]_.

    Parameters
    ----------
    teacher : fitted WordNetRelaxedTeacher
        With ``use_image=True`` and ``use_text=True``.
    X : array-like
        Samples.
    y : array-like of shape (n,), optional
        With labels, the text is given as in training; without, it is the relaxed one.
    n_steps : int, default=50
        Steps of the integral.

    Returns
    -------
    Bunch
        ``image`` and ``text``, ndarrays of shape (n,): each sample's attributions, in units of
        the logit; together they make the logit's difference to the baseline's.
        ``image_share`` and ``text_share``, floats that add to 1: the mean over the samples of
        the absolute parts, each sample's scaled to sum to 1.
        ``delta``, ndarray of shape (n,): what the sum over the steps misses of the integral.

    Raises
    ------
    ValueError
        If the teacher reads one modality only.

    References
    ----------
    .. [1] Sundararajan, Taly, Yan. "Axiomatic Attribution for Deep Networks", ICML 2017.
    .. [2] Guo et al. "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification".

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.inspection import modality_attribution
    >>> from cmkdlearn.teachers import WordNetRelaxedTeacher
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(200, 8)), rng.integers(2, size=200)     # nothing to see in X
    >>> teacher = WordNetRelaxedTeacher(relaxed_proportion=0, n_clusters=2, random_state=0,
    ...     class_names={0: np.eye(8)[0], 1: np.eye(8)[1]},
    ...     nouns={f"noun {i}": rng.normal(size=8) for i in range(20)})
    >>> modality_attribution(teacher.fit(X, y), X, y).text_share > 0.5
    True
    """
    check_is_fitted(teacher)
    check_number("n_steps", n_steps, low=1, integer=True)
    if not (getattr(teacher, "use_image", False) and getattr(teacher, "use_text", False)):
        raise ValueError(f"{type(teacher).__name__} reads one modality; attribution compares image "
                         "and text, so it needs use_image=True and use_text=True.")
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise missing_package("modality_attribution", "interpret", error) from error

    batch = move(teacher.text_inputs(X, y), teacher.net_.device)
    module = teacher.net_.module_.eval()
    inputs = module.inputs(batch).detach()
    with torch.inference_mode():
        target = module.classifier(inputs).logits.argmax(dim=1)
    attributions, delta = IntegratedGradients(lambda x: module.classifier(x).logits).attribute(
        inputs, target=target, n_steps=n_steps, return_convergence_delta=True,
        internal_batch_size=max(INTERNAL_BATCH, len(inputs)))
    width = batch.X.shape[1]
    image, text = (attributions[:, part].sum(dim=1).cpu().numpy()
                   for part in (slice(width), slice(width, None)))
    magnitudes = np.abs([image, text])
    image_share, text_share = (magnitudes / magnitudes.sum(axis=0).clip(1e-12)).mean(axis=1)
    return Bunch(image=image, text=text, image_share=float(image_share),
                 text_share=float(text_share), delta=delta.cpu().numpy())


class ModalityAttributionDisplay:
    """Stacked bars of the image's and the text's share, one a teacher.

    Parameters
    ----------
    attributions : dict of str to Bunch
        What :func:`modality_attribution` returned, by the teacher's name.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, attributions):
        self.attributions = attributions

    @classmethod
    def from_estimator(cls, teacher, X, y=None, *, n_steps=50, ax=None):
        """Compute and draw.

        Parameters
        ----------
        teacher : fitted teacher, or dict of str to fitted teacher
        X : array-like
        y : array-like of shape (n,), optional
        n_steps : int, default=50
        ax : matplotlib Axes, default=None

        Returns
        -------
        ModalityAttributionDisplay
        """
        teachers = teacher if isinstance(teacher, Mapping) else {type(teacher).__name__: teacher}
        return cls({name: modality_attribution(t, X, y, n_steps=n_steps)
                    for name, t in teachers.items()}).plot(ax=ax)

    def plot(self, ax=None):
        """Draw into ``ax``, or into a new figure.

        Returns
        -------
        self
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        names = list(self.attributions)
        bottom = np.zeros(len(names))
        for part in ("image", "text"):
            share = np.array([self.attributions[name][f"{part}_share"] for name in names])
            bars = ax.bar(names, share, 0.6, bottom=bottom, label=part)
            ax.bar_label(bars, fmt="%.2f", label_type="center", fontsize="small")
            bottom += share
        ax.set(ylabel="share of the attribution", ylim=(0, 1),
               title="What the teacher's decisions rest on")
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        self.ax_, self.figure_ = ax, ax.figure
        return self
