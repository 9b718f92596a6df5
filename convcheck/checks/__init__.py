"""The kinds of check, each in its own file, and what they share.

plan        which check of which gradient runs on a layer, and what that costs
expected        one layer with its data and numeric gradients, shared by everything that is compared with them
observed     what an implementation gave for a layer
forward     the output, against the definition
central     a gradient, against central differences on real data, within the derived bound
exact       a gradient, against differences on integer data, every entry, nothing allowed
projected   a gradient, against one random direction at a time, on integer data, nothing allowed
double      what the backward pass gives when it is differentiated itself, and forward mode
smallest    the smallest case on which a failed target still fails
"""
