"""
Label leakage: what a teacher gives away
========================================

A teacher that is shown the name of the class reads the label, and its accuracy says nothing about
what it has seen. Two looks at it: its accuracy with and without the labels' text, and how much of
its decision rests on the text.
"""

# %%
# Five teachers, from text that is always the class's name (0 % relaxed) to text that is always a
# noun from WordNet which resembles the image (100 %).

import matplotlib.pyplot as plt

from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.inspection import LabelLeakageDisplay, ModalityAttributionDisplay, label_leakage
from cmkdlearn.teachers import WordNetRelaxedTeacher
from cmkdlearn.text import WordNetNouns

fashion = load_fashion_mini()
X, y, X_test, y_test = fashion.X_train[:600], fashion.y_train[:600], fashion.X_test[:300], fashion.y_test[:300]
nouns = WordNetNouns().candidates(hypernym="clothing.n.01", exclude=fashion.class_names)

embedder = ConSEEmbedder(memory=".cache/cmkdlearn")
teachers = {
    f"{share:.0%}": WordNetRelaxedTeacher(embedder, nouns=nouns, templates=["{}"], max_epochs=30,
                                          relaxed_proportion=share, random_state=0).fit(X, y)
    for share in (0.0, 0.2, 0.5, 0.8, 1.0)
}

# %%
# The gap between the bars is leakage. With 100 % relaxed text there is no label to read, and none can be. The
# accuracy that is worth something is the second bar: every text is relaxed there, as it is whenever ``predict``
# is called.

display = LabelLeakageDisplay.from_estimator(teachers, X_test, y_test)
display.ax_.set_xlabel("share of relaxed text in training")
for share, teacher in teachers.items():
    print(f"{share:>4} relaxed: leakage {label_leakage(teacher, X_test, y_test).leakage:+.3f}")
plt.show()

# %%
# Integrated gradients look at the same from inside: how much of the decision rests on the text, and how much on
# the image.

display = ModalityAttributionDisplay.from_estimator(teachers, X_test, y_test)
display.ax_.set_xlabel("share of relaxed text in training")
plt.show()
