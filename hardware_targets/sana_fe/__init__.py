"""SANA-FE (GPL, optional): a second opinion on energy and time. It is imported in a process of its own alone."""

from .installed import require_sana_fe
from .opinion import Opinion, second_opinion, time_limit_s

__all__ = ["Opinion", "require_sana_fe", "second_opinion", "time_limit_s"]
