"""What holds for every test."""

from hypothesis import settings

# no deadlines, because a machine that others use too misses any of them by chance
settings.register_profile("seamount", deadline=None)
settings.load_profile("seamount")
