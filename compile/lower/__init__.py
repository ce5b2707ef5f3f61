"""The one place where real numbers become the program's integers: scales, rounding, calibration."""
