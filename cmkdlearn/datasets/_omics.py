"""Omics of The Cancer Genome Atlas: one table a modality, and one with the subtypes."""

import gzip
import io
import re
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from cmkdlearn._validation import import_pandas
from cmkdlearn.datasets._files import BLOCK, Budget
from cmkdlearn.datasets._paths import inside, required

BARCODE = re.compile(r"(TCGA-\w{2}-\w{4})(?:-(\d{2}))?(?:\w?-.*|\w)?")
PRIMARY_TUMOUR = "01"
XENA = {"mrna": "HiSeqV2", "cnv": "Gistic2_CopyNumber_Gistic2_all_data_by_genes", "rppa": "RPPA"}
DESCRIPTION = """The Cancer Genome Atlas: molecular data of tumours, one sample a patient. See
https://www.cancer.gov/tcga for the studies and how to cite them."""


def load_tcga(path, *, subtypes="BRCA_clinicalMatrix", label="PAM50Call_RNAseq", modalities=None):
    """Read omics of The Cancer Genome Atlas (BRCA, KIPAN, LIHC, ...), complete cases only.

    The tables are those of UCSC Xena (features in rows, samples in columns) or of the Broad's
    Firehose (the same, with a second line of headings). Of each patient the primary tumour is
    taken, if all modalities and the subtype are known of it. Features of which values are missing
    then are left out. Needs pandas.

    The defaults are the file names of Xena's study "TCGA Breast Cancer (BRCA)". The studies KIPAN
    (three kinds of kidney cancer) and LIHC (liver) are read from tables of the same form by
    ``modalities``, with a table of subtypes of your own. Those of [1]_, Table 16, are KICH, KIRC
    and KIRP, and blast-like, CHOL-like and liver-like.

    Parameters
    ----------
    path : path-like
        The folder with the tables: tab-separated (or comma-separated, ``.csv``), plain or ``.gz``.
    subtypes : str, default="BRCA_clinicalMatrix"
        File of the table with the subtypes, samples or patients in rows.
    label : str, default="PAM50Call_RNAseq"
        Its column with them.
    modalities : dict, optional
        File of each table by name. By default ``mrna``, ``cnv`` and ``rppa`` are read from
        ``HiSeqV2``, ``Gistic2_CopyNumber_Gistic2_all_data_by_genes`` and ``RPPA``.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : dict of DataFrame
            Patients in rows, features in columns, float32, by modality; the same patients in the
            same order.
        y : ndarray of shape (n,), str
            Subtypes.
        class_names : ndarray of str
            Sorted.
        n_incomplete : int
            Patients left out because something is missing.
        n_dropped : dict of int
            Features left out, by modality.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        A table is missing or not of this form, or there are no complete cases, with its path.

    See Also
    --------
    sklearn.feature_selection.SelectKBest : Fewer features first; the user guide's chapter on the
        complementarity hypothesis names packages for minimum redundancy, maximum relevance.

    References
    ----------
    .. [1] Xie, Xu, Sanguinetti. "Information-Theoretic Criteria for Knowledge Distillation in
       Multimodal Learning", 2025.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_tcga
    >>> brca = load_tcga("TCGA.BRCA.sampleMap")  # doctest: +SKIP
    >>> liver = load_tcga("LIHC", subtypes="subtypes.csv", label="iCluster",
    ...                   modalities={"mrna": "HiSeqV2.gz", "rppa": "RPPA.gz"})  # doctest: +SKIP
    """
    path = required(path, "a folder with the tables")
    modalities = XENA if modalities is None else modalities
    X = {name: _omics(_file(path, file)) for name, file in modalities.items()}
    y = _subtypes(_file(path, subtypes), label)
    known = set(y.index)
    everyone = known.union(*(table.index for table in X.values()))
    for table in X.values():
        known &= set(table.index)
    if not known:
        raise ValueError(f"{path} holds no patient of whom {', '.join(X)} and {label} are all "
                         "known.")
    patients, n_dropped = sorted(known), {}
    for name, table in X.items():
        complete = table.loc[patients].dropna(axis=1)
        n_dropped[name] = table.shape[1] - complete.shape[1]
        if not complete.shape[1]:
            raise ValueError(f"{path / modalities[name]} has no feature that is known of all "
                             f"{len(patients)} patients.")
        X[name] = complete
    y = y.loc[patients].to_numpy(dtype=str)
    return Bunch(X=X, y=y, class_names=np.unique(y), n_incomplete=len(everyone) - len(patients),
                 n_dropped=n_dropped, DESCR=DESCRIPTION)


def _file(path, name):
    """Return a table's path, whether it is compressed or not."""
    file = inside(path, name, "modalities or subtypes")
    packed = Path(f"{file}.gz")
    return packed if packed.exists() and not file.exists() else required(file, "a table")


def _opened(file):
    """Open a table, which is text: no such packs to a hundredth."""
    if file.suffix != ".gz":
        return file.open("rb")
    return io.BufferedReader(Budget(gzip.open(file), 100 * file.stat().st_size + BLOCK, file))


def _read(file, **kwargs):
    pd = import_pandas("load_tcga")
    separator = "," if file.name.removesuffix(".gz").endswith(".csv") else "\t"
    try:
        with _opened(file) as content:
            table = pd.read_csv(content, sep=separator, index_col=0, low_memory=False, **kwargs)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{file} is no table that can be read: {error}") from error
    table.index = table.index.astype(str)
    return table


def _omics(file):
    """Read a table of features as patients by features, float32."""
    pd = import_pandas("load_tcga")
    top = _read(file, nrows=1, dtype=str)
    if top.empty:
        raise ValueError(f"{file} is an empty table.")
    first = top.iloc[0]
    headings = first.notna().all() and pd.to_numeric(first, errors="coerce").isna().all()
    table = _read(file, skiprows=[1] if headings else None)  # Firehose has two lines of them
    if not any(map(BARCODE.fullmatch, table.columns)):
        if not any(map(BARCODE.fullmatch, table.index)):
            raise ValueError(f"{file} names no samples such as TCGA-3C-AAAU-01, neither in its "
                             "first line nor in its first column.")
        table = table.T
    table = table.loc[:, [column for column in table.columns if _patient(column)]]
    try:
        table = table.astype(np.float32)
    except ValueError as error:
        raise ValueError(f"{file} holds values that are not numbers: {error}. Leave their rows "
                         "out.") from error
    table = table.T.sort_index()
    table.index = [_patient(sample) for sample in table.index]
    table = table[~table.index.duplicated()]  # the first vial of each patient
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise ValueError(f"{file} has the feature {twice!r} more than once.")
    return table


def _subtypes(file, label):
    """Read the subtype of each patient."""
    table = _read(file, dtype=str)
    if label not in table.columns:
        raise ValueError(f"{file} has no column {label!r}, but {', '.join(table.columns[:20])}.")
    y = table[label].dropna().sort_index()
    y = y[[bool(_patient(sample)) for sample in y.index]]
    if y.empty:
        raise ValueError(f"{file} gives no patient (such as TCGA-3C-AAAU) a {label}.")
    y.index = [_patient(sample) for sample in y.index]
    contradictory = y.groupby(level=0).nunique()
    if (contradictory > 1).any():
        raise ValueError(f"{file} gives {contradictory.idxmax()} more than one {label}.")
    return y[~y.index.duplicated()]


def _patient(sample):
    """Return the patient whose primary tumour a sample is; None if it is something else."""
    match = BARCODE.fullmatch(sample)
    return match[1] if match and match[2] in (None, PRIMARY_TUMOUR) else None
