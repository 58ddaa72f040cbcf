"""
From clean images to images on photographs, and how blurred a teacher may be
============================================================================

A student has to read images that are blended with photographs (:func:`~cmkdlearn.datasets.make_mnistm`).
Its teacher sees the same images without the photographs, but blurred, more and more. When does it cease to
be of use, and does :class:`~cmkdlearn.selection.CCHSelector` know beforehand? The images are those of the small
Fashion-MNIST that comes with the package; the paper asks the same of MNIST (:doc:`/papers`).
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr
from sklearn.frozen import FrozenEstimator

from cmkdlearn.datasets import load_fashion_mini, make_mnistm
from cmkdlearn.inspection import CCHDisplay
from cmkdlearn.nn.samples import take
from cmkdlearn.preprocessing import Blur
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

FEW, SEEDS, SIGMAS = 500, range(3), (0, 1, 2, 4, 8)
training = {"max_epochs": 25, "batch_size": 64}

fashion = load_fashion_mini()
images, y = (np.concatenate([fashion[f"{name}_train"], fashion[f"{name}_test"]]) for name in "Xy")


def rows(images):
    return images.reshape(len(images), -1) / np.float32(255)


blurred = {sigma: Blur(sigma).fit_transform(images) for sigma in SIGMAS}
on_photographs = make_mnistm(images, random_state=0)
X = {"photographs": rows(on_photographs), **{f"blur {sigma}": rows(part) for sigma, part in blurred.items()}}

figure, axes = plt.subplots(2, 6, figsize=(9, 3), layout="constrained")
for column, (name, part) in zip(axes.T, [("student", on_photographs), *blurred.items()], strict=True):
    for ax, image in zip(column, part[:2], strict=True):
        ax.imshow(image, cmap="gray")
        ax.set_axis_off()
    column[0].set_title(name if name == "student" else f"teacher, σ = {name}", fontsize="small")

# %%
# What the hypothesis says
# ========================
#
# 500 images are for training. The selector trains a network on each modality, by cross-fitting, and
# compares what it has in common with the student's to what the student's has with the labels. It never
# trains a student with a teacher.

known, new = take(X, slice(3000)), take(X, slice(3000, None))
y_known, y_new = y[:3000], y[3000:]
few = [np.random.default_rng(seed).permutation(3000)[:FEW] for seed in SEEDS]

selector = CCHSelector(student="photographs", network=UnimodalTeacher(**training), n_repeats=3, random_state=0)
selector.fit(take(known, few[0]), y_known[few[0]])
_ = CCHDisplay.from_estimator(selector)

# %%
# What happens
# ============
#
# Now all the students are trained, with each of the teachers and without one.

accuracy, gain = np.empty((2, len(SIGMAS), len(SEEDS)))
for seed in SEEDS:
    X_few, y_few = take(known, few[seed]), y_known[few[seed]]
    student = MultiTeacherDistiller(modality="photographs", lambda_kd=1, temperature=4, random_state=seed, **training)
    plain = student.fit(X_few, y_few).score(new, y_new)
    print(f"seed {seed}: without a teacher {plain:.3f}")
    for i, sigma in enumerate(SIGMAS):
        teacher = UnimodalTeacher(modality=f"blur {sigma}", random_state=seed, **training).fit(X_few, y_few)
        student.set_params(teachers=[("teacher", FrozenEstimator(teacher))])
        accuracy[i, seed] = teacher.score(new, y_new)
        gain[i, seed] = student.fit(X_few, y_few).score(new, y_new) - plain

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
at = np.arange(len(SIGMAS))
gaps = np.array([selector.mi_gap_[f"blur {sigma}"] for sigma in SIGMAS])
low, high = np.array([selector.mi_gap_interval_[f"blur {sigma}"] for sigma in SIGMAS]).T
left.errorbar(at, gaps, [gaps - low, high - gaps], fmt="o-", color="black", capsize=3)
left.set(ylabel="nats", title="before: the MI gap, with its 95 % interval")
right.plot(at, 100 * gain, "o", color="C0", alpha=0.4)
right.plot(at, 100 * gain.mean(axis=1), "D-", color="C1")
right.set(ylabel="points of accuracy", title="after: what the teacher brought (dots: seeds)")
for ax in (left, right):
    ax.axhline(0, color="grey", linewidth=1)
    ax.set(xticks=at, xticklabels=SIGMAS, xlabel="blur of the teacher's images (σ in pixels)")
for sigma, *row in zip(SIGMAS, gaps, gain.mean(axis=1), accuracy.mean(axis=1), strict=True):
    print("blur {}: gap {:+.2f} nats, gain {:+.3f}, the teacher's own accuracy {:.3f}".format(sigma, *row))

# %%
# Two questions to the figure. As a *ranking* of teachers: do gap and gain fall together? As a *rule*: are they
# above zero for the same teachers? The interval of so few samples is wide, and the two need not cross zero at
# the same blur. See :ref:`the user guide <cch>` for how often the sign was right on other data.

gain = gain.mean(axis=1)
print(f"rank correlation of gap and gain: {spearmanr(gaps, gain).statistic:+.2f}")
print(f"the same sign at {np.sum(np.sign(gaps) == np.sign(gain))} of {len(SIGMAS)} blurs")
plt.show()
