"""A package because a wheel of Lava installs one of the same name, which would otherwise win on ``python -m``."""
