"""What is wrong with a configuration by itself: found before torch is loaded, which takes longer than all of this."""

from __future__ import annotations

from seamount import own
from seamount.compile.formats import weight_bits
from seamount.config import Config
from seamount.errors import ConfigError
from seamount.hardware_targets.target import load_target
from seamount.models.choices import check_teacher, student_options

OF_DATA = ("input_bits", "input_scale")
"""Of a student's options: what follows from the data."""


def check_settings(config: Config) -> None:
    """Target, bits, students, teachers and their options, and whether a Lava that is required is there.

    Raises:
        ConfigError, BackendMissing: what would have stopped the run later.
    """
    formats = load_target(config.target.name).chip.formats
    if not isinstance(config.quant.weight_bits, dict):  # whose names are the student's
        weight_bits(config.quant.weight_bits, formats, "quant.weight_bits")
    for option in OF_DATA:
        if option in config.student.options:
            raise ConfigError("follows from the data", where=f"student.options.{option}", ways_out="leave it out")
    if not own.is_own(config.student.arch):
        student_options(config.student.arch, config.student.options)
    if not own.is_own(config.teacher.arch):
        check_teacher(config.teacher.arch, config.teacher.options)
    _check_lava(config)


def _check_lava(config: Config) -> None:
    if not config.lava.required:
        return
    if config.lava.n_samples == 0:
        found = "Lava is required, and lava.n_samples is 0"
        raise ConfigError(found, where="lava.required", ways_out="set one of both")
    from seamount.hardware_targets.lava import require_lava

    require_lava()
