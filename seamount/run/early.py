"""What is wrong with a configuration by itself: found before torch is loaded, which takes longer than all of this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seamount import own
from seamount.compile.formats import weight_bits
from seamount.config import Config
from seamount.distill.layouts import LAYOUTS, root_of
from seamount.errors import ConfigError, InputError
from seamount.hardware_targets.target import load_target
from seamount.models.choices import check_teacher, student_options
from seamount.own_source import check_source

from .settings import own_code

OF_DATA = ("input_bits", "input_scale")
"""Of a student's options: what follows from the data."""


def check_settings(config: Config) -> None:
    """Target, bits, students, teachers and their options, files, and whether a Lava that is required is there.

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
    _check_files(config)
    _check_lava(config)


def _check_files(config: Config) -> None:
    """Data, weights and code that settings name, as far as it shows without loading what they are for."""
    if config.data.name in LAYOUTS and not config.data.download:
        root_of(config.data)
    for setting, path in (
        ("teacher.checkpoint", config.teacher.checkpoint),
        ("student.checkpoint", config.student.checkpoint),
    ):
        if path is not None and not Path(path).exists():
            raise InputError(f"{path}: no such file", where=setting)
    named = list(own_code(config))
    # the text of all of them first: what one of them imports may take seconds
    for setting, reference in named:
        check_source(reference, setting, _options(config, setting))
    for setting, reference in named:
        own.find(reference, setting)


def _options(config: Config, setting: str) -> Mapping[str, Any]:
    """Of the section that a setting stands in."""
    sections = {
        "teacher.arch": config.teacher.options,
        "student.arch": config.student.options,
        "data.name": config.data.options,
        "distill.method": config.distill.options,
    }
    return sections.get(setting.split(" ")[0], {})


def _check_lava(config: Config) -> None:
    if not config.lava.required:
        return
    if config.lava.n_samples == 0:
        found = "Lava is required, and lava.n_samples is 0"
        raise ConfigError(found, where="lava.required", ways_out="set one of both")
    from seamount.hardware_targets.lava import require_lava

    require_lava()
