"""Where the benchmark of the simulator says that time goes, of networks with and without a scan."""

from pathlib import Path

import pytest

from seamount.compile.net.read import read_net
from seamount.hardware_targets.simulator import simulate

ROOT = Path(__file__).resolve().parents[2]


def test_phases_of_sigma_delta_networks_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import networks
    import simulator

    monkeypatch.setattr(networks, "AUDIO", (12, 9, 7))
    net = networks.network("audio-sdnn", tmp_path, tmp_path)
    x = simulator.ours(net.samples(2))
    assert simulate(read_net(net.file), x, n_steps=len(x)).readout.any()
    rows = simulator.profile(net, 2)
    phases = [row["phase"] for row in rows]
    assert "scan neurons" not in phases, "they have none"
    assert phases[-2:] == ["step neurons without a scan", "everything else"]
    table = simulator.profile_table(net.name, 2, rows)
    assert all(phase in table for phase in phases)
