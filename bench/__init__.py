"""Benchmarks: pynet beside PyTorch on the same machine, in alternation (`python -m bench --help`)."""
