"""Commands that compare this project with recorded vectors of others: ``python -m tests.vectors.NAME DIR``."""
