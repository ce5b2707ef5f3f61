"""What the report's numbers are, how they are made and how they are written."""
