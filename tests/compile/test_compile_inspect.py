"""Inspecting files, explaining layers, options from text."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compile_networks import network, population
from nir_files import METADATA, chain, write

from seamount.compile.inspect import explain, inspect_file
from seamount.compile.net.read import read_net
from seamount.compile.network.network import Connection, Linear, NetworkInput, reals
from seamount.compile.options import compile_options
from seamount.compile.pipeline import Compiled, CompileOptions, compile_graph
from seamount.compile.program.file import save_program
from seamount.compile.program.program import Reset
from seamount.errors import ConfigError, InputError
from seamount.hardware_targets.lava import write_net


def small() -> Compiled:
    p = population("a", (2,), a_m=0.25, gain=0.25, bias=0.5, v_th=1.0)
    connection = Connection("fc", "x", "a", (Linear(reals([[1.0, -0.5], [0.25, 0.75]])),))
    net = network([p], [connection], [NetworkInput("x", (2,), 8, 255.0)], n_steps=16)
    return compile_graph(net, None, CompileOptions(scales={"a": 4000.0}))


def test_a_layer_is_explained_with_its_numbers() -> None:
    assert explain(small(), "a").splitlines() == [
        "a: 2 neurons",
        "  arrival: the input's step t reaches it at step t + 1",
        "  reset: u = v = 0 before step k where (k + 1) % 16 = 2",
        "  u[t] = (1 - du/4096) u[t-1] + 64 sum(weight << exponent)     rounded towards zero",
        "  v[t] = (1 - dv/4096) v[t-1] + u[t] + bias                    fires where v > v_th_mant << 6, then v = 0",
        "  scale s = 4000: v_chip = 64 s (v - v_reset)",
        "  du = rint(4096 * 1) = 4096, exact",
        "  dv = rint(4096 * 0.25) = 1024, exact",
        "  v_th_mant = rint(s (v_th - v_reset)) = rint(4000 * 1) = 4000",
        "  bias = rint(64 s (a_m (v_leak - v_reset) + gain b / a_s)) = 32000, mantissa 4000 << 3, off by up to 0",
        "  fc: x -> a, dense",
        "    weight = rint(s gain W / 255 / 2^exponent) = rint(4000 * 0.25 * W / 255 / 2^-6) in -126..250",
        "    4 mixed weights, off by 0.394 %, 0 clipped, 0 became 0",
        "  worst case: drive -503..996, v -760..351744",
        "    u -32192..63744 of +-8388607, head-room 132",
    ]


def test_a_reset_is_told_by_a_remainder_that_there_is() -> None:
    compiled = small()
    p = compiled.program.population("a")
    late = replace(compiled.program, populations=(replace(p, reset=Reset(16, 34)),))
    told = "  reset: u = v = 0 before step k where (k + 1) % 16 = 2"
    assert told in explain(replace(compiled, program=late), "a").splitlines()


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(ConfigError) as caught:
        explain(small(), "b")
    assert str(caught.value) == "b: no such layer, possible are a, fc"


def test_nir_files_programs_and_net_files_are_told_apart(tmp_path: Path) -> None:
    nodes, edges = chain()
    write(tmp_path / "net.nir", nodes, edges, metadata=METADATA)
    lines = inspect_file(tmp_path / "net.nir")
    assert lines[0] == "NIR graph, version 1.0.8, 4 nodes, 3 edges"
    assert "  Affine affine bias [0.0, 0.1, 0.0] weight 3x2 -1..2" in lines
    assert "  edge affine -> lif" in lines
    assert "  metadata discretization/dt = 0.001" in lines

    made = compile_graph(tmp_path / "net.nir")
    save_program(made.program, tmp_path / "net.h5")
    lines = inspect_file(tmp_path / "net.h5")
    assert lines[: len(str(made.program).splitlines())] == str(made.program).splitlines()
    assert "  source: net.nir" in lines

    write_net(compile_graph(network_for_net()).program, tmp_path / "net.net")
    assert inspect_file(tmp_path / "net.net") == str(read_net(tmp_path / "net.net")).splitlines()
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError) as caught:
        inspect_file(tmp_path / "text")
    assert str(caught.value).startswith(f"{tmp_path / 'text'}: neither a NIR file, a lava-dl .net file nor a program")


def network_for_net():
    connections = [
        Connection("xa", "x", "a", (Linear(reals(np.eye(3))),)),
        Connection("ab", "a", "b", (Linear(reals(np.eye(3))),)),
    ]
    return network([population("a", (3,)), population("b", (3,))], connections, [NetworkInput("x", (3,))])


def test_a_net_file_compiles_to_itself(tmp_path: Path) -> None:
    program = compile_graph(network_for_net()).program
    write_net(program, tmp_path / "net.net")
    made = compile_graph(tmp_path / "net.net")
    assert made.network is None
    assert str(made.program) == str(read_net(tmp_path / "net.net"))


def test_options_from_text() -> None:
    options = compile_options(
        written_by="norse",
        settings=["dt=1e-4", "reset=value", "input_bits=8", "method=max-fit", "scale.a b=3.5"],
        n_steps=7,
    )
    assert options.nir.discretisation.dt == 1e-4
    assert (options.nir.preset, options.nir.n_steps, options.nir.input_bits) == ("norse", 7, 8)
    assert (options.search.method, options.scales) == ("max-fit", {"a b": 3.5})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("dt", "--set dt: found no '=', needed is key=value"),
        ("dt=soon", "--set dt=soon: 'soon' is not a value of this setting"),
        ("dt=-1", "dt: found -1.0, needed is a number above 0"),
        ("n_steps=x", "--set n_steps=x: 'x' is not a value of this setting"),
    ],
)
def test_options_that_mean_nothing(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_options(settings=[setting])
    assert str(caught.value) == message


def test_a_misspelt_option_is_guessed() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_options(settings=["tresh-old=>="])
    assert str(caught.value).endswith("; did you mean threshold?")
