"""Real numbers in discrete time: what every source becomes before it is lowered, and its interpreter."""
