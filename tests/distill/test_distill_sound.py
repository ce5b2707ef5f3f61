"""Sound: .wav files of every kind, the integer front end against a Fourier transform, both layouts, bad files."""

from __future__ import annotations

import contextlib
import random
import struct
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from seamount.distill.config import DataConfig
from seamount.distill.data import Data, load_data
from seamount.distill.data.augment import augment, crop, gain, time_shift
from seamount.distill.data.bands import Bands, crossings, energies, log2
from seamount.distill.data.wav import read_wav
from seamount.errors import ConfigError, InputError

FSDD = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "fsdd" / "fsdd.zip"

RATE, T = 8000, 6
SECONDS = 0.15
"""What six steps of 25 ms hear."""


def a_tone(hz: float, seconds: float = SECONDS, loud: float = 0.5, rate: int = RATE) -> np.ndarray:
    return np.rint(32767 * loud * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("<i2")


def write_wav(path: Path, values: bytes, *, width: int = 2, channels: int = 1, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(values)
    return path


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """As the Free Spoken Digit Dataset lies: ten digits, two speakers, takes 3 to 7; a digit is a tone."""
    for digit in range(10):
        for n, speaker in enumerate(("ann", "bob")):
            for take in range(3, 8):
                tone = a_tone(300 + 300 * digit + 10 * take, loud=0.1 + 0.4 * n)
                write_wav(tmp_path / "recordings" / f"{digit}_{speaker}_{take}.wav", tone.tobytes())
    return tmp_path


def loaded(root: Path, name: str = "fsdd", **settings: object) -> Data:
    return load_data(DataConfig(name=name, root=str(root), augment=(), **settings), n_steps=T)


def message(root: Path, name: str = "fsdd", **settings: object) -> str:
    with pytest.raises((InputError, ConfigError)) as error:
        loaded(root, name, **settings)
    return str(error.value)


# ------------------------------------------------------------------------------------------------------ .wav


def test_values_of_all_widths_are_read_as_their_upper_16_bits(tmp_path: Path) -> None:
    values = np.array([0, 1, -1, 256, -32768, 32767], dtype=np.int64)
    wide = {
        1: ((values >> 8) + 128).astype(np.uint8).tobytes(),
        2: values.astype("<i2").tobytes(),
        3: b"".join(int(v * 256 + 7).to_bytes(3, "little", signed=True) for v in values),
        4: (values * 65536 + 70).astype("<i4").tobytes(),
    }
    for width, raw in wide.items():
        path = write_wav(tmp_path / f"{width}.wav", raw, width=width)
        expected = values & ~255 if width == 1 else values
        assert read_wav(path, RATE, 10, cut=False).tolist() == expected.tolist()
    assert read_wav(tmp_path / "2.wav", RATE, 4, cut=True).tolist() == values[:4].tolist()


def header(kind: int, bits: int, *, channels: int = 1, claimed: int = 8) -> bytes:
    layout = struct.pack("<HHIIHH", kind, channels, RATE, RATE * bits // 8, bits // 8, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", claimed)
    return b"RIFF" + struct.pack("<I", len(body) + 8) + body


CONVERT = "convert it, as `ffmpeg -i IN -ac 1 -c:a pcm_s16le OUT`"
PCM = f"needed are whole numbers (PCM) of 8 to 32 bits; {CONVERT}"
BAD = {
    "text": (b"Hello, this is no sound.", "not a readable .wav file (file does not start with RIFF id)"),
    "ends": (header(1, 16)[:30], "not a readable .wav file (it ends too early)"),
    "float": (header(3, 32) + bytes(8), f"sound of format 3, real numbers, {PCM}"),
    "mu-law": (header(7, 8) + bytes(8), f"sound of format 7, mu-law, {PCM}"),
    "five bytes": (header(1, 40, claimed=5) + bytes(5), f"40 bits a value, {PCM}"),
    "cut off": (header(1, 16, claimed=1000) + bytes(8), "4 values, its head says 500; fetch it again"),
    "boast": (header(1, 16, claimed=2**32 - 1) + bytes(8), "4 values, its head says 2147483647; fetch it again"),
    "turned": (b"RIFX" + header(1, 16)[4:], f"sound of the form RIFX, the highest byte first; {CONVERT}"),
    "no channel": (
        header(1, 16)[:22] + bytes(2) + header(1, 16)[24:],
        "not a readable .wav file (bad # of channels)",
    ),
    "silent": (header(1, 16, claimed=0), "no sound in it"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_sound_of_whole_numbers_is_named(kind: str, tmp_path: Path) -> None:
    content, told = BAD[kind]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_wav(path, RATE, 100, cut=False)
    assert str(error.value) == f"{path}: {told}"


def test_other_rates_stereo_and_long_recordings_are_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    told = {}
    for name, settings in {"rate": {"rate": 16000}, "stereo": {"channels": 2}, "long": {}}.items():
        write_wav(path, bytes(2000), **settings)
        with pytest.raises(InputError) as error:
            read_wav(path, RATE, 800, cut=False)
        told[name] = str(error.value).removeprefix(f"{path}: ")
    assert told == {
        "rate": "16000 values a second, data.sample_rate is 8000; "
        "set data.sample_rate, if all recordings have it; or convert it",
        "stereo": "2 channels, needed is one; convert it, as `ffmpeg -i IN -ac 1 -c:a pcm_s16le OUT`",
        "long": "0.12 s, the steps hear 0.10 s; "
        "set data.cut_longer = true; or more steps, student.n_steps; or longer ones, data.step_s",
    }


def test_a_damaged_file_raises_an_input_error_and_nothing_else(tmp_path: Path) -> None:
    good = write_wav(tmp_path / "a.wav", a_tone(500).tobytes()).read_bytes()
    draw = random.Random(0)
    for _ in range(200):
        raw = bytearray(good[: draw.choice((len(good), draw.randrange(60)))])
        for _ in range(draw.randrange(4) if raw else 0):
            raw[draw.randrange(min(44, len(raw)))] = draw.randrange(256)
        (tmp_path / "b.wav").write_bytes(raw)
        with contextlib.suppress(InputError):
            assert len(read_wav(tmp_path / "b.wav", RATE, 4000, cut=True))


@pytest.mark.shared
@pytest.mark.skipif(not FSDD.exists(), reason="the data set is not beside the checkout")
def test_real_recordings_are_read_as_scipy_reads_them(tmp_path: Path) -> None:
    bands = Bands(RATE, 200, 32)
    with zipfile.ZipFile(FSDD) as packed:
        for name in packed.namelist()[::300]:
            path = Path(packed.extract(name, tmp_path))
            rate, values = wavfile.read(path)
            found = read_wav(path, rate, len(values), cut=False)
            assert np.array_equal(found, values)
            frames = energies(found, bands, 40)
            heard = -(-len(values) // bands.hop)  # steps that begin before its end
            assert frames[: min(heard, 40)].any(1).mean() > 0.9
            assert not frames[heard:].any()


# ------------------------------------------------------------------------------------------------- front end


def test_the_logarithm_is_exact_at_powers_of_two_and_near_between() -> None:
    assert log2(np.array([0, 1, 2, 4, 1 << 40, 1 << 62])).tolist() == [0, 0, 16, 32, 640, 992]
    e = np.random.default_rng(0).integers(1, 1 << 62, 1000) >> np.random.default_rng(1).integers(0, 50, 1000)
    e = np.maximum(e, 1)
    assert np.abs(log2(e) - 16 * np.log2(e)).max() < 2.4  # straight: 1.4 too low at most, rounded down another


def test_energies_are_those_of_a_fourier_transform() -> None:
    bands = Bands(RATE, 200, 32)
    x = np.random.default_rng(0).integers(-9000, 9000, 200 * T)
    found = energies(x, bands, T)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, (0, 256)), 256)[::200][:T]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    power = np.abs(np.fft.rfft(windows * hann)) ** 2
    level = 16 * np.log2(power @ bands.tables()[2])
    expected = (level - np.maximum.accumulate(level.max(1, keepdims=True)) + 255).clip(0, 255)
    assert np.abs(found - expected).max() < 3


def test_a_tone_stands_in_its_band_and_silence_is_zero() -> None:
    bands = Bands(RATE, 200, 32)
    weights = bands.tables()[2]
    for hz in (300, 1000, 3000):
        found = energies(a_tone(hz, 0.1).astype(np.int64), bands, T)
        assert weights[round(hz * 256 / RATE), found[0].argmax()] > 0
        assert found[0].max() == 255
        assert not found[5].any()  # 0.1 s are four steps, the last window of which reaches into the fifth
    assert not energies(np.zeros(100, np.int64), bands, T).any()


def test_loudness_cancels_and_what_comes_later_changes_nothing_before() -> None:
    bands = Bands(RATE, 200, 16)
    rng = np.random.default_rng(0)
    x = np.rint(4000 * rng.normal(size=1200)).clip(-8000, 8000).astype(np.int64)
    assert np.abs(energies(x, bands, T).astype(int) - energies(4 * x, bands, T)).max() <= 1
    later = x.copy()
    later[800:] *= 4
    assert np.array_equal(energies(later, bands, T)[:3], energies(x, bands, T)[:3])


def test_the_loudest_sound_in_the_longest_window_stays_within_63_bits() -> None:
    square = 32767 * np.sign(np.sin(2 * np.pi * np.arange(2048) / 16 + 0.1)).astype(np.int64)
    loud, soft = (energies(x, Bands(44100, 2048, 8), 1).astype(int) for x in (square, square // 8))
    assert loud.max() == 255
    assert np.abs(loud - soft).max() <= 2  # a sum that wrapped would be anything


def test_crossings_worked_out_by_hand() -> None:
    values = np.array([[0], [30], [60], [50], [10], [10]], dtype=np.uint8)
    # at: 0, 20, 60, 60 (10 is less than 20), 20, 20
    assert crossings(values, 20)[:, :, 0].tolist() == [[0, 0], [1, 0], [1, 0], [0, 0], [0, 1], [0, 0]]


def test_bands_that_windows_do_not_tell_apart_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.bands: 200 bands of 100 to 4000 Hz: windows of 256 samples do not"):
        Bands(RATE, 200, 200)
    with pytest.raises(ConfigError, match=r"data\.step_s: a step of 8000 samples, 2 to 2048 samples are possible"):
        Bands(RATE, 8000, 32)
    with pytest.raises(ConfigError, match=r"data\.bands: 8 bands of 100 to 50 Hz"):
        Bands(100, 8, 8)


# ------------------------------------------------------------------------------------------------ data sets


def test_spoken_digits_are_split_by_take_or_by_speaker(spoken: Path) -> None:
    data = loaded(spoken)
    assert (len(data.train) + len(data.val), len(data.test)) == (60, 40)  # takes 3 and 4 are the test part
    assert (data.input_shape, data.teacher_shape, data.input_bits) == ((1, 1, 32), (1, T, 32), 8)
    assert torch.bincount(data.test.labels).tolist() == [4] * 10
    held = loaded(spoken, test_speaker="bob")
    assert (len(held.train) + len(held.val), len(held.test)) == (50, 50)
    assert message(spoken, test_speaker="bib") == "data.test_speaker: 'bib' is none of ann, bob; did you mean bob?"


def test_the_teacher_sees_all_steps_and_the_chip_8_bits(spoken: Path) -> None:
    data = loaded(spoken)
    batch, chip = data.inputs(data.test, [0, 7]), data.chip_inputs(data.test, [0, 7])
    assert batch.x.shape == (T, 2, 1, 1, 32)
    assert float(batch.x.max()) == 1
    assert torch.equal(batch.teacher_x[:, 0], batch.x[:, :, 0, 0].transpose(0, 1))
    assert np.array_equal(chip, (batch.x * 255).round().numpy())


def test_crossings_are_spikes_in_two_channels(spoken: Path) -> None:
    data = loaded(spoken, sound_values="crossings")
    batch = data.inputs(data.test, [0, 7])
    assert (data.input_shape, data.teacher_shape, data.input_bits) == ((2, 1, 32), (2, T, 32), 0)
    assert set(batch.x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(batch.teacher_x, batch.x[:, :, :, 0].permute(1, 2, 0, 3))


def test_a_folder_per_class_is_read_and_its_mistakes_are_named(spoken: Path, tmp_path: Path) -> None:
    root = tmp_path / "words"
    assert message(root, "audio-folder").startswith(f"{root}: no such folder, looked for audio-folder; lay the")
    root.mkdir()
    hint = "lay the recordings out as ROOT/train/CLASS/FILE.wav and ROOT/test/CLASS/FILE.wav"
    assert message(root, "audio-folder") == f"{root / 'train'}: no folders of .wav files; {hint}"
    for part, n in (("train", 3), ("test", 1)):
        for hz in (400, 900):
            for k in range(n):
                write_wav(root / part / f"{hz} Hz" / f"{k}.WAV", a_tone(hz + k, rate=16000).tobytes(), rate=16000)
    data = loaded(root, "audio-folder", sample_rate=16000)
    assert data.class_names == ("400 Hz", "900 Hz")
    assert (len(data.train), len(data.val), len(data.test)) == (4, 2, 2)
    wrong = message(root, "audio-folder")
    assert wrong.startswith(f"audio-folder: 6 of 6 files cannot be used: {root}/train/400 Hz/0.WAV: 16000 values a")
    write_wav(root / "test" / "nothing" / "0.wav", a_tone(100, rate=16000).tobytes(), rate=16000)
    told = message(root, "audio-folder", sample_rate=16000)
    assert told == f"{root / 'train'}: no training recordings of nothing; {hint}"


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_wav(tmp_path / part / "yes" / "0.wav", a_tone(100).tobytes())
    assert message(tmp_path, "audio-folder") == (
        "audio-folder: all samples are of one class, at least 2 classes are needed"
    )


def test_bad_recordings_are_named_counted_and_left_out_only_if_told(spoken: Path) -> None:
    (spoken / "recordings" / "3_ann_6.wav").write_bytes(b"no sound at all")
    write_wav(spoken / "recordings" / "4_bob_7.wav", a_tone(100, 0.3).tobytes())
    told = message(spoken)
    assert told.startswith("fsdd: 2 of 60 files cannot be used: ")
    assert "3_ann_6.wav: not a readable .wav file (file does not start with RIFF id); " in told
    assert "4_bob_7.wav: 0.30 s, the steps hear 0.15 s; set data.cut_longer = true" in told
    assert not list((spoken / ".seamount-frames").glob("*train*"))
    assert len(loaded(spoken, skip_corrupt=True).train) + len(loaded(spoken, skip_corrupt=True).val) == 58
    assert len(loaded(spoken, skip_corrupt=True, cut_longer=True).train) == 49  # and 10 held out
    assert "unpack the data set into ROOT" in message(spoken / ".seamount-frames")


def test_frames_are_bounded_before_anything_is_read(spoken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAMOUNT_MAX_DATA_BYTES", "1000")
    monkeypatch.setattr("seamount.distill.data.sound.read_wav", None)
    told = message(spoken)
    assert told.startswith(f"{spoken}: 60 recordings of fsdd make 11520 bytes of frames, the reader takes up to 1000")


# --------------------------------------------------------------------------------------------- augmentation


def test_time_shift_moves_whole_steps_and_brings_in_silence() -> None:
    values = torch.arange(1, 5, dtype=torch.uint8).view(1, 4, 1, 1, 1).expand(1, 4, 1, 1, 3)
    seen = {tuple(time_shift(values, torch.tensor([seed]), 1)[0, :, 0, 0, 0].tolist()) for seed in range(50)}
    assert seen == {(1, 2, 3, 4), (0, 1, 2, 3), (2, 3, 4, 0)}
    with pytest.raises(
        ConfigError, match=r"data\.augment: time-shift takes frames, not samples of shape \(1, 8, 8\)"
    ):
        augment(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.arange(2), DataConfig(augment=("time-shift",)))


def test_gain_adds_one_number_to_a_sample_and_leaves_silence() -> None:
    values = torch.tensor([0, 1, 100, 255], dtype=torch.uint8).view(1, 1, 1, 1, 4)
    for seed in range(20):
        changed = gain(values, torch.tensor([seed]), 16).flatten().tolist()
        added = changed[2] - 100
        assert abs(added) <= 16
        assert changed == [0, min(max(1 + added, 0), 255), 100 + added, min(255 + added, 255)]


def test_a_crop_moves_lines_along_themselves() -> None:
    values = torch.arange(1, 5, dtype=torch.uint8).view(1, 1, 1, 1, 4).expand(1, 2, 1, 1, 4)
    seen = {tuple(crop(values, torch.tensor([seed]), 1)[0, 1, 0, 0].tolist()) for seed in range(50)}
    assert seen == {(1, 2, 3, 4), (0, 1, 2, 3), (2, 3, 4, 0)}
