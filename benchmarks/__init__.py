"""Benchmarks: what is claimed about speed and quality, measured anew on each machine."""
