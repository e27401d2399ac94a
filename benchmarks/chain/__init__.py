"""The project's main benchmark: a chain of boards against its bound, one board, replicas and a DEFER-style chain.

`python -m benchmarks.chain`; all that is compared is measured in turns, in one run, on the same emulated boards.
"""
