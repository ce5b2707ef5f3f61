"""Data: splits, encodings, augmentation, every file layout, and what is said about missing and damaged files."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from seamount.distill.choices import DATA_SETS
from seamount.distill.config import DataConfig
from seamount.distill.data import Pass, load_data
from seamount.distill.data.aedat4 import EVENT, Table
from seamount.distill.data.augment import augment, crop, cutout, roll_rotate_cutout
from seamount.distill.data.cifar import read_shard
from seamount.distill.data.encode import encode, latency, rate
from seamount.distill.data.events import Events, read_events, to_frames
from seamount.distill.data.files import classes_in_turns
from seamount.distill.data.load import loader
from seamount.distill.data.randomness import choice, mix, uniform
from seamount.errors import ConfigError, InputError

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
absent = pytest.mark.skipif(not (SHARED / "cifar10").exists(), reason="the data sets are not beside the checkout")


def test_every_data_set_of_the_list_has_its_file_and_a_wrong_name_the_nearest() -> None:
    assert all(callable(loader(name)) for name in DATA_SETS)
    with pytest.raises(ValueError, match=r"'mnits' is none of digits, mnist, .*; did you mean mnist?"):
        DataConfig(name="mnits")


def test_every_file_that_loads_is_in_the_list() -> None:
    folder = Path(__file__).resolve().parents[2] / "distill" / "data"
    loading = {path.stem for path in folder.glob("*.py") if "\ndef load(" in path.read_text()}
    assert loading == {*DATA_SETS.values(), "own"}


# --------------------------------------------------------------------------------------------------- digits


def test_digits_are_split_alike_for_everybody_and_every_class() -> None:
    data = load_data(DataConfig(), n_steps=4)
    assert (len(data.train), len(data.val), len(data.test)) == (1259, 179, 359)
    assert data.input_shape == (1, 8, 8)
    assert data.n_classes == 10
    parts = [set(part.ids.tolist()) for part in (data.train, data.val, data.test)]
    assert not parts[0] & parts[1]
    assert not parts[1] & parts[2]
    assert not parts[0] & parts[2]
    other = load_data(DataConfig(seed=5), n_steps=4)
    assert torch.equal(other.test.ids, data.test.ids)  # the test set never moves
    assert not torch.equal(other.val.ids, data.val.ids)
    assert torch.bincount(data.test.labels).min() >= 34


def test_a_limited_part_stays_balanced() -> None:
    data = load_data(DataConfig(max_train=100, max_test=20), n_steps=1)
    assert torch.bincount(data.test.labels).tolist() == [2] * 10
    assert len(data.train) + len(data.val) == 100


def test_the_chips_input_is_the_students_in_integers() -> None:
    for encoding in ("direct", "rate", "latency"):
        data = load_data(DataConfig(encoding=encoding), n_steps=5)
        x = data.inputs(data.test, range(3)).x
        chip = data.chip_inputs(data.test, range(3))
        assert chip.shape == (5, 3, 1, 8, 8)
        assert chip.dtype == np.int64
        if encoding == "direct":
            assert data.input_bits == 8
            assert torch.equal(torch.from_numpy(chip[4]).float() / 255, x)
        else:
            assert data.input_bits == 0
            assert torch.equal(torch.from_numpy(chip).float(), x)


# ------------------------------------------------------------------------------------------------- encodings


def test_rate_coding_has_the_pixels_rate_and_follows_from_the_sample_alone() -> None:
    values = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    spikes = rate(values, 4000, torch.tensor([7]))
    assert spikes[..., 0].sum() == 0
    assert abs(float(spikes[..., 1].mean()) - 0.2) < 0.02
    assert spikes[..., 2].mean() == 1
    alone = rate(values, 50, torch.tensor([9]))
    together = rate(values.expand(3, -1, -1, -1), 50, torch.tensor([1, 9, 4]))
    assert torch.equal(together[:, 1:2], alone)


def test_latency_coding_is_one_spike_the_earlier_the_brighter() -> None:
    values = torch.tensor([0, 1, 128, 255], dtype=torch.uint8).view(1, 4)
    assert latency(values, 4)[:, 0].tolist() == [[0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_frames_put_time_first() -> None:
    values = torch.zeros(2, 3, 2, 4, 4, dtype=torch.uint8)
    assert encode(values, "frames", 3, torch.zeros(2)).shape == (3, 2, 2, 4, 4)


def test_random_numbers_are_even_and_independent() -> None:
    draws = uniform(mix(torch.arange(20000), 3))
    assert abs(float(draws.mean()) - 0.5) < 0.01
    assert float(draws.min()) >= 0
    assert float(draws.max()) < 1
    table = torch.bincount(choice(torch.arange(20000), 1, 4) * 4 + choice(torch.arange(20000), 2, 4), minlength=16)
    assert 1000 < int(table.min()) < int(table.max()) < 1500


# ---------------------------------------------------------------------------------------------- augmentation


def test_a_crop_shifts_and_brings_in_zeros() -> None:
    values = torch.arange(1, 17, dtype=torch.uint8).view(1, 1, 4, 4)
    seen = {tuple(crop(values, torch.tensor([seed]), 1).flatten().tolist()) for seed in range(200)}
    assert len(seen) == 9  # 3 x 3 shifts
    assert (0, 0, 0, 0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11) in seen
    assert tuple(range(1, 17)) in seen


def test_a_crop_by_more_than_the_image_leaves_nothing_of_most() -> None:
    values = torch.full((50, 1, 4, 4), 9, dtype=torch.uint8)
    left = crop(values, torch.arange(50), 10**6)
    assert left.shape == values.shape
    assert not left.any()


def test_cutout_blanks_a_square() -> None:
    values = torch.full((300, 1, 8, 8), 9, dtype=torch.uint8)
    blanked = (cutout(values, torch.arange(300), 4) == 0).sum((1, 2, 3))
    assert int(blanked.max()) == 16
    assert int(blanked.min()) >= 4  # a corner keeps a quarter inside


@pytest.mark.parametrize("kind", ["crop", "flip", "autoaugment", "cutout"])
def test_augmentation_follows_from_the_samples_seed_alone(kind: str) -> None:
    config = DataConfig(augment=(kind,), cutout_size=3)  # type: ignore[arg-type]
    values = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    seeds = torch.arange(6) + 100
    before = torch.random.get_rng_state()
    together = augment(values, seeds, config)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert together.dtype == torch.uint8
    assert torch.equal(augment(values[2:4], seeds[2:4], config), together[2:4])
    assert not torch.equal(together, values)


def test_an_alternating_flip_shows_every_image_both_ways_in_two_epochs() -> None:
    data = load_data(DataConfig(augment=("alternating-flip",), max_train=60), n_steps=1)
    numbers = torch.arange(len(data.train))
    plain = data.read(data.train, numbers)[0]
    epochs = [data.read(data.train, numbers, Pass(5, epoch))[0] for epoch in range(3)]
    assert torch.equal(epochs[0], epochs[2])
    assert torch.equal(epochs[1], epochs[0].flip(-1))
    assert not torch.equal(epochs[0], plain)
    assert not torch.equal(epochs[0], plain.flip(-1))
    assert torch.equal(data.read(data.train, numbers[7:9], Pass(5, 0))[0], epochs[0][7:9])


def test_batches_are_cut_and_augmented_on_the_device_that_holds_the_data() -> None:
    config = DataConfig(augment=("crop", "flip", "alternating-flip", "cutout", "roll-rotate-cutout"), cutout_size=3)
    data = load_data(config, n_steps=2)
    # a device that holds shapes alone, and refuses to work with a tensor of another one
    there = data.on(torch.device("meta"))
    numbers = torch.arange(8, device="meta")
    values, seeds = there.read(there.train, numbers, Pass(0, 1))
    batch = there.batch(values, seeds, there.train.labels[numbers])
    assert {x.device.type for x in (values, seeds, batch.x, batch.teacher_x, batch.labels)} == {"meta"}
    assert batch.x.shape == data.inputs(data.train, range(8)).x.shape
    assert data.on(torch.device("cpu")) is data
    one_by_one = load_data(DataConfig(augment=("autoaugment",)), n_steps=2)
    assert one_by_one.on(torch.device("meta")) is one_by_one


def test_frames_are_changed_alike_at_every_step() -> None:
    still = torch.randint(0, 9, (40, 1, 2, 12, 12), dtype=torch.uint8).expand(-1, 3, -1, -1, -1).contiguous()
    changed = roll_rotate_cutout(still, torch.arange(40), 4)
    assert torch.equal(changed[:, 0], changed[:, 2])
    assert not torch.equal(changed, still)


def test_augmentation_of_what_is_no_image_says_what_to_do() -> None:
    with pytest.raises(ConfigError) as error:
        augment(torch.zeros(2, 5, dtype=torch.uint8), torch.zeros(2).long(), DataConfig())
    assert str(error.value) == "data.augment: samples of shape (5,) are no images; set data.augment = []"


# ---------------------------------------------------------------------------------------------------- images


def write_idx(path: Path, values: np.ndarray, *, packed: bool = False) -> None:
    raw = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if packed else raw)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, n in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        write_idx(tmp_path / "MNIST" / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", (np.arange(n) % 10).astype(np.uint8), packed=True)
    return tmp_path


def test_mnist_is_read_from_torchvisions_folders_and_from_packed_files(mnist: Path) -> None:
    data = load_data(DataConfig(name="mnist", root=str(mnist)), n_steps=2)
    assert (len(data.train) + len(data.val), len(data.test), data.input_shape) == (40, 20, (1, 28, 28))


def test_a_download_that_fails_says_what_else_can_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> None:
        raise RuntimeError("Error downloading:\n<no network>")

    monkeypatch.setattr("seamount.distill.data.mnist._fetch", fetch)
    with pytest.raises(InputError) as caught:
        load_data(DataConfig(name="mnist", root=str(tmp_path / "a/b"), download=True), n_steps=2)
    assert not (tmp_path / "a").exists()
    assert str(caught.value) == (
        "data.download: mnist cannot be downloaded (Error downloading: <no network>); put the four idx files (.gz or "
        "unpacked) into ROOT or ROOT/MNIST/raw"
    )


def test_missing_data_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as unset:
        load_data(DataConfig(name="mnist"), n_steps=2)
    assert str(unset.value) == (
        "data.root: mnist needs a folder; put the four idx files (.gz or unpacked) into ROOT or ROOT/MNIST/raw, or "
        "set data.download = true to let torchvision fetch them"
    )
    for name in ("mnist", "fashion-mnist", "cifar10", "cifar100", "imagenet", "n-mnist", "dvs-gesture", "shd"):
        with pytest.raises(InputError) as error:
            load_data(DataConfig(name=name, root=str(tmp_path)), n_steps=2)
        assert str(tmp_path) in str(error.value)
        assert "ROOT" in str(error.value)


def test_damaged_idx_files_are_named(mnist: Path) -> None:
    path = mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError) as error:
        load_data(DataConfig(name="mnist", root=str(mnist)), n_steps=2)
    assert str(error.value) == f"{path}: holds 31355 values, its head says 40x28x28"
    path.write_bytes(b"<html>")
    with pytest.raises(InputError) as foreign:
        load_data(DataConfig(name="mnist", root=str(mnist)), n_steps=2)
    assert str(foreign.value) == f"{path}: not an idx file of bytes with 3 axes, starts with 3c68746d"


def test_a_folder_of_images_names_damaged_ones_and_skips_them_only_if_told(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for k in range(3):
                Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    config = DataConfig(name="imagenet", root=str(tmp_path), size=16, augment=("resized-crop", "flip"))
    data = load_data(config, n_steps=2)
    assert data.class_names == ("cat", "dog")
    assert data.inputs(data.test, range(2)).x.shape == (2, 3, 16, 16)
    first, _ = data.read(data.train, torch.arange(2), Pass(0, 1))
    again, _ = data.read(data.train, torch.tensor([1]), Pass(0, 1))
    assert torch.equal(first[1:], again)
    assert not torch.equal(first, data.read(data.train, torch.arange(2), Pass(0, 2))[0])
    bad = tmp_path / "val" / "cat" / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(InputError) as error:
        data.inputs(data.test, range(3))
    assert str(error.value).startswith(f"imagenet: 1 of 3 files cannot be used: {bad}: not a readable image")
    skipping = load_data(config.model_copy(update={"skip_corrupt": True}), n_steps=2)
    assert len(skipping.test) == 5


@pytest.mark.shared
@absent
def test_the_cifar_shards_hold_the_known_pixels() -> None:
    images, labels = read_shard(SHARED / "cifar10" / "test_batch.npz")
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    assert digest == "1fe46ff47f5fb6c1b24f0b5448654cac0e0d3e1e0c16f9cbac842307814b553a"
    assert np.bincount(labels).tolist() == [1000] * 10


@pytest.mark.shared
@absent
def test_the_real_mnist_is_read() -> None:
    data = load_data(DataConfig(name="mnist", root=str(SHARED / "mnist")), n_steps=2)
    assert (len(data.train), len(data.val), len(data.test)) == (52500, 7500, 10000)
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


# ---------------------------------------------------------------------------------------------------- events


def an_event_file(path: Path, n: int = 50, seed: int = 0) -> None:
    """40-bit events as N-MNIST has them, at even times."""
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(0, 34, n), rng.integers(0, 34, n), rng.integers(0, 2, n)
    t = np.arange(n) * 1000
    raw = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], 1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw.tobytes())


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for part, n in (("Train", 3), ("Test", 1)):
        for label in range(10):
            for k in range(n):
                an_event_file(tmp_path / part / str(label) / f"{k}.bin", seed=label + 10 * k)
    return tmp_path


def test_frames_by_time_and_by_count_worked_out_by_hand() -> None:
    # four events at 0, 1, 2 and 9 us in two frames: by time 3 + 1, by count 2 + 2
    at = np.array([0, 1, 2, 9])
    events = Events(x=np.array([0, 1, 1, 2]), y=np.array([0, 0, 0, 3]), t=at, p=np.array([1, 0, 0, 1]))
    by_time = to_frames(events, (4, 4), None, 2, "time")
    assert by_time.sum((1, 2, 3)).tolist() == [3, 1]
    assert by_time[0, 0, 0, 1] == 2
    assert by_time[0, 1, 0, 0] == 1
    assert by_time[1, 1, 3, 2] == 1
    assert to_frames(events, (4, 4), None, 2, "count").sum((1, 2, 3)).tolist() == [2, 2]
    assert to_frames(events, (4, 4), 2, 2, "time")[1, 1].tolist() == [[0, 0], [0, 1]]
    with pytest.raises(InputError) as error:
        to_frames(events, (2, 2), None, 2, "time")
    assert str(error.value) == "events reach x 2, y 3, the sensor has 2 x 2 pixels"


ROWS = np.array([[1, 1, 0, 1], [2, 2, 1, 2], [3, 3, 0, 3]], dtype=np.float64)
"""x, y, p, t in milliseconds."""
DAT = b"% Data file containing CD events\n% Version 2\n\x0c\x08"


def row(k: int, column: int, value: float) -> NDArray[np.float64]:
    changed = ROWS.copy()
    changed[k, column] = value
    return changed


def dat(*times: int) -> bytes:
    return DAT + b"".join(struct.pack("<II", t, 1 << 28 | 5 << 14 | 3) for t in times)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (row(1, 0, math.nan), "event 1 holds nan, possible are numbers up to 9.0072e+15"),
        (row(2, 3, math.inf), "event 2 holds inf, possible are"),
        (row(2, 3, 1e300), "event 2 holds 1e+300, possible are"),
        (row(2, 0, 2.0**64), "event 2 holds 1.8446744073709552e+19"),
        (row(0, 1, -1), "event 0 is x 1, y -1, polarity 0, possible are places from 0, and polarities 0 and 1"),
        (row(1, 2, 5), "event 1 is x 2, y 2, polarity 5"),
        (row(1, 3, 0), "time runs backwards at event 1"),
        (row(2, 3, 2.0**50), "lasts 1125899906842623000 microseconds, too long for 9 steps"),
        ("% a header", "a header without an end"),
        (b"%" * 5000, "no Prophesee header, starts with 25252525"),
        ("% evt 2.1\n" + "0" * 8, "a recording of EVT 2.1, 2.0 and 3.0 are read; write it as EVT 2.0 or 3.0"),
        ("% format EVT21;height=720\n" + "0" * 8, "a recording of EVT 21, 2.0 and 3.0 are read"),
        ("% evt 3.0\n" + "\0\x10", "word 0 is of kind 1, which EVT 3.0 does not have; it is damaged"),
        ("% evt 3.0\n", "no event in it"),
        ("% evt 3.0\n0", "1 bytes behind the header, not a whole number of words; it is cut off"),
        (dat(1, 2)[:-3], "15 bytes behind the header, not two and then 8 for each event; it is cut off"),
        (dat(9, 2), "time runs backwards at event 1"),
        (dat(), "no event in it"),
    ],
)
def test_recordings_that_are_none_are_refused(
    content: NDArray[np.float64] | bytes | str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / {bytes: "a.dat", str: "a.raw"}.get(type(content), "a.npy")
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error, warnings.catch_warnings(action="error"):
        to_frames(read_events(path), (8, 8), None, 9, "time")
    assert str(error.value).startswith(told)


def test_times_of_a_dat_file_run_over_32_bits(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(dat((1 << 32) - 2, (1 << 32) - 1, 1, 3))
    events = read_events(tmp_path / "a.dat")
    assert (events.t - events.t[0]).tolist() == [0, 1, 3, 5]
    assert {(x, y, p) for x, y, p in zip(events.x, events.y, events.p, strict=True)} == {(3, 5, 1)}


def raw_events(path: Path, version: str, words: Iterable[int]) -> list[tuple[int, ...]]:
    kind = "<u2" if version.startswith("3") else "<u4"
    path.write_bytes(f"% evt {version}\n".encode() + np.array(list(words), kind).tobytes())
    events = read_events(path)
    return list(zip(*(getattr(events, name).tolist() for name in "xytp"), strict=True))


ROW, ONE, BASE, TWELVE, EIGHT, LOW, HIGH = (kind << 12 for kind in (0, 2, 3, 4, 5, 6, 8))


def test_words_of_evt3_say_what_changes(tmp_path: Path) -> None:
    words = [
        *(ONE | 7, ROW | 5, BASE | 9, TWELVE | 1),  # of no time, and so no events
        *(HIGH | 0xF25, LOW | 4095, ONE | 1 << 11 | 7),
        *(HIGH | 0xF26, LOW | 3, ONE | 8, ONE | 9),  # the low bits fall, because the high ones have risen
        *(HIGH | 0xF26, ROW | 6, BASE | 1 << 11 | 100, TWELVE | 0x801, EIGHT | 0xF02, ONE | 3, EIGHT | 1),
        *(HIGH | 2, LOW | 1, 10 << 12, ONE | 4),  # all 24 bits ran over
    ]
    late = 0xF26 << 12 | 3
    assert raw_events(tmp_path / "a.raw", "3.0", words) == [
        (7, 5, 0xF25FFF, 1),
        (8, 5, late, 0),
        (9, 5, late, 0),
        *((x, 6, late, 1) for x in (100, 111, 113)),
        (3, 6, late, 0),
        (120, 6, late, 1),
        (4, 6, (0x1002 << 12) + 1, 0),
    ]


def test_a_recording_may_begin_with_the_byte_that_begins_a_line_of_its_header(tmp_path: Path) -> None:
    assert raw_events(tmp_path / "a.raw", "3.0", (HIGH | 0x025, LOW, ROW, ONE)) == [(0, 0, 0x25 << 12, 0)]
    assert raw_events(tmp_path / "b.raw", "3.0\n% end", (ROW | 0x025, HIGH, LOW, ONE)) == [(0, 0x25, 0, 0)]


def test_words_of_evt2_hold_the_lower_bits_of_their_time(tmp_path: Path) -> None:
    words = [
        5 << 22,
        8 << 28 | 9,
        1 << 28 | 63 << 22 | 2047 << 11 | 3,
        14 << 28,
        8 << 28 | 10,
        1 << 22 | 4 << 11 | 2047,
    ]
    assert raw_events(tmp_path / "a.raw", "2.0", words) == [(2047, 3, 9 * 64 + 63, 1), (4, 2047, 641, 0)]


def test_times_of_a_bin_file_run_over(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes([1, 2, 128, 1, 4, *([9, 240, 0, 0, 0] * 100_000), 3, 4, 127, 255, 255]))
    events = read_events(tmp_path / "a.bin")
    assert [column.tolist() for column in (events.x, events.y, events.p)] == [[1, 3], [2, 4], [1, 0]]
    assert events.t.tolist() == [260, (1 << 23) - 1 + (100_000 << 13)]


def test_recordings_become_frames_once(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(name="n-mnist", root=str(recordings), augment=())
    data = load_data(config, n_steps=4)
    assert (data.input_shape, data.n_steps, data.encoding, data.input_bits) == ((2, 34, 34), 4, "frames", 0)
    assert len(data.test) == 10
    x = data.inputs(data.test, range(2)).x
    assert x.shape == (4, 2, 2, 34, 34)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    monkeypatch.setattr("seamount.distill.data.events.read_events", None)  # a second load reads the frames
    assert torch.equal(load_data(config, n_steps=4).inputs(data.test, range(2)).x, x)


def test_the_first_samples_of_a_folder_of_classes_are_of_all_of_them(recordings: Path) -> None:
    data = load_data(DataConfig(name="n-mnist", root=str(recordings), augment=()), n_steps=4)
    # class after class they would be of five, because two of three are left of each
    assert len(data.train.labels[:10].unique()) > 5
    a, b, c, d = (Path(name) for name in "abcd")
    assert classes_in_turns([(a, 0), (b, 0), (c, 0), (d, 1)]) == [(a, 0), (d, 1), (b, 0), (c, 0)]


def test_damaged_recordings_are_named_counted_and_skipped_only_if_told(recordings: Path) -> None:
    cut, empty = recordings / "Train" / "3" / "1.bin", recordings / "Train" / "5" / "0.bin"
    cut.write_bytes(cut.read_bytes()[:-2])
    empty.write_bytes(b"")
    config = DataConfig(name="n-mnist", root=str(recordings))
    with pytest.raises(InputError) as error:
        load_data(config, n_steps=4)
    assert str(error.value) == (
        f"n-mnist: 2 of 30 files cannot be used: {cut}: 248 bytes, not a whole number of 5-byte events; "
        f"{empty}: an empty file; was it written to the end? write or fetch it again; replace them, or set "
        "data.skip_corrupt = true to go on without them"
    )
    data = load_data(config.model_copy(update={"skip_corrupt": True}), n_steps=4)
    assert len(data.train) + len(data.val) == 28


def test_a_class_without_a_sample_is_named(recordings: Path) -> None:
    for path in (recordings / "Train" / "6").iterdir():
        path.unlink()
    with pytest.raises(InputError) as error:
        load_data(DataConfig(name="n-mnist", root=str(recordings)), n_steps=4)
    assert str(error.value) == (
        "n-mnist: no training sample of class 6; a class that is never seen cannot be learned: add samples, or leave "
        "the class out of the labels"
    )


@pytest.mark.shared
@absent
@pytest.mark.parametrize(
    ("archive", "name", "n", "sensor"),
    [
        ("event_formats", "expelliarmus/evt2_sample.raw", 539481, (480, 640)),
        ("event_formats", "expelliarmus/evt3_sample.raw", 219596, (720, 1280)),
        ("event_formats", "faery/evt2.raw", 521252, (480, 640)),
        ("event_formats", "tonic/sample_ncars.dat", 2009, (100, 120)),
        ("event_formats", "tonic/sample.aedat4", 111954, (240, 320)),
        ("event_formats", "tonic/sample_nmnist.bin", 4325, (34, 34)),
        ("dvs_gesture_samples", "0_hand_clapping.bin", None, (128, 128)),
        ("dvs_gesture_samples", "9_air_guitar.bin", 85936, (128, 128)),
    ],
)
def test_real_recordings_are_read(
    archive: str, name: str, n: int | None, sensor: tuple[int, int], tmp_path: Path
) -> None:
    if name.endswith(".aedat4"):
        pytest.importorskip("lz4.frame")
    with zipfile.ZipFile(SHARED / archive / f"{archive}.zip") as packed:
        packed.extract(name, tmp_path)
    events = read_events(tmp_path / name)
    assert n is None or len(events) == n
    if name.endswith("evt3_sample.raw"):
        assert events.t[-1] - events.t[0] == 8801
    frames = to_frames(events, sensor, 32, 5, "count")
    assert frames.shape == (5, 2, 32, 32)
    assert frames.sum((1, 2, 3)).min() > 0


@pytest.fixture
def aedat4(tmp_path: Path) -> Path:
    """A true recording of a DVXplorer, 111,954 events in packets of LZ4."""
    pytest.importorskip("lz4.frame")
    with zipfile.ZipFile(SHARED / "event_formats" / "event_formats.zip") as packed:
        return Path(packed.extract("tonic/sample.aedat4", tmp_path))


def packed_anew(raw: bytes, compression: int, pack: Callable[[bytes], bytes]) -> bytes:
    """An AEDAT 4 file with its packets compressed in another way, and no table of them."""
    import lz4.frame

    (size,) = struct.unpack_from("<i", raw, 14)
    head = bytearray(raw[: 18 + size])
    table = Table(bytes(head[18:]), 0, b"IOHE", "head")
    places = table.place(0), table.place(1)
    assert None not in places
    end = table.number(1, "<q", -1)
    struct.pack_into("<i", head, 18 + places[0], compression)
    struct.pack_into("<q", head, 18 + places[1], -1)
    out, at = bytes(head), len(head)
    while at < end:
        number, size = struct.unpack_from("<ii", raw, at)
        packet = pack(lz4.frame.decompress(raw[at + 8 : at + 8 + size]))
        out += struct.pack("<ii", number, len(packet)) + packet
        at += 8 + size
    return out


@pytest.mark.shared
@absent
def test_an_aedat4_recording_is_read_event_by_event(aedat4: Path) -> None:
    events = read_events(aedat4)
    assert (len(events), int(events.t[0]), int(events.t[-1])) == (111954, 1605537493718345, 1605537494308262)
    assert (int(events.x.min()), int(events.x.max()), int(events.y.min()), int(events.y.max())) == (0, 319, 0, 239)
    assert np.bincount(events.p).tolist() == [56931, 55023]
    assert (np.diff(events.t) >= 0).all()


@pytest.mark.shared
@absent
@pytest.mark.parametrize("kind", ["none", "zstandard"])
def test_other_compressions_hold_the_same_events(aedat4: Path, kind: str) -> None:
    zstandard = pytest.importorskip("zstandard")
    pack = bytes if kind == "none" else zstandard.ZstdCompressor().compress
    other = aedat4.with_name("other.aedat4")
    other.write_bytes(packed_anew(aedat4.read_bytes(), 0 if kind == "none" else 3, pack))
    found, wanted = read_events(other), read_events(aedat4)
    for column in "xytp":
        assert np.array_equal(getattr(found, column), getattr(wanted, column)), column
    other.write_bytes(other.read_bytes()[:-1])  # without a table only the last packet tells
    with pytest.raises(InputError, match=r"the packet at byte \d+ is to have \d+ bytes, \d+ are left; it is cut off"):
        read_events(other)


@pytest.mark.shared
@absent
def test_damaged_aedat4_files_say_what_is_wrong(aedat4: Path) -> None:
    raw = aedat4.read_bytes()
    (size,) = struct.unpack_from("<i", raw, 14)

    def changed(at: int, kind: str, value: int) -> bytes:
        out = bytearray(raw)
        struct.pack_into(kind, out, at, value)
        return bytes(out)

    cases = {
        raw[:500000]: "the table of packets is to be at byte 945243 of 500000; the file is cut off or damaged",
        raw[:1000]: "a header of 2316 bytes in a file of 1000; it is cut off or damaged",
        raw[:16]: "the header's length ends at byte 16, byte 14 is needed; it is cut off or damaged",
        b"#!AER-DAT2.0\r\n": "not an AEDAT 4 file, starts with b'#!AER-DAT2.0\\r\\n'",
        b"!": "not an AEDAT 4 file, starts with b'!'",
        changed(14, "<i", -5): f"a header of -5 bytes in a file of {len(raw)}; it is cut off or damaged",
        changed(18 + size + 4, "<i", 2**31 - 1): (
            "the packet at byte 2334 is to have 2147483647 bytes, 942901 are left; it is cut off"
        ),
    }
    for bad, message in cases.items():
        aedat4.write_bytes(bad)
        with pytest.raises(InputError) as error:
            read_events(aedat4)
        assert str(error.value) == message
    rng = np.random.default_rng(0)
    for _ in range(60):  # nothing but our own errors, wherever the damage is
        place = int(rng.integers(0, 4000 if rng.random() < 0.5 else len(raw)))
        aedat4.write_bytes(changed(place, "B", int(rng.integers(0, 256))))
        with contextlib.suppress(InputError):
            read_events(aedat4)


@pytest.mark.shared
@absent
def test_an_aedat4_file_that_unpacks_to_more_than_the_limit_is_refused(
    aedat4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zstandard = pytest.importorskip("zstandard")
    # a vector of events of zero bytes, true to its lengths, in one packet after the other
    events = np.zeros((1 << 24) // EVENT.itemsize, EVENT).tobytes()
    body = struct.pack("<I4sHHHHiII", 16, b"EVTS", 6, 8, 4, 0, 8, 4, len(events) // EVENT.itemsize) + events
    packet = zstandard.ZstdCompressor().compress(struct.pack("<I", len(body)) + body)
    assert len(packet) < 1 << 12
    bomb = aedat4.with_name("bomb.aedat4")
    bomb.write_bytes(packed_anew(aedat4.read_bytes(), 3, lambda _: packet))
    monkeypatch.setenv("SEAMOUNT_MAX_NETWORK_BYTES", str(1 << 26))
    with pytest.raises(
        InputError, match="bytes of events and more when it is unpacked, the reader takes up to 67108864"
    ):
        read_events(bomb)


@pytest.mark.shared
@absent
def test_a_damaged_recording_is_named_by_its_data_set(aedat4: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k in range(8):
            (tmp_path / "set" / name / f"{k}.aedat4").symlink_to(aedat4)
    bad = tmp_path / "set" / "b" / "3.aedat4"
    bad.unlink()
    bad.write_bytes(aedat4.read_bytes()[:-30000])
    config = DataConfig(name="event-folder", root=str(tmp_path / "set"), size=16, sensor=(240, 320), augment=())
    with pytest.raises(InputError) as error:
        load_data(config, n_steps=3)
    assert str(error.value).startswith(
        f"event-folder: 1 of 16 files cannot be used: {bad}: the table of packets is to"
    )
    data = load_data(config.model_copy(update={"skip_corrupt": True}), n_steps=3)
    assert len(data.train) + len(data.val) + len(data.test) == 15


def test_a_recording_replaced_by_one_of_the_same_length_is_framed_anew(tmp_path: Path) -> None:
    def record(path: Path, polarity: int) -> None:
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.array([[1, 2, polarity, t] for t in range(50)]))

    for path in (tmp_path / name / f"{k}.npy" for name in "ab" for k in range(12)):
        record(path, polarity=0)
    config = DataConfig(name="event-folder", root=str(tmp_path), sensor=(8, 8), validation=0.5)

    def brighter() -> int:
        data = load_data(config, n_steps=2)
        return sum(int(part.read(part.ids, None)[:, :, 1].sum()) for part in (data.train, data.val, data.test))

    assert brighter() == 0
    record(tmp_path / "a" / "0.npy", polarity=1)
    assert brighter() == 50


@pytest.mark.shared
@absent
def test_gesture_clips_in_the_layouts_of_both_loaders(tmp_path: Path) -> None:
    with zipfile.ZipFile(SHARED / "dvs_gesture_samples" / "dvs_gesture_samples.zip") as packed:
        packed.extractall(tmp_path / "clips")
    clips = sorted((tmp_path / "clips").glob("*.bin"))[:3]
    for label, clip in enumerate(clips):
        for k in range(12):  # a split needs several of each
            target = tmp_path / "folder" / f"gesture{label}" / f"{k}.bin"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(clip)
    config = DataConfig(name="event-folder", root=str(tmp_path / "folder"), size=16, sensor=(128, 128))
    data = load_data(config, n_steps=3)
    assert (data.n_classes, data.input_shape, len(data.test)) == (3, (2, 16, 16), 3)
    with pytest.raises(ConfigError) as error:
        load_data(config.model_copy(update={"sensor": None}), n_steps=3)
    assert str(error.value).startswith(
        "data.sensor: [height, width] of the recordings' sensor is needed; 0.bin reaches"
    )
    events = read_events(clips[0])
    rows = np.stack([events.x, events.y, events.p, events.t // 1000], 1)
    for part in ("Train", "Test"):
        for user in ("user01_fluorescent", "user02_led"):
            for label in range(11):
                path = tmp_path / "dvs" / f"ibmGesture{part}" / user / f"{label}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, rows[:500])
    gestures = load_data(DataConfig(name="dvs-gesture", root=str(tmp_path / "dvs"), size=16), n_steps=3)
    assert (gestures.n_classes, gestures.input_shape) == (11, (2, 16, 16))


def test_shd_is_read_from_its_hdf5(tmp_path: Path) -> None:
    import h5py

    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        with h5py.File(tmp_path / f"shd_{part}.h5", "w") as file:
            n = 60
            file["labels"] = (np.arange(n) % 20).astype(np.uint16)
            spikes = file.create_group("spikes")
            times = spikes.create_dataset("times", (n,), h5py.vlen_dtype(np.float16))
            units = spikes.create_dataset("units", (n,), h5py.vlen_dtype(np.uint16))
            for k in range(n):
                times[k] = np.sort(rng.random(30)).astype(np.float16)
                units[k] = rng.integers(0, 700, 30).astype(np.uint16)
    config = DataConfig(name="shd", root=str(tmp_path), size=70, frame_values="count", augment=())
    data = load_data(config, n_steps=6)
    assert (data.input_shape, data.n_classes, data.input_bits) == ((70,), 20, 8)
    assert data.chip_inputs(data.test, range(4)).sum() == 4 * 30
    (tmp_path / "shd_test.h5").write_bytes(b"HDF")
    with pytest.raises(InputError, match=r"shd_test.h5: not a readable HDF5 file"):
        load_data(config, n_steps=6)


# ------------------------------------------------------------------------------------------- one's own files


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_tensors_of_ones_own(tmp_path: Path, ending: str) -> None:
    x, y = np.linspace(0, 1, 60 * 4).reshape(60, 1, 2, 2), np.arange(60) % 3
    path = tmp_path / f"mine{ending}"
    if ending == ".npz":
        np.savez(path, x=x, y=y)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file["x"], file["y"] = x, y
    data = load_data(DataConfig(name="file", root=str(path)), n_steps=2)
    assert (data.n_classes, data.input_shape, len(data.test)) == (3, (1, 2, 2), 12)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": np.zeros(3)},
            "holds a; set data.root to a file (.npz, .npy, .h5, .hdf5, .pt, .pth) with x_train, y_train, x_test, "
            "y_test, or x and y",
        ),
        (
            {"x": np.zeros((4, 2)), "y": np.zeros(3, int)},
            "x (4, 2) and y (3,); one label a sample is needed",
        ),
        (
            {"x": np.full((9, 2), 2.5), "y": np.arange(9) % 3},
            "x has float64 values from 0 to 2.5; 0 to 1 is possible",
        ),
        (
            {"x": np.array([[0.0, 1.0], [0.5, np.nan], [np.inf, 0.0]]), "y": np.arange(3) % 2},
            "x has NaN or infinite values, the first at (1, 1)",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError) as error:
        load_data(DataConfig(name="file", root=str(path)), n_steps=2)
    assert str(error.value) == f"{path}: {message}"


def test_no_samples_and_whole_numbers_below_zero_are_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, x=np.zeros((0, 2)), y=np.zeros(0, int))
    with pytest.raises(InputError, match="the training part has no samples"):
        load_data(DataConfig(name="file", root=str(path)), n_steps=2)
    np.savez(path, x=np.full((4, 2), -3, np.int8), y=np.arange(4) % 2)
    with pytest.raises(InputError, match=r"x has int8 values from -3 to 0; 0 to 255 is possible$"):
        load_data(DataConfig(name="file", root=str(path)), n_steps=2)


def test_labels_out_of_range_and_zero_steps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, x=np.zeros((90, 2)), y=np.arange(90) % 9 - 1)
    with pytest.raises(InputError) as error:
        load_data(DataConfig(name="file", root=str(path)), n_steps=2)
    assert (
        str(error.value)
        == f"{path}: y holds the label -1, possible are 0 and above; leave out the samples without a label"
    )
    np.savez(path, x=np.zeros((3, 2)), y=np.arange(3))
    with pytest.raises(InputError) as error:
        load_data(DataConfig(name="file", root=str(path)), n_steps=2)
    assert str(error.value) == "file: the test part has no samples"
    with pytest.raises(ConfigError) as steps:
        load_data(DataConfig(), n_steps=0)
    assert str(steps.value) == "student.n_steps: 0, at least 1 step is needed"
    with pytest.raises(ConfigError) as encoding:
        load_data(DataConfig(encoding="frames"), n_steps=2)
    assert str(encoding.value) == (
        'data.encoding: \'frames\', but digits has still images; possible: "direct", "rate" or "latency"'
    )
