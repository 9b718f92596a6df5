"""Gradients from the forward pass alone. Everything here receives the forward pass as a callable.

directions   in which directions each operand is perturbed, many entries at once
differences  central and exact difference quotients along all of them: the complete numeric gradient
projection   one random direction instead of all, with a stated probability of missing a mistake
rounding     how far a right gradient may be off because of rounding
"""
