"""Hand-worked costs of tiles by the public rules (loihi1)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamount.compile.fit.chip import Chip
from seamount.compile.fit.place import Assignment, Tile, place, validate_placement
from seamount.compile.fit.place.rules import Group, groups, index_bits, list_words, overlap, weight_format
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses
from seamount.errors import InputError
from seamount.hardware_targets.target import load_target
from seamount.windows import Window

LIF = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(64))
LOIHI1 = load_target("loihi1")
CHIP: Chip = LOIHI1.chip


def eight_bits(*shape: int, seed: int = 0) -> np.ndarray:
    """Even mixed-sign weights that need all 8 bits and are never 0."""
    random = np.random.default_rng(seed)
    return ints(2 * random.integers(1, 128, shape) * random.choice([-1, 1], shape) + 0)


def one_group(kind: Kind, source: tuple[int, ...], target: tuple[int, ...], bits: int = 0) -> tuple[Program, Group]:
    program = Program(
        "test",
        (Input("in", source, bits),),
        (Population("out", target, LIF),),
        (Synapses("s", "in", "out", kind, graded=bits > 0),),
    )
    return program, groups(program, CHIP)[0]


def test_a_list_pays_a_header_for_every_60_synapses() -> None:
    # 4 entries of 60 x 8 + 10 = 490 bits = 8 words, one of 16 x 8 + 10 = 138 bits = 3 words
    assert int(list_words(256, 8, CHIP)) == 35
    # four entries of 64 x 8 + 10 = 522 bits = 9 words
    assert int(list_words(256, 8, replace(CHIP, entry_synapses=64))) == 36
    assert list_words(np.array([0, 1, 60, 61]), 8, CHIP).tolist() == [0, 1, 8, 9]


@pytest.mark.parametrize(("span", "bits"), [(2, 6), (64, 6), (65, 7), (1024, 10), (4096, 12)])
def test_an_index_takes_the_next_width_that_exists(span: int, bits: int) -> None:
    assert index_bits(span, CHIP) == bits


def test_dense_512_to_256_needs_two_cores_although_the_raw_bits_fit_one() -> None:
    program, group = one_group(Dense(eight_bits(256, 512)), (512,), (256,))
    use = group.use(((0, 256),), "discrete")
    assert CHIP.synapse_words * CHIP.word_bits == 512 * 256 * 8
    assert (use.input_axons, use.synapse_words, use.longest_list, use.formats) == (512, 512 * 35, 35, 1)
    whole = validate_placement(program, [Assignment(0, 0, (Tile("out", ((0, 256),)),))], LOIHI1)
    assert [str(v) for v in whole.violations] == [
        "out: synapse words 17920 on core 0 of chip 0, loihi1 holds 16384; fewer weight bits; "
        "or pruning, stored sparsely; or fewer inputs or channels in a layer"
    ]
    assert place(program, LOIHI1).n_cores == 2


def test_a_convolution_tile_by_hand() -> None:
    # map (2, 6, 6), kernel 3, padding 1, 4 channels; tile: rows 0..2, all columns.
    # Rows 0..3 reach it. Kernel rows they use: row 0 {1,0}, row 1 {2,1,0}, row 2 {2,1}, row 3 {2}: 4 patterns.
    # Columns: {1,0} at the left, {2,1,0} four times, {2,1} at the right: 3 patterns.
    _, group = one_group(Conv(eight_bits(4, 2, 3, 3), Window(padding=(1, 1))), (2, 6, 6), (4, 6, 6))
    box = ((0, 4), (0, 3), (0, 6))
    assert group.overlap(1, 0, 3).needed.tolist() == [0, 1, 2, 3]
    assert sorted(n for n, _ in group.overlap(1, 0, 3).patterns) == [1, 2, 2, 3]
    assert sorted(n for n, _ in group.overlap(2, 0, 6).patterns) == [2, 2, 3]
    # words by (outputs in rows) x (outputs in columns), 4 channels each; gaps between rows cost 6 index bits:
    #   1 x 2: 8 x 8 + 10 = 74 -> 2      1 x 3: 12 x 8 + 10 = 106 -> 2
    #   2 x 2: 16 x 14 + 10 = 234 -> 4   2 x 3, 3 x 2: 24 x 14 + 10 = 346 -> 6   3 x 3: 36 x 14 + 10 = 514 -> 9
    per_channel = (2 + 2 + 2) + 2 * (4 + 6 + 4) + (6 + 9 + 6)
    discrete, shared = group.use(box, "discrete"), group.use(box, "population")
    assert (discrete.input_axons, discrete.synapse_words, discrete.longest_list) == (4 * 6 * 2, 2 * per_channel, 9)
    assert (shared.input_axons, shared.synapse_words) == (4 * 6, 2 * per_channel)


def test_input_axons_of_a_strided_tile_follow_the_formula() -> None:
    # inside the map: ((h - 1) s + k) ((w - 1) s + k) C_in
    kind = Conv(eight_bits(8, 5, 3, 3), Window(stride=(2, 2), padding=(1, 1)))
    _, group = one_group(kind, (5, 16, 16), (8, 8, 8))
    assert group.use(((0, 8), (2, 6), (1, 3)), "discrete").input_axons == ((4 - 1) * 2 + 3) * ((2 - 1) * 2 + 3) * 5


def test_overlap_with_dilation_leaves_gaps() -> None:
    # one output, kernel 3, dilation 2: rows 1, 3, 5
    assert overlap(8, 3, 1, 0, 2, 1, 2).needed.tolist() == [1, 3, 5]


def test_a_depthwise_tile_needs_its_own_channels_only() -> None:
    _, group = one_group(Conv(eight_bits(8, 1, 3, 3), Window(padding=(1, 1), groups=8)), (8, 4, 4), (8, 4, 4))
    use = group.use(((2, 5), (0, 4), (0, 4)), "discrete")
    assert use.input_axons == 3 * 16


def test_a_pruned_matrix_is_stored_whichever_way_is_smaller() -> None:
    weights = np.zeros((200, 4), dtype=np.int64)
    weights[:2, 0] = 200
    weights[:199, 1] = 255
    _, group = one_group(Dense(ints(weights)), (4,), (200,))
    # filled with zeros: 2 lists of 200: 3 x 8 + ceil((20 x 8 + 10) / 64) = 27 words each
    # with index (8 bits): list of 2: 42 bits -> 1; list of 199: 3 x ceil(970/64) + ceil(314/64) = 53
    assert group.use(((0, 200),), "discrete").synapse_words == 54
    assert group.use(((0, 200),), "discrete").input_axons == 2
    sparse = Sparse(ints([200, 200]), ints([0, 1]), ints([0, 0]), 200, 4)
    assert one_group(sparse, (4,), (200,))[1].use(((0, 200),), "discrete").synapse_words == 1


def test_equal_one_to_one_weights_share_a_list() -> None:
    _, group = one_group(OneToOne(ints(64)), (300,), (300,))
    use = group.use(((0, 300),), "discrete")
    assert (use.input_axons, use.synapse_words) == (300, 1)


def test_graded_input_takes_a_bit_plane_for_each_bit_on_a_chip_of_binary_spikes() -> None:
    kind = Dense(eight_bits(10, 100))
    _, planes = one_group(kind, (100,), (10,), bits=8)
    # lists of 10 x 8 + 10 = 90 bits = 2 words
    use = planes.use(((0, 10),), "discrete")
    assert (use.input_axons, use.synapse_words, use.formats) == (800, 800 * 2, 8)
    program, _ = one_group(kind, (100,), (10,), bits=8)
    assert groups(program, load_target("loihi2").chip)[0].planes == 1


@pytest.mark.parametrize(
    ("weights", "exponent", "width", "held"),
    [
        # mixed: 8 bits stand for -256 .. 254 in steps of 2
        ([-256, 254], 0, 8, 0),
        # -2, 2 are -1, 1 << 1: two bits with sign; on the 9-bit scale the mantissa is << 7, undone by exponent -6
        ([-2, 2], 0, 2, -6),
        # one sign: 255 needs all 8 bits, 240 = 15 << 4 needs 4
        ([0, 255], 0, 8, 0),
        ([0, 240], 0, 4, 0),
        ([-255, -3], 0, 8, 0),
        # seven bits have no code
        ([0, 127], 0, 8, 0),
        # exponent -9 would be needed at 2 bits: wider until the chip has it
        ([-1, 1], 0, 2, -7),
        ([-1, 1], -1, 3, -7),
        ([0, 511], 0, None, 0),
        ([0, 255], 8, None, 8),
    ],
)
def test_the_narrowest_exact_weight_format(weights: list[int], exponent: int, width: int | None, held: int) -> None:
    form = weight_format(ints(weights), exponent, CHIP)
    assert form.width == width
    if width is not None:
        assert form.exponent == held


@settings(max_examples=40)
@given(st.data())
def test_axons_of_random_convolutions_equal_a_count_over_every_connection(data: st.DataObject) -> None:
    draw = data.draw
    side = st.integers(3, 7)
    c_in, c_out, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(side), draw(side)
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    kind = Conv(
        eight_bits(c_out, c_in, *kernel),
        Window(
            (draw(st.integers(1, 2)), draw(st.integers(1, 2))), (draw(st.integers(0, 1)), draw(st.integers(0, 1)))
        ),
    )
    out_h, out_w = (
        (n + 2 * p - (k - 1) - 1) // s + 1
        for n, k, s, p in zip((h, w), kernel, kind.window.stride, kind.window.padding, strict=True)
    )
    program = Program(
        "random",
        (Input("in", (c_in, h, w)),),
        (Population("a", (c_in, h, w), LIF), Population("b", (c_out, out_h, out_w), LIF)),
        (Synapses("in>a", "in", "a", OneToOne(ints(64))), Synapses("a>b", "a", "b", kind)),
    )
    cut_a, cut_b = draw(st.integers(1, h - 1)), draw(st.integers(1, max(1, out_w - 1)))
    tiles = [Tile("a", ((0, c_in), (0, cut_a), (0, w))), Tile("a", ((0, c_in), (cut_a, h), (0, w)))]
    columns = [(0, cut_b)] + ([(cut_b, out_w)] if cut_b < out_w else [])
    tiles += [Tile("b", ((0, c_out), (0, out_h), side)) for side in columns]
    placed = validate_placement(program, [Assignment(0, n, (t,)) for n, t in enumerate(tiles)], LOIHI1)
    reached = connected(kind, (c_in, h, w), (c_out, out_h, out_w))
    for n, tile in enumerate(tiles):
        inside = np.zeros(program.shape(tile.population), dtype=bool)
        inside[tuple(slice(*s) for s in tile.box)] = True
        if tile.population == "b":
            sources = reached[inside.reshape(-1)].any(axis=0)
            assert placed.cores[n].use.input_axons == sources.sum()
        else:
            sent = 0
            for follower in tiles[2:]:
                there = np.zeros((c_out, out_h, out_w), dtype=bool)
                there[tuple(slice(*s) for s in follower.box)] = True
                sent += (reached[there.reshape(-1)].any(axis=0) & inside.reshape(-1)).sum()
            assert placed.cores[n].use.output_axons == sent


def connected(kind: Conv, source: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    """(target, source) neurons with a synapse, by looping over everything."""
    found = np.zeros((*target, *source), dtype=bool)
    (s_h, s_w), (p_h, p_w) = kind.window.stride, kind.window.padding
    _, c_in, k_h, k_w = kind.weights.shape
    for co, y, x, ci, i, j in np.ndindex(*target, c_in, k_h, k_w):
        row, column = y * s_h - p_h + i, x * s_w - p_w + j
        if 0 <= row < source[1] and 0 <= column < source[2]:
            found[co, y, x, ci, row, column] = True
    return found.reshape(int(np.prod(target)), int(np.prod(source)))


def test_a_placement_must_hold_every_neuron_once() -> None:
    program, _ = one_group(Dense(eight_bits(4, 4)), (4,), (4,))
    half = Assignment(0, 0, (Tile("out", ((0, 2),)),))
    with pytest.raises(InputError, match="out: 2 neurons without a core and 0 with several"):
        validate_placement(program, [half], LOIHI1)
    with pytest.raises(InputError, match="core 0 of chip 0 is assigned twice"):
        validate_placement(program, [half, half], LOIHI1)
    with pytest.raises(InputError, match="core 128 of chip 0 does not exist, loihi1 has 128 cores"):
        validate_placement(program, [replace(half, core=128)], LOIHI1)


def test_placing_needs_nothing_but_a_chip() -> None:
    program, _ = one_group(Dense(eight_bits(4, 4)), (4,), (4,))

    class OnlyChip:
        chip = replace(CHIP, compartments=3)

    assert place(program, OnlyChip()).n_cores == 2
