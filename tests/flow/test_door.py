"""What cannot be used is refused in one sentence that names it, and nothing is changed by that."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

import bayesesi
from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator, Sensors
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import observe, read_recording

Array = NDArray[np.float64]

NAMES = tuple("Fp1 Fp2 F3 Fz F4 C3 Cz C4 P3 Pz P4 Oz".split())
C = len(NAMES)
SFREQ = 250.0
HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "long": "x" * 10_000,
    "right to left": "‮evil gpj.exe",
    "lines": "one\ntwo\r\nthree",
    "empty": "",
}


def a_forward(kind: str = "eeg", names: tuple[str, ...] = NAMES) -> ForwardOperator:
    space = template_source_space(1)
    leadfield = 100 * np.random.default_rng(0).standard_normal((len(names), space.n_sources))
    sensors = Sensors(names, (kind,) * len(names), np.full((len(names), 3), np.nan))
    return ForwardOperator(leadfield, space, sensors=sensors)


def a_matrix() -> Array:
    x = np.random.default_rng(1).standard_normal((C, 50))
    return x @ x.T / 50 * 1e-12


def a_covariance(names: tuple[str, ...] = NAMES) -> NoiseCovariance:
    return NoiseCovariance(a_matrix(), names)


def an_evoked(comment: str = "spike", kind: str = "eeg") -> mne.Evoked:
    info = mne.create_info(list(NAMES), SFREQ, kind)
    noise = np.linalg.cholesky(a_matrix()) @ np.random.default_rng(2).standard_normal((C, 150))
    if kind != "eeg":
        noise *= 1e-6
    return mne.EvokedArray(noise, info, tmin=-0.2, nave=1, comment=comment)


def changed(change: Callable[[mne.Evoked], Any]) -> mne.Evoked:
    evoked = an_evoked()
    change(evoked)
    return evoked


def _set(row: Any, value: Any) -> Callable[[mne.Evoked], None]:
    def change(evoked: mne.Evoked) -> None:
        evoked.data[row] = value

    return change


def one_sentence(error: pytest.ExceptionInfo[InputError]) -> None:
    """Short, on one line, without control characters, and not a bare word."""
    says = str(error.value)
    assert 20 < len(says) < 420, says
    assert says.isprintable(), says
    assert " " in says


def snapshot(value: Any) -> Any:
    """What a refused call must leave alone."""
    if isinstance(value, mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw):
        data = value.data if isinstance(value, mne.Evoked) else value.get_data(verbose="error")
        return data.copy(), copy.deepcopy(dict(value.info)["bads"]), list(value.ch_names)
    if isinstance(value, NoiseCovariance):
        return value.matrix.copy()
    if isinstance(value, np.ndarray):
        return value.copy()
    return [snapshot(v) for v in value] if isinstance(value, list) else None


def refused(says: str, *arguments: Any, **options: Any) -> None:
    before = [snapshot(a) for a in arguments]
    with pytest.raises(InputError, match=says) as error:
        observe(*arguments, **options)
    one_sentence(error)
    for a, b in zip(arguments, before, strict=True):
        np.testing.assert_equal(snapshot(a), b)


def test_the_examples_below_are_good_until_they_are_spoilt() -> None:
    """The twin of every refusal: unspoilt, each of these passes."""
    for data, options in (
        (an_evoked(), {}),
        (an_evoked(), dict(tmin=0.0, tmax=0.1, baseline=(None, 0), bads=["Fz"])),
        (an_evoked().data, dict(sfreq=SFREQ, nave=3, ch_names=NAMES)),
        (an_evoked().data.astype(np.float32), dict(sfreq=250)),
        ((an_evoked().data * 1e9).astype(int), dict(sfreq=SFREQ, scale="unknown")),
        (an_evoked().data[:, 70], {}),
        (mne.io.RawArray(an_evoked().data, an_evoked().info, verbose="error"), {}),
    ):
        obs = observe(data, a_forward(), a_covariance(), **options)
        assert np.isfinite(obs.values).all()
    for noise in ("baseline", "adhoc"):
        assert observe(an_evoked(), a_forward(), noise, tmin=0.0).values.size


# The recording

RECORDINGS: dict[str, tuple[Any, str]] = {
    "a channel the forward lacks": (
        changed(lambda e: e.rename_channels({"Cz": "Cz-old"})),
        "channel 'Cz-old' is not in the forward model, which has 'Fp1'.*rename",
    ),
    "a channel with a hostile name": (
        changed(lambda e: e.rename_channels({"Cz": HOSTILE["right to left"]})),
        r"channel '\\u202eevil gpj.exe' is not in the forward",
    ),
    "microvolts": (changed(lambda e: e.data.__imul__(1e6)), "reach .* V.*divide by 1e6.*unknown"),
    "millivolts of an amplifier's offset": (
        changed(lambda e: e.data.__iadd__(0.03)),
        "stand off zero by 0.03 V and move by only .*filter",
    ),
    "NaN": (changed(_set(3, np.nan)), r"channel 'Fz' has values that are not finite; .*bads"),
    "infinite": (changed(_set((2, 5), np.inf)), "channel 'F3' has values that are not finite"),
    "flat": (changed(_set(4, 0.0)), "channel 'F4' is flat; mark it as bad"),
    "constant": (changed(_set([4, 5], 2e-6)), "channel 'F4', 'C3' is flat"),
    "of complex numbers": (
        mne.EvokedArray(an_evoked().data + 1j, an_evoked().info),
        "the evoked must hold real numbers, not complex128",
    ),
    "a standard error": (changed(lambda e: setattr(e, "kind", "standard_error")), "standard error"),
    "averaged over nothing": (changed(lambda e: setattr(e, "nave", 0)), "evoked.nave.*not '0'"),
    "every channel bad": (
        changed(lambda e: e.info.__setitem__("bads", list(NAMES))),
        "no good EEG or MEG channel",
    ),
    "other kinds of channels": (an_evoked(kind="misc"), "no good EEG or MEG channel"),
    "MEG": (an_evoked(kind="mag"), "has 'mag' channels, the forward model 'eeg'.*same kind"),
    "one EEG channel": (an_evoked().pick(["Cz"]), "1 EEG channel leaves nothing"),
    "nothing": (None, "not NoneType"),
    "a file name": ("spike-ave.fif", "not str.*read_recording"),
    "a path": (Path("spike-ave.fif"), "not .*Path"),
    "a number": (np.float64(3), "not float64"),
    "a covariance": (mne.make_ad_hoc_cov(an_evoked().info, verbose="error"), "not Covariance"),
    "what read_evokeds gives": ([an_evoked()], "not list; give one of the list"),
    "a dictionary": ({"data": an_evoked()}, "not dict"),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings(name: str) -> None:
    data, says = RECORDINGS[name]
    refused(says, data, a_forward(), a_covariance())


def test_no_epochs() -> None:
    epochs = mne.EpochsArray(np.zeros((1, C, 20)), an_evoked().info, verbose="error")[:0]
    refused("no epochs are left", epochs, a_forward(), a_covariance())


def test_a_forward_of_another_kind() -> None:
    refused(
        "has 'eeg' channels, the forward model 'mag'", an_evoked(), a_forward("mag"), a_covariance()
    )


GOOD = an_evoked().data
ARRAYS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "complex": (GOOD.astype(complex), {}, "the data must hold real numbers, not complex128"),
    "objects": (GOOD.astype(object), {}, "real numbers, not object"),
    "strings": (GOOD.astype(str), {}, "real numbers, not <U"),
    "truth values": (GOOD > 0, {}, "real numbers, not bool"),
    "rows of different lengths": ([[1e-6], [1e-6, 2e-6]], {}, "real numbers"),
    "time by channel": (GOOD.T, {}, r"shape \(150, 12\); for 12 channels.*\(12, n_times\)"),
    "three axes": (GOOD[None], {}, r"shape \(1, 12, 150\)"),
    "no samples": (GOOD[:, :0], {}, r"shape \(12, 0\)"),
    "NaN": (np.where(np.arange(150) == 9, np.nan, GOOD), {}, "'Fp1', 'Fp2', .* and 7 more"),
    "microvolts": (GOOD * 1e6, {}, "divide by 1e6"),
    "no rate": (GOOD, dict(sfreq=None), "needs sfreq, the sampling rate in Hz"),
    "a rate below zero": (GOOD, dict(sfreq=-250), "sfreq.*positive number, not '-250'"),
    "no number as rate": (GOOD, dict(sfreq=np.nan), "sfreq.*not 'nan'"),
    "an endless rate": (GOOD, dict(sfreq=np.inf), "sfreq.*not 'inf'"),
    "a rate in words": (GOOD, dict(sfreq="250 Hz"), "sfreq.*not '250 Hz'"),
    "averaged over nothing": (GOOD, dict(nave=0), "nave.*not '0'"),
    "averaged in words": (GOOD, dict(nave="many"), "nave.*not 'many'"),
    "too few names": (GOOD, dict(ch_names=NAMES[:-1]), r"shape \(12, 150\); for 11 channels"),
    "names in one string": (GOOD, dict(ch_names="Cz Pz"), "not one string"),
    "a name twice": (GOOD, dict(ch_names=[*NAMES[:-1], "Fp1"]), "'Fp1' occur twice"),
    "numbers as names": (GOOD, dict(ch_names=range(C)), "channel '0', .*not in the forward"),
    "hostile names": (GOOD, dict(ch_names=["y" * 9999, *NAMES[1:]]), f"channel '{'y' * 40}' is"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str) -> None:
    data, options, says = ARRAYS[name]
    refused(says, data, a_forward(), a_covariance(), **{"sfreq": SFREQ, **options})


@pytest.mark.parametrize("option", [dict(sfreq=250.0), dict(nave=3), dict(ch_names=NAMES)])
def test_what_a_recording_says_itself_is_not_said_twice(option: dict[str, Any]) -> None:
    refused(f"'{next(iter(option))}' belongs to an array", an_evoked(), a_forward(), **option)


# The forward and the noise


@pytest.mark.parametrize("forward", [None, "template", np.zeros((C, 84)), {"leadfield": 1}])
def test_forwards(forward: Any) -> None:
    refused("ForwardOperator.*template_forward", an_evoked(), forward, a_covariance())


def _covariance(matrix: Array, names: tuple[str, ...] = NAMES) -> mne.Covariance:
    return mne.Covariance(matrix, list(names), [], [], nfree=50)


def _matrix(*index: int, value: float) -> Array:
    matrix = a_matrix()
    matrix[index] = value
    return matrix


def _without_one_direction(matrix: Array) -> Array:
    """Of those that the average reference leaves, and not the weakest."""
    gone = np.sin(np.arange(C)) - np.sin(np.arange(C)).mean()
    rest = np.eye(C) - np.outer(gone, gone) / (gone @ gone)
    return rest @ matrix @ rest


NOISES: dict[str, tuple[Any, str]] = {
    "none": (None, r"no noise covariance; give noise_cov=mne.compute_covariance.*'baseline'"),
    "a word": ("auto", "noise_cov is a covariance, 'baseline' or 'adhoc', not 'auto'"),
    "a long word": ("z" * 9999, f"not '{'z' * 40}'"),
    "a matrix": (a_matrix(), "noise_cov is a NoiseCovariance.*not ndarray"),
    "a path": (Path("x-cov.fif"), "noise_cov is.*not .*Path"),
    "a number": (1e-12, "not float"),
    "a list": ([a_covariance()], "not list"),
    "of other channels": (
        _covariance(a_matrix(), ("A1", "A2", *NAMES[2:])),
        "noise covariance has no channel 'Fp1', 'Fp2'; compute it from the same channels",
    ),
    "of another rank": (
        _covariance(_without_one_direction(a_matrix())),
        "has rank 10, the recording 11, and .*% of its power",
    ),
    "of NaN": (_covariance(_matrix(1, 1, value=np.nan)), "not finite"),
    "of negative variance": (_covariance(_matrix(1, 1, value=-1e-12)), "negative variances"),
    "not symmetric": (_covariance(_matrix(1, 2, value=1e-11)), "not symmetric"),
    "of nothing": (_covariance(np.zeros((C, C))), "eeg channels is zero"),
    "complex": (_covariance(a_matrix().astype(complex)), "real numbers"),
}


@pytest.mark.parametrize("name", NOISES)
def test_noise(name: str) -> None:
    noise, says = NOISES[name]
    refused(says, an_evoked(), a_forward(), noise)


def test_a_baseline_that_is_not_there() -> None:
    says = "has 0 samples before time 0 and before the window.*'adhoc'"
    refused(says, an_evoked(), a_forward(), "baseline", tmin=-0.2)
    refused(says, an_evoked().data, a_forward(), "baseline", sfreq=SFREQ, tmin=0.2)


# The options

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a window before": (dict(tmin=-3, tmax=-2), "window -3 to -2 s holds no sample.*-0.2 to 0.396"),
    "a window after": (dict(tmin=5, tmax=6), "window 5 to 6 s holds no sample"),
    "a window too long": (dict(tmin=0, tmax=3), "window 0 to 3 s reaches beyond.*shorten it"),
    "a window in ms": (dict(tmin=80, tmax=120), "window 80 to 120 s"),
    "a window reversed": (dict(tmin=0.1, tmax=0.05), "window goes from 0.1 back to 0.05 s"),
    "a NaN start": (dict(tmin=np.nan), "window is given in s, as a number or None, not as 'nan'"),
    "an endless end": (dict(tmax=np.inf), "window is given in s.*not as 'inf'"),
    "a start in words": (dict(tmin="80 ms"), "window is given in s.*not as '80 ms'"),
    "two starts": (dict(tmin=[0.1, 0.2]), r"window is given in s.*'\[0.1, 0.2\]'"),
    "a baseline outside": (dict(baseline=(-2, -1)), "baseline -2 to -1 s holds no sample"),
    "a baseline too long": (dict(baseline=(-2, 0)), "baseline -2 to 0 s reaches beyond"),
    "a baseline reversed": (dict(baseline=(0, -0.1)), "baseline goes from 0 back to -0.1 s"),
    "a baseline of one end": (dict(baseline=(None,)), r"baseline is \(start, stop\) in s or None"),
    "a baseline in words": (dict(baseline="pre"), r"baseline is .* not 'pre'"),
    "words in a baseline": (dict(baseline=("a", 0)), "baseline is given in s.*'a'"),
    "a number as baseline": (dict(baseline=0), "baseline is .* not '0'"),
    "a scale": (dict(scale="uV"), "scale is 'known' or 'unknown', not 'uV'"),
    "a number as scale": (dict(scale=1e6), "scale is 'known' or 'unknown'"),
    "a list as scale": (dict(scale=["known"]), "scale is 'known' or 'unknown'"),
    "a time basis": (dict(time_basis="svd"), "time_basis is one of dct.*not 'svd'"),
    "no time basis": (dict(time_basis=None), "the time basis must hold real numbers"),
    "a short time basis": (dict(time_basis=np.ones((9, 1))), r"shape \(9, 1\).*\(150, R\)"),
    "no functions": (dict(fmax=0), "fmax, in Hz, is a positive number, not '0'"),
    "negative functions": (dict(fmax=-4.0), "fmax.*not '-4.0'"),
    "fmax in words": (dict(fmax="40"), "fmax.*not '40'"),
    "an autocorrelation": (dict(autocorrelation="pink"), "'auto', 'white' or an array, not 'pink'"),
    "no autocorrelation": (dict(autocorrelation=None), "autocorrelation must hold real numbers"),
    "a covariance in time": (dict(autocorrelation=np.eye(3)), r"r\(lag\) in samples"),
    "not 1 at lag 0": (dict(autocorrelation=[2.0, 1.0]), r"with r\(0\) = 1"),
    "of no noise": (
        dict(autocorrelation=[1.0, -0.9], time_basis="samples"),
        "not that of any noise",
    ),
    "an unknown bad": (dict(bads=["Cz", "T99"]), "bad channel 'T99' is not in the recording"),
    "bads in a string": (dict(bads="Cz"), "bads is a list of channel names, not 'Cz'"),
    "numbers as bads": (dict(bads=[3]), "bads is a list of channel names"),
    "all bad": (dict(bads=NAMES), "every channel of the recording is marked as bad"),
    "no list of bads": (dict(bads=None), "bads is a list of channel names, not 'None'"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name: str) -> None:
    options, says = OPTIONS[name]
    refused(says, an_evoked(), a_forward(), a_covariance(), **options)


def test_windows_that_are_no_event() -> None:
    """A dense covariance over a whole recording would fill the memory."""
    hour = np.tile(an_evoked().data, 40)
    says = r"window 0 to 23.996 s holds 6000 samples, more than the 5000 of an event"
    refused(says, hour, a_forward(), a_covariance(), sfreq=SFREQ)
    says = says.replace("window", "baseline")
    more: dict[str, Any] = dict(sfreq=SFREQ, tmin=1, tmax=1.2)
    refused(says, hour, a_forward(), a_covariance(), baseline=(None, None), **more)
    observe(hour, a_forward(), a_covariance(), **more)


def test_a_filter_band_without_frequencies() -> None:
    evoked = an_evoked()
    with evoked.info._unlock():
        evoked.info["highpass"], evoked.info["lowpass"] = 30.0, 10.0
    refused("between 30 and 10 Hz", evoked, a_forward(), a_covariance())


def test_unknown_options_are_errors() -> None:
    with pytest.raises(TypeError, match="t_min"):
        observe(an_evoked(), a_forward(), a_covariance(), t_min=0)  # type: ignore[call-arg]


@pytest.mark.parametrize("window", [dict(tmin=0.05, tmax=0.1), {}])
def test_a_standing_offset(window: dict[str, Any]) -> None:
    """20 µV here and there, on noise of 1 µV; with a baseline, or spread over time, it is none."""
    offset = 20e-6 * np.random.default_rng(5).standard_normal((C, 1))
    evoked = changed(lambda e: e.data.__iadd__(offset))
    refused(
        r"stand off zero by \d+ times.*baseline=", evoked, a_forward(), a_covariance(), **window
    )
    observe(evoked, a_forward(), a_covariance(), baseline=(None, 0), **window)
    raw = mne.io.RawArray(evoked.data, evoked.info, verbose="error")
    refused(r"stand off zero by \d+ times", raw, a_forward(), a_covariance())
    slow = changed(lambda e: e.data.__iadd__(offset * np.sin(2 * np.pi * 5 * e.times)))
    observe(slow, a_forward(), a_covariance(), **window)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_conditions_are_text(name: str) -> None:
    """They travel as text, and no message repeats more than 40 characters of them."""
    obs = observe(an_evoked(HOSTILE[name]), a_forward(), a_covariance())
    assert obs.provenance["condition"] == HOSTILE[name] == obs.recording.name


# Files


def saved(path: Path, *comments: str) -> Path:
    mne.write_evokeds(path, [an_evoked(c) for c in comments], verbose="error")
    return path


def test_files_are_read(tmp_path: Path) -> None:
    one = saved(tmp_path / "one-ave.fif", "spike")
    several = saved(tmp_path / "several-ave.fif", "left", "right")
    assert read_recording(one).comment == "spike"
    assert read_recording(str(several), "right").comment == "right"
    assert read_recording(several, 0).comment == "left"
    raw = mne.io.RawArray(an_evoked().data, an_evoked().info, verbose="error")
    raw.save(tmp_path / "x_raw.fif", verbose="error")
    assert isinstance(read_recording(tmp_path / "x_raw.fif"), mne.io.BaseRaw)
    events = np.array([[0, 0, 1], [200, 0, 2]])
    epochs = mne.EpochsArray(
        np.stack([an_evoked().data] * 2),
        an_evoked().info,
        events,
        event_id=dict(a=1, b=2),
        verbose="error",
    )
    epochs.save(tmp_path / "x-epo.fif", verbose="error")
    assert len(read_recording(tmp_path / "x-epo.fif")) == 2
    assert len(read_recording(tmp_path / "x-epo.fif", "b")) == 1
    for path, condition, says in (
        (several, None, r"several-ave.fif holds several averages; choose .*'left', 'right'"),
        (several, "middle", r"has no condition 'middle'; allowed are 'left', 'right'"),
        (several, 2, "has no condition '2'"),
        (several, -1, "has no condition '-1'"),
        (several, ["left"], "has no condition"),
        (tmp_path / "x-epo.fif", "c", r"x-epo.fif has no condition 'c'; allowed are 'a', 'b'"),
        (tmp_path / "x-epo.fif", 0, r"x-epo.fif has no condition '0'"),
        (tmp_path / "x_raw.fif", "a", "x_raw.fif is continuous"),
    ):
        with pytest.raises(InputError, match=says) as error:
            read_recording(path, condition)  # type: ignore[arg-type]
        one_sentence(error)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_conditions_in_files(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "x-ave.fif", HOSTILE[name], "other")
    for condition in (None, "not there", HOSTILE[name] * 2 + "?"):
        with pytest.raises(InputError) as error:
            read_recording(path, condition)
        one_sentence(error)
        assert "x" * 41 not in str(error.value)


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _cut(path: Path) -> None:
    whole = saved(path.with_name("whole-ave.fif"), "spike").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _path: None, "is not a file; give an -ave.fif"),
    "a folder": (Path.mkdir, "is not a file"),
    "empty": (Path.touch, "is empty"),
    "text": (_write(b"time,Fz,Cz\n0,1,2\n" * 100), "is not a readable FIF recording"),
    "another format": (_write(b"0       " + bytes(4000)), "is not a readable FIF recording"),
    "noise": (_write(np.random.default_rng(0).bytes(5000)), "is not a readable FIF recording"),
    "cut short": (_cut, "is not a readable FIF recording"),
    "without an average": (
        lambda path: mne.make_ad_hoc_cov(an_evoked().info, verbose="error").save(
            path, verbose="error"
        ),
        "is not a readable FIF recording",
    ),
}


@pytest.mark.parametrize("end", ["-ave.fif", "-epo.fif", "_raw.fif", ".fif"])
@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str, end: str) -> None:
    path, (make, says) = tmp_path / f"sub-01{end}", FILES[name]
    make(path)
    with pytest.raises(InputError, match=f"^{re.escape(path.name)} {says}") as error:
        read_recording(path)
    one_sentence(error)


@pytest.mark.parametrize("path", [None, 5, b"x-ave.fif", ["x-ave.fif"], an_evoked()])
def test_paths(path: Any) -> None:
    with pytest.raises(InputError, match="named by its path, not by"):
        read_recording(path)


def test_the_public_names_are_these() -> None:
    assert bayesesi.observe is observe
    assert bayesesi.read_recording is read_recording
    assert issubclass(bayesesi.InputError, ValueError)
