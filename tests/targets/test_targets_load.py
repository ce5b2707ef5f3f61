"""Targets as data: what loads, what does not, and a target that a user adds."""

import os
from pathlib import Path

import pytest

from seamount.compile.formats import NumberFormats
from seamount.errors import ConfigError, InputError
from seamount.hardware_targets.target import FOLDER, GRADES, Target, list_targets, load_target

LOIHI1 = (FOLDER / "loihi1.toml").read_text(encoding="utf-8")
ROOT = Path(__file__).resolve().parents[2]


def variant(folder: Path, old: str, new: str, text: str = LOIHI1) -> Path:
    assert text.count(old) >= 1, f"nothing to replace: {old}"
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def fit_grades(target: Target) -> set[str]:
    """The grades of the figures that a verdict of fitting rests on."""
    return {figure.grade for key, figure in target.figures() if key.startswith(("formats", "limits"))}


@pytest.mark.parametrize("name", ["loihi1", "loihi2"])
def test_every_figure_says_where_it_comes_from(name: str) -> None:
    target = load_target(name)
    figures = dict(target.figures())
    assert len(figures) > 70
    for key, figure in figures.items():
        assert figure.source, key
        assert figure.url.startswith("http"), key
        assert figure.grade in GRADES, key
        assert figure.conditions, key
    assert [row[0] for row in target.rows()] == list(figures)
    assert len(target.digest) == 64


def test_the_published_figures_of_loihi1() -> None:
    target = load_target("loihi1")
    chip = target.chip
    assert (chip.compartments, chip.input_axons, chip.output_axons, chip.synapse_words) == (1024, 4096, 4096, 16384)
    assert (chip.cores_per_chip, chip.entry_synapses, chip.formats.weight_widths) == (128, 60, (1, 2, 3, 4, 5, 6, 8))
    assert chip.formats == NumberFormats(), "what is compiled without a target is Loihi 1's"
    assert target.energy is not None
    davies = target.energy.sets["davies2018"]
    assert (davies.sop_dense.value, davies.sop_dense.unit) == (pytest.approx(23.6e-12), "J")
    assert davies.sop_dense.status == "simulated"
    assert target.energy.sets["sana_fe"].sop_conv.status == "fitted"
    assert target.energy.static.chip.value == pytest.approx(0.104)
    assert fit_grades(target) == {"A", "B"}


def test_loihi2_never_presents_a_constant_as_known() -> None:
    target = load_target("loihi2")
    assert target.assumed_layout
    assert target.energy is not None
    assert target.energy.placeholder.startswith("Loihi 2: per-operation energy unpublished")
    for key, figure in target.figures():
        if key.startswith("energy"):
            assert (figure.status, figure.grade) == ("assumed", "?"), key
            assert figure.conditions.startswith("placeholder: a constant of loihi1"), key
    assert target.timing is None
    assert "?" in fit_grades(target)


@pytest.mark.parametrize("fact", ["source", "status", "conditions", "grade", "unit"])
def test_a_figure_without_provenance_does_not_load(tmp_path: Path, fact: str) -> None:
    line = next(entry for entry in LOIHI1.splitlines() if entry.startswith("cores_per_chip"))
    start = line.index(f", {fact} = ")
    end = line.find('",', start + 3)
    without = line[:start] + (line[end + 1 :] if end > 0 else " }")
    with pytest.raises(ConfigError) as caught:
        load_target(variant(tmp_path, line, without))
    missing = "source and no url" if fact == "source" else fact
    assert str(caught.value) == (
        f"mine.toml: limits.cores_per_chip: no {missing}; every figure carries value, unit, source, url, grade, "
        "status, conditions (source: a name from [sources], which has title and url)"
    )


def test_a_source_that_is_not_listed_is_named(tmp_path: Path) -> None:
    path = variant(tmp_path, 'source = "dey2022"', 'source = "hearsay"')
    with pytest.raises(ConfigError) as caught:
        load_target(path)
    assert str(caught.value) == (
        "mine.toml: formats.u_bits: source hearsay stands neither in [sources] nor with a url of its own"
    )


def test_a_source_without_an_address_does_not_count(tmp_path: Path) -> None:
    path = variant(tmp_path, 'url = "https://doi.org/10.3389/fnins.2022.883360"', "")
    with pytest.raises(ConfigError, match=r"mine.toml: formats.u_bits: no url; every figure carries"):
        load_target(path)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "sop_conv = { value = 24.0",
            "sop_conv = { value = -24.0",
            "mine.toml: energy.sets.sana_fe.sop_conv: Input should be greater than or equal to 0 (found -2.4e-11)",
        ),
        (
            "sop_conv = { value = 24.0",
            "sop_conv = { value = nan",
            "mine.toml: energy.sets.sana_fe.sop_conv: Input should be a finite number (found nan)",
        ),
        (
            "cores_per_chip = { value = 128",
            "cores_per_chip = { value = 0",
            "mine.toml: limits.cores_per_chip: Input should be greater than 0 (found 0)",
        ),
        (
            'u_overflow = { value = "wrap"',
            'u_overflow = { value = "bounce"',
            "mine.toml: formats.u_overflow: bounce is not what the arithmetic computes, computed is wrap: u goes "
            "once around its bits (docs/arithmetic.md, step 3)",
        ),
        (
            "neurons_per_chip = { value = 131072",
            "neurons_per_chip = { value = 200000",
            "mine.toml: limits.neurons_per_chip 200000 is more than compartments_per_core x cores_per_chip = 131072",
        ),
        (
            "weight_exponent = { value = [-7, 7]",
            "weight_exponent = { value = [7, -7]",
            "mine.toml: formats.weight_exponent starts at 7 and ends at -7",
        ),
        (
            "v_th_mant_bits = { value = 17",
            "v_th_mant_bits = { value = 20",
            "mine.toml: formats.v_th_mant_bits 20 shifted by v_th_shift 6 exceeds v_bits 24",
        ),
        (
            "mesh = { value = [8, 4]",
            "mesh = { value = [4, 4]",
            "mine.toml: limits.mesh 4 x 4 with 4 cores a router has no room for cores_per_chip 128",
        ),
        (
            "update_active = { value = 81,",
            "update_active = { value = 8,",
            "mine.toml: energy.sets.davies2018: update_active is cheaper than update_idle",
        ),
        ("[limits]\n", "[limits]\nspeed = 3\n", "mine.toml: limits.speed: Extra inputs are not permitted (found 3)"),
        ('name = "loihi1"\n', "", "mine.toml: name: Field required"),
    ],
)
def test_a_figure_that_cannot_be_true_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_target(variant(tmp_path, old, new))
    assert str(caught.value) == complaint


def test_a_file_that_is_not_toml_says_so(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(b"name = 'x\n\xff")
    with pytest.raises(InputError, match=r"broken.toml: not TOML"):
        load_target(path)


def test_borrowed_constants_need_their_sentence(tmp_path: Path) -> None:
    text = (FOLDER / "loihi2.toml").read_text(encoding="utf-8")
    line = next(entry for entry in text.splitlines() if entry.startswith("placeholder"))
    with pytest.raises(ConfigError, match=r"mine.toml: energy.constants_of: constants of another chip need"):
        load_target(variant(tmp_path, line, "", text))


def test_an_unknown_target_names_those_that_exist() -> None:
    with pytest.raises(ConfigError) as caught:
        load_target("loihi3")
    assert str(caught.value).startswith("loihi3: no such target; there are loihi1, loihi2")


def test_what_is_no_file_is_said_to_be_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.toml")
    with pytest.raises(ConfigError, match=r"mine.toml: not a file but a pipe; there are loihi1, loihi2"):
        load_target(tmp_path / "mine.toml")
    with pytest.raises(ConfigError, match="not a file but a folder"):
        load_target(tmp_path)


def test_the_example_of_the_documentation_adds_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
    example = page.split("```toml\n# tinychip.toml\n")[1].split("```")[0]
    (tmp_path / "tinychip.toml").write_text(example, encoding="utf-8")
    monkeypatch.setenv("SEAMOUNT_TARGETS", str(tmp_path))
    assert "tinychip" in list_targets()
    target = load_target("tinychip")
    assert (target.chip.compartments, target.chip.cores_per_chip) == (256, 4)
    assert target.energy is None
    assert "?" in fit_grades(target)


def test_a_target_is_plain_data_for_a_report() -> None:
    plain = load_target("loihi1").to_dict()
    assert plain["limits"]["cores_per_chip"]["value"] == 128
    assert plain["formats"]["weight_widths"]["value"] == [1, 2, 3, 4, 5, 6, 8]
