"""Benchmarks of this machine, one module each. Each reports ratios within one run beside absolute figures."""
