"""Speed, as ratios: both sides measured in one run, on the same arrays, in turn.

timing       several contenders in turn, round by round
contenders   who is timed: the formulations, PyTorch where it is installed, a target
suite        a suite's layers -> BenchReport: forward and backward, and the checks themselves
report       what was measured, as plain data

Rendering is in `convcheck.render.bench_table`.
"""
