"""Every table, figure, theorem, algorithm and appendix of the three papers: what runs it again."""

import json
import re
from dataclasses import dataclass

from benchmarks._report import FOLDER
from benchmarks.evidence import EXPERIMENTS
from benchmarks.evidence._report import claim_row, list_table
from benchmarks.evidence._results import Results, module
from benchmarks.paper import _report, _run

OUT = FOLDER / "paper"
SCALES = ("small", "full")
TITLES = {
    "wordnet": "WordNet-relaxed text (Guo et al.)",
    "cch": "The complementarity hypothesis (Xie et al.)",
    "ucmkd": "Without paired data (Tran et al.)",
}


@dataclass(frozen=True)
class Item:
    """What a paper has a number for.

    Parameters
    ----------
    paper : {"wordnet", "cch", "ucmkd"}
    item : str
        As in "Table 1".
    shows : str
    experiments : tuple of str
        Names for ``python -m benchmarks run``.
    code : str
        What works it out, or does it, and where that is tested.
    note : str
    """

    paper: str
    item: str
    shows: str
    experiments: tuple[str, ...] = ()
    code: str = ""
    note: str = ""


ALL_WORDNET = tuple(f"paper/wordnet-{name}" for name in (
    "imagenet", "imagenet-lt", "cifar-100", "cifar-100-imb100", "scene", "utkface"))
CIFAR = ("paper/wordnet-cifar-100",)
MNIST_M = ("paper/cch-mnist-m", "cch-blur")
AVE, CREMA_D, RAVDESS, VGGSOUND = (
    f"paper/ucmkd-{name}" for name in ("ave", "crema-d", "ravdess", "vggsound"))
ALL_UCMKD = (AVE, CREMA_D, RAVDESS, VGGSOUND)
PRESET = ":func:`~cmkdlearn.presets.preset`; ``tests/test_presets.py``"
LOST = "The numbers are lost in the text at hand."

ITEMS = (
    # ---------------------------------------------------------------- WordNet-relaxed KD
    Item("wordnet", "Figure 1", "three frameworks: plain, crossmodal and this one's",
         note="A drawing."),
    Item("wordnet", "Equations 1 to 3", "the mean of the teachers' logits, and the student's loss",
         code=":class:`~cmkdlearn.students.MultiTeacherDistiller`; ``tests/test_students.py``"),
    Item("wordnet", "Algorithm 1", "the choice of nouns",
         code=":class:`~cmkdlearn.text.WordNetRelaxer`; ``tests/test_text_relaxer.py``",
         note="M, the templates, over what the softmax runs, and how an image gets a noun are not "
              "printed."),
    Item("wordnet", "Equations 4 to 6", "the two regularisers, and the teacher's loss",
         code=":class:`~cmkdlearn.teachers.WordNetRelaxedTeacher`; "
              "``tests/test_wordnet_teacher.py::test_the_loss_by_hand``"),
    Item("wordnet", "Table 1", "six data sets, beside LFME, DMAE, FFKD, Z-score and an ensemble",
         (*ALL_WORDNET, "wordnet-baselines")),
    Item("wordnet", "Figure 2", "T_x on text alone, 0 to 100 % of it relaxed, and its student",
         (*CIFAR, "wordnet-proportions"),
         note="Drawn; the text has one number, 100 % for T_x shown exact names."),
    Item("wordnet", "Table 2", "T_x on image and text, relaxed or noise, alone and beside T_m",
         (*CIFAR, "wordnet-proportions")),
    Item("wordnet", "Table 3", "text that learns against text that is fixed, four data sets",
         ("paper/wordnet-cifar-100", "paper/wordnet-cifar-100-imb100", "paper/wordnet-scene",
          "paper/wordnet-utkface", "wordnet-proportions")),
    Item("wordnet", "Figure 3", "attributions of T_x to text and image",
         (*CIFAR, "wordnet-proportions"),
         code=":func:`~cmkdlearn.inspection.modality_attribution`; ``tests/test_inspection.py``",
         note="Drawn, without a number."),
    # ---------------------------------------------------------------- CCH
    Item("cch", "Equations 1 and 2", "distillation, of one modality and across two",
         code=":class:`~cmkdlearn.students.MultiTeacherDistiller` with ``alpha``; "
              "``tests/test_students.py``"),
    Item("cch", "Hypothesis", "distillation helps where I(h_T; h_S) > I(h_S; Y)",
         ("cch-pairs",),
         code=":class:`~cmkdlearn.selection.CCHSelector`; ``tests/test_cch.py``",
         note="See Tables 5 to 7."),
    Item("cch", "Theorem 1", "a small weight lowers the Gaussian student's risk where the gap is "
                             "positive", ("cch-gaussian",),
         code=":class:`~cmkdlearn.theory.GaussianModalities`; "
              "``tests/test_theory_gaussian.py::test_theorems_1_and_3``"),
    Item("cch", "Theorem 2, Appendix A", "the best teacher, and when it lowers the risk",
         code=":class:`~cmkdlearn.theory.GaussianModalities`; "
              "``tests/test_theory_gaussian.py::test_optimal_teacher_weight_is_the_minimum``",
         note="Here for scalar correlations."),
    Item("cch", "Theorem 3, Appendix A", "the same with fewer samples than dimensions",
         code=":class:`~cmkdlearn.theory.GaussianModalities`; "
              "``tests/test_theory_gaussian.py::test_theorems_1_and_3``",
         note="Most of its formulas are lost in the text at hand."),
    Item("cch", "Figure 1", "synthetic data: the student's error, and both informations",
         ("paper/cch-synthetic", "cch-gaussian")),
    Item("cch", "Figure 2", "MNIST to MNIST-M: accuracy and information by the teacher's blur",
         MNIST_M),
    Item("cch", "Table 1", "MNIST to MNIST-M: the gap, and the gain by temperature", MNIST_M,
         note="Of the gaps three are left in the text, of the gains none."),
    Item("cch", "Table 2", "CMU-MOSEI: information by three estimators", ("paper/cch-mosei",),
         note=LOST),
    Item("cch", "Table 3", "CMU-MOSEI: text teaches vision and audio", ("paper/cch-mosei",),
         note=LOST),
    Item("cch", "Table 4", "CMU-MOSEI: noise on the text", ("paper/cch-mosei",), note=LOST),
    Item("cch", "Table 5", "BRCA: mRNA with noise teaches CNV", ("paper/cch-brca", "cch-pairs")),
    Item("cch", "Table 6", "KIPAN: mRNA with noise teaches CNV", ("paper/cch-kipan", "cch-pairs")),
    Item("cch", "Table 7", "LIHC: mRNA with noise teaches CNV", ("paper/cch-lihc", "cch-pairs")),
    Item("cch", "Figure 3", "fusion, direct and with distillation",
         code=":class:`~cmkdlearn.students.FusionClassifier`; "
              "``tests/test_fusion.py::test_the_loss_by_hand``", note="A drawing."),
    Item("cch", "Table 8", "KIPAN: fusion with and without distillation",
         ("paper/cch-kipan", "cch-fusion")),
    Item("cch", "Figure 4, Appendix B", "synthetic data: the error by the weight",
         ("paper/cch-synthetic", "cch-gaussian"), note="The weights are lost in the text at hand."),
    Item("cch", "Tables 9 and 10", "synthetic data: network and training", code=PRESET),
    Item("cch", "Figure 5, Appendix C", "MNIST and MNIST-M",
         code=":func:`~cmkdlearn.datasets.make_mnistm`; ``tests/test_degradation.py``"),
    Item("cch", "Algorithm 1, Appendix C", "train the teacher, then the student",
         code=":class:`~cmkdlearn.students.MultiTeacherDistiller`",
         note="Named in the text, which lacks it."),
    Item("cch", "Tables 11 and 12", "MNIST to MNIST-M: network and training", code=PRESET),
    Item("cch", "Table 13", "MNIST to MNIST-M with a lower blend", MNIST_M,
         note="The blend and the accuracies are lost in the text at hand."),
    Item("cch", "Algorithm 2, Appendix D", "CMU-MOSEI: sequences of one length",
         code=":func:`~cmkdlearn.datasets.load_mosei`", note="Named in the text, which lacks it."),
    Item("cch", "Tables 14 and 15", "CMU-MOSEI: network and training", code=PRESET,
         note="Widths and dropout are lost in the text at hand."),
    Item("cch", "Table 16, Appendix E", "subtypes of the three cohorts", code=PRESET),
    Item("cch", "Table 17", "the cohorts' training", code=PRESET),
    Item("cch", "Tables 18 and 19", "fusion on KIPAN: network and training", code=PRESET,
         note="The dropout is lost in the text at hand."),
    Item("cch", "Table 20", "BRCA: fusion with and without distillation",
         ("paper/cch-brca", "cch-fusion")),
    Item("cch", "Table 21", "fusion on BRCA: training", code=PRESET,
         note="Its heading says MNIST / MNIST-M."),
    Item("cch", "Appendix F", "estimators of mutual information: KSG, Ross, MINE, latentmi",
         code=":func:`~cmkdlearn.information.mutual_information`; ``tests/test_information.py``, "
              "``tests/test_information_learned.py::test_lmi_beside_the_package_of_its_authors``"),
    # ---------------------------------------------------------------- UCMKD
    Item("ucmkd", "Figure 1", "the two stages", note="A drawing."),
    Item("ucmkd", "Theorems 2.3 and 2.6, Appendix A", "the bound, with distributions known",
         code=":func:`~cmkdlearn.theory.ucmkd_bound`; "
              "``tests/test_theory_ucmkd.py::test_the_theorem_where_all_conditionals_are_known``"),
    Item("ucmkd", "Theorem 2.7, Appendix B", "the bound, of finite samples",
         code=":func:`~cmkdlearn.theory.ucmkd_finite_bound`; "
              "``tests/test_theory_ucmkd.py::test_finite_samples_by_hand``",
         note="Its constants C1, C2, C3 and the dimensions are not numbers in the paper."),
    Item("ucmkd", "Algorithm 1", "two levels",
         code=":class:`~cmkdlearn.students.UCMKDStudent`; "
              "``tests/test_unpaired_student.py::test_one_step_is_algorithm_1``"),
    Item("ucmkd", "Equations 12 to 14", "feature alignment by entropic transport",
         code=":func:`~cmkdlearn.alignment.feature_alignment`; "
              "``tests/test_alignment.py::test_agrees_with_pot``"),
    Item("ucmkd", "Equations 15 and 16", "label alignment",
         code=":func:`~cmkdlearn.alignment.label_alignment`; "
              "``tests/test_alignment.py::test_label_alignment_by_hand``"),
    Item("ucmkd", "Table 1", "unpaired: cross-entropy, feature KD, vanilla KD, UCMKD",
         (*ALL_UCMKD, "ucmkd-digits")),
    Item("ucmkd", "Table 2", "paired: seven methods and UCMKD", (*ALL_UCMKD, "ucmkd-digits")),
    *(Item("ucmkd", f"Table {table}", f"RAVDESS: {share} of the training samples",
           (RAVDESS, "ucmkd-conditions")) for table, share in ((3, "half"), (4, "two fifths"),
                                                               (5, "three tenths"))),
    Item("ucmkd", "Figure 2", "RAVDESS: the two weights, {0.2, ..., 1}²",
         (RAVDESS, "ucmkd-weights")),
    Item("ucmkd", "Figure 3", "how tight the bound is", (*ALL_UCMKD, "ucmkd-digits")),
    Item("ucmkd", "Table 6", "AVE and RAVDESS: FA alone, LA alone, both in one sum",
         (AVE, RAVDESS, "ucmkd-steps"),
         note="Its FA-only has the numbers of Table 1's feature KD."),
    Item("ucmkd", "Table 7", "RAVDESS and CREMA-D: costs l1, l2 and angular",
         (RAVDESS, CREMA_D, "ucmkd-conditions")),
    Item("ucmkd", "Table 8", "AVE and RAVDESS: ViT-B teaches ViT-S",
         (AVE, RAVDESS, "ucmkd-backbones")),
    Item("ucmkd", "Appendix C", "the losses of KD, of one modality and across two",
         code=":class:`~cmkdlearn.losses.KD`; ``tests/test_losses_logits.py``"),
    Item("ucmkd", "Appendix D", "the kernel κ by the teacher's head",
         code=":func:`~cmkdlearn.alignment.label_alignment`; ``tests/test_alignment.py``"),
    Item("ucmkd", "Table 9, Appendix E", "seconds an epoch", ALL_UCMKD,
         note="At most three times feature KD's cost, by equation 59; 1.2 to 2.91 times, as "
              "printed. Ours: :doc:`performance`."),
    Item("ucmkd", "Table 10", "AVE and RAVDESS: ViT-L teaches ViT-S",
         (AVE, RAVDESS, "ucmkd-backbones")),
    Item("ucmkd", "Table 11", "unpaired NORM and Review", (AVE, RAVDESS, CREMA_D, "ucmkd-digits"),
         note="How they were made unpaired is not printed."),
    Item("ucmkd", "Table 12, Appendix F", "hyperparameters",
         code=PRESET, note="One rate, 1e-2, for both levels; the authors' code has others."),
    Item("ucmkd", "Table 13, Appendix G", "RAVDESS and CREMA-D with ResNet-50",
         (RAVDESS, CREMA_D, "ucmkd-backbones")),
    Item("ucmkd", "Table 14", "RAVDESS: easy, medium and hard mismatch",
         (RAVDESS, "ucmkd-conditions"),
         code=":func:`~cmkdlearn.datasets.make_unpaired`; ``tests/test_unpaired_data.py``"),
)


def write():
    """Write the table of each paper's items, with what has been run of them so far."""
    OUT.mkdir(parents=True, exist_ok=True)
    verdicts = _verdicts()
    parts = []
    for paper, title in TITLES.items():
        rows = [[item.item, item.shows, _lines([*map(_run_so_far, item.experiments), item.code]),
                 _lines([*(line for where, line in verdicts[paper] if where & named(item.item)),
                         item.note])]
                for item in ITEMS if item.paper == paper]
        parts.append(f"{title}\n{'=' * len(title)}\n\n" + list_table(
            ["item", "what it shows", "what runs it, and where it was run", "verdict"], rows,
            widths=[14, 24, 30, 32]))
    (OUT / "items.inc").write_text("\n".join(parts))


def named(text):
    """Return the tables, figures and theorems that a text names, as {("Table", "1"), ...}."""
    found = set()
    for kind, numbers in re.findall(r"(Table|Figure|Theorem)s? (\d[\d., toand]*)", text):
        for first, last in re.findall(r"(\d+(?:\.\d+)?)(?: to (\d+))?", numbers):
            if last:
                found |= {(kind, str(number)) for number in range(int(first), int(last) + 1)}
            else:
                found.add((kind, first))
    return found


def _verdicts():
    """Return, by paper, what was judged of its claims: (what they are about, a line)."""
    found = {paper: [] for paper in TITLES}
    for name in EXPERIMENTS:
        for scale in module(name).SETTINGS:
            results = Results.load(name, scale)
            if results is None or not results.complete():
                continue
            for claim in module(name).CLAIMS:
                if claim.quote:
                    says, _, printed, verdict, effect, _ = claim_row(claim, name, results)
                    found[name.split("-")[0]].append((named(claim.where), (
                        f"{says[:-1]}: {verdict}, {effect} ({scale}); printed: {printed}")))
    for name, scale, results in _report.found():
        if not results.complete():
            continue
        for table in _run.module(name).tables(scale):
            for _, effect, printed, ours, verdict in table.verdicts(results):
                found[name.split("-")[0]].append((named(table.item), (
                    f"{effect}: {verdict}, {ours} (``paper/{name}``, {scale}); printed: "
                    f"{printed}")))
    return found


def _run_so_far(name):
    room, _, experiment = name.rpartition("/")
    runs = ["miniature (the tests)"] if room and "miniature" in _run.module(experiment).SETTINGS \
        else []
    for scale in SCALES:
        file = FOLDER / (room or "evidence") / f"{experiment}-{scale}.json"
        if file.exists():
            results = Results(json.loads(file.read_text()))
            device = results.report["device"].partition(",")[0]
            runs.append(f"{scale} ({device}, {len(results.seeds)} seeds"
                        f"{'' if results.complete() else ', not to the end'})")
    return f"``{name}``: {', '.join(runs) or 'not yet'}"


def _lines(lines):
    """Return a line block, or nothing."""
    return "\n       ".join(f"| {line}" for line in lines if line)
