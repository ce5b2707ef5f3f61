"""compare, check, why, sweep: questions about finished runs."""
