"""A differential fuzzer: random programs run on PyTorch and on jaxnn, and everything that can be seen is compared.

`python -m tests.fuzz --seed 0 --count 1000`; see CONTRIBUTING.md.
"""
