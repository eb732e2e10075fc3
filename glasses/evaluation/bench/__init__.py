"""Measurements of what is installed here, on this machine. Each prints ratios of one run beside absolute figures."""
