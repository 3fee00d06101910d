"""What the benchmarks share: the machine, the processes under measurement, and tables."""
