"""Sounds and pictures of the same events: AVE, CREMA-D, RAVDESS and VGGSound.

Videos are not decoded here: one frame a second or so, and the sound, have to be extracted from them
first (ffmpeg does both), as the experiments published on these data do too.
"""

import csv
import re
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch
from torch.utils.data import Dataset

from cmkdlearn._validation import check_option
from cmkdlearn.datasets._lazy_files import ArrayFiles, FrameFiles, SoundFiles
from cmkdlearn.datasets._paths import images_in, inside, lines_of, required

MODALITIES = ("audio", "image")
CREMAD_EMOTIONS = {"NEU": "neutral", "HAP": "happy", "SAD": "sad", "FEA": "fear", "DIS": "disgust",
                   "ANG": "anger"}
CREMAD_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{2})")
RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
RAVDESS_NAME = re.compile(r"0[1-3]-(0[12]-0([1-8])-0([12])-0([12])-0([12])-([012]\d))")
RAVDESS_LISTS = {"train": "spa_dl.csv", "val": "spa_val.csv", "test": "spa_test.csv"}

AVE = """AVE: 4,143 videos of 10 seconds, each of one of 28 audio-visual events.
Y. Tian et al., "Audio-Visual Event Localization in Unconstrained Videos", ECCV 2018."""
CREMAD = """CREMA-D: 7,442 clips of 91 actors who speak 12 sentences in six emotions.
H. Cao et al., "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset", IEEE Transactions on
Affective Computing, 2014. Open Database License."""
RAVDESS = """RAVDESS: 24 actors who speak two sentences in eight emotions, 1,440 clips.
S. R. Livingstone, F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song",
PLoS ONE, 2018. CC BY-NC-SA 4.0."""
VGGSOUND = """VGGSound: some 200,000 clips of 10 seconds from YouTube, in 309 classes of sound.
H. Chen et al., "VGGSound: A Large-scale Audio-Visual Dataset", ICASSP 2020. CC BY 4.0."""


def load_ave(path, *, split="train", modalities=MODALITIES, image_folder="Image-01-FPS-SE",
             audio_folder="Audio-1004-SE", image_size=224, n_frames=1, frames="middle",
             sample_rate=16000, duration=None, transformer=None, skip_missing=False):
    """Read AVE, audio-visual events, in its published split.

    The lists of 50 classes of VGGSound in the code of [1]_ and [2]_ have the same form, and are
    read by this function too.

    Parameters
    ----------
    path : path-like
        The folder that holds ``trainSet.txt``, ``valSet.txt`` and ``testSet.txt`` as distributed,
        with lines ``Category&VideoID&Quality&StartTime&EndTime``, and what was extracted from the
        videos. A clip that a list has more than once counts the first time.
    split : {"train", "val", "test"}, default="train"
    modalities : sequence of {"audio", "image"}, default=("audio", "image")
        What to read.
    image_folder : str, default="Image-01-FPS-SE"
        Has a folder of frames for each ``VideoID``. The name is that in the code of [1]_.
    audio_folder : str, default="Audio-1004-SE"
        Has a ``VideoID.wav``, or an array ``VideoID.npy`` of shape (bands, frames), for each clip.
        The ``.pkl`` files of the code of [1]_ are pickles, and refused: save what is in them by
        ``numpy.save``.
    image_size : int, default=224
        Width and height in pixels: the middle square of each frame, resized.
    n_frames, frames
        How many frames of a clip, and which; see :class:`FrameFiles`.
    sample_rate, duration, transformer
        For WAV files; see :class:`SoundFiles`. Waveforms have 10 seconds by default.
    skip_missing : bool, default=False
        Leave out clips of which something is missing, rather than raise an error.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : dict of FrameFiles, SoundFiles or ArrayFiles
            By modality; read as they are asked for.
        y : ndarray of shape (n,), str
            Names of the events.
        class_names : ndarray of str
            Those in the list, sorted.
        names : list of str
            ``VideoID`` of each clip.
        interval : ndarray of shape (n, 2)
            When the event starts and ends, in seconds.
        skipped : list of str
            Names of the clips left out.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        Something is missing or malformed, with its path and what was expected.

    References
    ----------
    .. [1] T. K. Tran et al., "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026.
    .. [2] F. Huo et al., "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation",
       CVPR 2024.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_ave
    >>> train = load_ave("AVE_Dataset", audio_folder="wav", skip_missing=True)  # doctest: +SKIP
    """
    path = Path(path)
    check_option("split", split, ["train", "val", "test"])
    events: dict[str, tuple] = {}
    for place, line in lines_of(path / f"{split}Set.txt",
                                "AVE's list, lines of Category&VideoID&Quality&StartTime&EndTime"):
        try:
            category, name, _, start, end = line.split("&")
            interval = float(start), float(end)
        except ValueError:
            raise ValueError(f"{place} reads {line!r}; expected Category&VideoID&Quality&StartTime"
                             "&EndTime.") from None
        events.setdefault(name, (place, category, interval))
    clips = _clips(path, {name: event[0] for name, event in events.items()}, modalities,
                   image_folder, audio_folder, skip_missing)
    if duration is None and transformer is None:
        duration = 10.0
    X = clips.datasets(
        path, {"image_size": image_size, "n_frames": n_frames, "frames": frames},
        {"sample_rate": sample_rate, "duration": duration, "transformer": transformer})
    return Bunch(X=X, y=np.array([events[name][1] for name in clips.names]),
                 class_names=np.unique([event[1] for event in events.values()]),
                 interval=np.array([events[name][2] for name in clips.names]), names=clips.names,
                 skipped=clips.skipped, DESCR=AVE)


def load_cremad(path, *, split=None, modalities=MODALITIES, image_folder="Image-01-FPS",
                audio_folder="AudioWAV", image_size=224, n_frames=1, frames="middle",
                sample_rate=16000, duration=None, transformer=None, skip_missing=False):
    """Read CREMA-D, acted emotions.

    Parameters
    ----------
    path : path-like
        The folder that holds ``AudioWAV/1001_DFA_ANG_XX.wav`` and so on as distributed: actor,
        sentence, emotion and level.
    split : {None, "train", "test"}, default=None
        Read the clips in ``train.csv`` or ``test.csv``, lines such as ``1001_DFA_ANG_XX,ANG``,
        as published by [1]_. None takes all clips; ``actor`` divides them by speakers.
    modalities : sequence of {"audio", "image"}, default=("audio", "image")
        What to read.
    image_folder : str, default="Image-01-FPS"
        Has a folder of frames for each clip. The name is that in the code of [1]_.
    audio_folder : str, default="AudioWAV"
        Has a WAV file, or an array (.npy) of shape (bands, frames), for each clip.
    image_size : int, default=224
        Width and height in pixels: the middle square of each frame, resized.
    n_frames, frames
        How many frames of a clip, and which; see :class:`FrameFiles`.
    sample_rate, duration, transformer
        For WAV files; see :class:`SoundFiles`.
    skip_missing : bool, default=False
        Leave out clips of which something is missing, rather than raise an error.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : dict of FrameFiles, SoundFiles or ArrayFiles
            By modality; read as they are asked for.
        y : ndarray of shape (n,), str
            The emotion acted.
        class_names : ndarray of shape (6,), str
            Names of the classes.
        names : list of str
            Of the clips.
        actor : ndarray of shape (n,), int
            1001 to 1091.
        skipped : list of str
            Names of the clips left out.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        Something is missing or malformed, with its path and what was expected.

    References
    ----------
    .. [1] X. Peng et al., "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR
       2022.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_cremad
    >>> train = load_cremad("CREMA-D", split="train")  # doctest: +SKIP
    """
    path, listed = Path(path), {}
    if split is None:
        folder = required(path / audio_folder, "CREMA-D's recordings")
        for file in sorted(folder.iterdir()):
            if file.suffix in (".wav", ".npy"):
                _cremad_fields(file, file.stem)
                listed[file.stem] = file
        if not listed:
            raise FileNotFoundError(f"{folder} holds no recordings such as 1001_DFA_ANG_XX.wav.")
    else:
        check_option("split", split, ["train", "test"])
        for place, row in _rows(path / f"{split}.csv", "lines of clip,emotion"):
            if len(row) != 2 or row[1] != _cremad_fields(place, row[0])[2]:
                raise ValueError(f"{place} reads {','.join(row)!r}; expected a clip and its "
                                 "emotion, as in 1001_DFA_ANG_XX,ANG.")
            listed[row[0]] = place
    clips = _clips(path, listed, modalities, image_folder, audio_folder, skip_missing)
    X = clips.datasets(
        path, {"image_size": image_size, "n_frames": n_frames, "frames": frames},
        {"sample_rate": sample_rate, "duration": duration, "transformer": transformer})
    fields = [_cremad_fields(path, name) for name in clips.names]
    return Bunch(X=X, y=np.array([CREMAD_EMOTIONS[field[2]] for field in fields]),
                 class_names=np.array(list(CREMAD_EMOTIONS.values())),
                 actor=np.array([int(field[0]) for field in fields]), names=clips.names,
                 skipped=clips.skipped, DESCR=CREMAD)


def load_ravdess(path, *, split=None, modalities=MODALITIES, image_size=224, n_frames=1,
                 frames="middle", sample_rate=16000, duration=None, transformer=None,
                 skip_missing=False):
    """Read RAVDESS, emotional speech.

    There is no official split: divide the clips by ``actor``, or read the lists of [1]_.

    Parameters
    ----------
    path : path-like
        As distributed on Zenodo, with ``Actor_12/03-01-06-01-02-01-12.wav`` (modality, channel,
        emotion, intensity, statement, repetition, actor) somewhere below, and beside each
        recording a folder of the frames extracted from its video, with the video's name
        (``01-...`` or ``02-...``, without ``.mp4``). Or, for ``split``, as in the code of [1]_:
        ``data_file/spa_dl.csv``, ``spa_val.csv`` and ``spa_test.csv`` with lines
        ``audio,image,label``, which name files in ``aud_features`` (.npy, (bands, frames)) and
        ``vid_features``.
    split : {None, "train", "val", "test"}, default=None
        None reads all speech; the others the lists.
    modalities : sequence of {"audio", "image"}, default=("audio", "image")
        What to read: recordings (or arrays), and frames.
    image_size : int, default=224
        Width and height in pixels: the middle square of each frame, resized.
    n_frames, frames
        How many frames of a clip, and which; see :class:`FrameFiles`.
    sample_rate, duration, transformer
        For WAV files; see :class:`SoundFiles`.
    skip_missing : bool, default=False
        Leave out clips of which something is missing, rather than raise an error.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : dict of FrameFiles, SoundFiles or ArrayFiles
            By modality; read as they are asked for.
        y : ndarray of shape (n,), str
            Emotions; for ``split``, the labels of the list as they are.
        class_names : ndarray of str
            Names of the classes.
        names : list of str
            Of the clips (of their audio files).
        actor : ndarray of shape (n,), int
            1 to 24; not for ``split``.
        skipped : list of str
            Names of the clips left out.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        Something is missing or malformed, with its path and what was expected.

    References
    ----------
    .. [1] T. K. Tran et al., "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_ravdess
    >>> speech = load_ravdess("RAVDESS", modalities=["audio"])  # doctest: +SKIP
    """
    path = required(path, "RAVDESS's folder")
    _check_modalities(modalities)
    clips = _Clips(modalities, skip_missing)
    if split is None:
        parts = {}
        for file in sorted(path.rglob("*.wav")):
            match = RAVDESS_NAME.fullmatch(file.stem)
            if not match:
                raise ValueError(f"{file} is not named as RAVDESS's recordings are, as in "
                                 "03-01-06-01-02-01-12.wav.")
            if match[1].startswith("01"):  # speech, and not song
                parts[file.stem] = match
                clips.add(file.stem, {"audio": partial(required, file, "a recording"),
                                      "image": partial(_video_frames, file)})
        if not clips.names and not clips.skipped:
            raise FileNotFoundError(f"{path} holds no speech, such as 03-01-06-01-02-01-12.wav.")
        fields = [parts[name] for name in clips.names]
        labels = {"y": np.array([RAVDESS_EMOTIONS[int(field[2]) - 1] for field in fields]),
                  "class_names": np.array(RAVDESS_EMOTIONS),
                  "actor": np.array([int(field[6]) for field in fields])}
    else:
        check_option("split", split, list(RAVDESS_LISTS))
        y = {}
        for place, row in _rows(path / "data_file" / RAVDESS_LISTS[split],
                                "lines of audio,image,label"):
            if len(row) != 3 or not all(row):
                raise ValueError(f"{place} reads {','.join(row)!r}; expected audio,image,label.")
            audio, image = (inside(path / folder, name, place) for folder, name
                            in zip(("aud_features", "vid_features"), row, strict=False))
            y[row[0]] = row[2]
            clips.add(row[0], {"audio": partial(_sound, audio.parent, audio.stem),
                               "image": partial(_one_frame, image)})
        labels = {"y": np.array([y[name] for name in clips.names]),
                  "class_names": np.unique(list(y.values()))}
    X = clips.datasets(
        path, {"image_size": image_size, "n_frames": n_frames, "frames": frames},
        {"sample_rate": sample_rate, "duration": duration, "transformer": transformer})
    return Bunch(X=X, names=clips.names, skipped=clips.skipped, DESCR=RAVDESS, **labels)


def load_vggsound(path, *, split="train", classes=None, modalities=MODALITIES,
                  image_folder="Image-01-FPS", audio_folder="audio", image_size=224, n_frames=1,
                  frames="middle", sample_rate=16000, duration=None, transformer=None,
                  skip_missing=False):
    """Read VGGSound in its published split.

    Parameters
    ----------
    path : path-like
        The folder that holds ``vggsound.csv`` as distributed, with lines ``YouTube ID,start in
        seconds,label,train or test`` and no header, and what was extracted from the clips. A clip
        is called ``ID_000034``, its start being filled up to six digits, as in the authors' code.
    split : {"train", "test"}, default="train"
    classes : sequence of str, optional
        Labels to read; all 309 by default.
    modalities : sequence of {"audio", "image"}, default=("audio", "image")
        What to read.
    image_folder : str, default="Image-01-FPS"
        Has a folder of frames for each clip. The clips are distributed as videos, and the folders'
        names are this library's.
    audio_folder : str, default="audio"
        Has a WAV file, or an array (.npy) of shape (bands, frames), for each clip.
    image_size : int, default=224
        Width and height in pixels: the middle square of each frame, resized.
    n_frames, frames
        How many frames of a clip, and which; see :class:`FrameFiles`.
    sample_rate, duration, transformer
        For WAV files; see :class:`SoundFiles`. Waveforms have 10 seconds by default.
    skip_missing : bool, default=False
        Leave out clips of which something is missing, rather than raise an error. Many have gone
        from YouTube.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : dict of FrameFiles, SoundFiles or ArrayFiles
            By modality; read as they are asked for.
        y : ndarray of shape (n,), str
            Names of the classes.
        class_names : ndarray of str
            Those read, sorted.
        names : list of str
            Of the clips.
        skipped : list of str
            Names of the clips left out.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        Something is missing or malformed, with its path and what was expected.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_vggsound
    >>> birds = load_vggsound("VGGSound", classes=["chicken clucking", "duck quacking"],
    ...                       skip_missing=True)  # doctest: +SKIP
    """
    path = Path(path)
    check_option("split", split, ["train", "test"])
    label, listed = {}, {}
    for place, row in _rows(path / "vggsound.csv", "VGGSound's list"):
        if len(row) != 4 or not row[1].isdecimal() or row[3] not in ("train", "test"):
            raise ValueError(f"{place} reads {','.join(row)!r}; expected ID,start,label,train or "
                             "test.")
        if row[3] == split:
            name = f"{row[0]}_{int(row[1]):06d}"
            label[name], listed[name] = row[2], place
    known = np.unique(list(label.values())).tolist()
    for wanted in classes or ():
        check_option("classes", wanted, known)
    if classes is not None:
        listed = {name: place for name, place in listed.items() if label[name] in classes}
    clips = _clips(path, listed, modalities, image_folder, audio_folder, skip_missing)
    if duration is None and transformer is None:
        duration = 10.0
    X = clips.datasets(
        path, {"image_size": image_size, "n_frames": n_frames, "frames": frames},
        {"sample_rate": sample_rate, "duration": duration, "transformer": transformer})
    return Bunch(X=X, y=np.array([label[name] for name in clips.names]),
                 class_names=np.array(known if classes is None else sorted(classes)),
                 names=clips.names, skipped=clips.skipped, DESCR=VGGSOUND)


class _Clips:
    """The files of each clip, by modality."""

    def __init__(self, modalities, skip_missing):
        self.skip_missing = skip_missing
        self.names, self.skipped = [], []
        self.files: dict[str, list] = {name: [] for name in modalities}

    def add(self, name, find):
        """Add a clip; ``find`` says where its files are, by modality."""
        try:
            found = {modality: find[modality]() for modality in self.files}
        except FileNotFoundError as error:
            if not self.skip_missing:
                raise FileNotFoundError(f"{error} Pass skip_missing=True to leave such clips "
                                        "out.") from None
            self.skipped.append(name)
            return
        self.names.append(name)
        for modality, file in found.items():
            self.files[modality].append(file)

    def datasets(self, path, images, sounds):
        """Return what reads the files, by modality; its parameters for either are dicts."""
        if not self.names:
            raise FileNotFoundError(f"{path} holds none of the {len(self.skipped)} clips listed, "
                                    f"such as {', '.join(self.skipped[:1])}.")
        X: dict[str, Dataset] = {}
        for modality, files in self.files.items():
            if modality == "image":
                X[modality] = FrameFiles(files, **images)
                continue
            kinds = {file.suffix for file in files}
            if len(kinds) > 1:
                raise ValueError(f"{files[0].parent} mixes {' and '.join(sorted(kinds))} files; "
                                 "give it one kind.")
            X[modality] = (ArrayFiles(files, spectrograms=True) if kinds == {".npy"}
                           else SoundFiles(files, **sounds))
        return X


def _clips(path, listed, modalities, image_folder, audio_folder, skip_missing):
    """Find the clips that a list names; ``listed`` maps each name to its place in there."""
    _check_modalities(modalities)
    folders = {"audio": path / audio_folder, "image": path / image_folder}
    for modality in modalities:
        required(folders[modality], f"what was extracted from the clips ({modality})")
    clips = _Clips(modalities, skip_missing)
    for name, place in listed.items():
        clips.add(name, {
            "audio": partial(_sound, folders["audio"], name),
            "image": partial(_frames_in, inside(folders["image"], name, place))})
    return clips


def _check_modalities(modalities):
    if isinstance(modalities, str) or not len(modalities):
        raise ValueError(f"modalities={modalities!r} must be a list of "
                         f"{' or '.join(map(repr, MODALITIES))}, or both.")
    for modality in modalities:
        check_option("modalities", modality, MODALITIES)


def _sound(folder, name):
    for suffix in (".wav", ".npy"):
        if (folder / f"{name}{suffix}").exists():
            return folder / f"{name}{suffix}"
    pickled = folder / f"{name}.pkl"
    if pickled.exists():
        raise ValueError(f"{pickled} is a pickle, which could run code when it is read. If you "
                         "trust it, load it yourself and write the array by numpy.save.")
    raise FileNotFoundError(f"{folder / name}.wav is missing: expected the sound of the clip, or "
                            "an array .npy in its place.")


def _frames_in(folder):
    """Return the frames of a clip, in the order of the numbers in their names."""
    frames = images_in(required(folder, "a folder with the frames of the clip"))
    if not frames:
        raise FileNotFoundError(f"{folder} holds no frames (.jpg or .png).")
    frames.sort(key=lambda file: [int(part) if part.isdecimal() else part
                                  for part in re.split(r"(\d+)", file.name)])
    return frames


def _one_frame(image):
    return [required(image, "a frame of the clip")]


def _video_frames(recording):
    """Return the frames of the video that belongs to one of RAVDESS's recordings."""
    for kind in ("01", "02"):  # with sound, and without
        folder = recording.with_name(kind + recording.stem[2:])
        if folder.exists():
            return _frames_in(folder)
    raise FileNotFoundError(f"{folder.with_name('01' + recording.stem[2:])} is missing: expected "
                            "a folder with the frames of the video.")


def _cremad_fields(source, name):
    match = CREMAD_NAME.fullmatch(name)
    if not match or match[3] not in CREMAD_EMOTIONS:
        raise ValueError(f"{source} is not named, or names no clip, as in 1001_DFA_ANG_XX (actor, "
                         f"sentence, one of {', '.join(CREMAD_EMOTIONS)}, level).")
    return match.groups()


def _rows(path, expected):
    for place, line in lines_of(path, expected):
        yield place, next(csv.reader([line]))
