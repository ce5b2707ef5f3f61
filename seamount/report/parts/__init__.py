"""The parts of a report: one file each, with what it holds and how it is computed."""
