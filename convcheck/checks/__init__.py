"""The kinds of check, each in its own file, and what they share.

plan        which check of which gradient runs on a layer, and what that costs
expected    one layer with its data and numeric gradients, shared by everything that is compared with them
observed     what an implementation gave for a layer
forward     the output, against the definition
central     a gradient, against central differences on real data, within the derived bound
exact       a gradient, against differences on integer data, every entry, nothing allowed
projected   a gradient, against one random direction at a time, on integer data, nothing allowed
double      what the backward pass gives when it is differentiated itself, and forward mode
work        what a layer's check costs, foreseen
parts       what a layer's check is cut into
again       a layer that is equal to an earlier one but for its name
pools       where the work is done: here, in threads, on a cluster
jobs        what there is to check: every layer, with the code that it is checked on
running     handing the work out, and collecting what comes of it
state       what is finished, kept in a file
smallest    the smallest case on which a failed target still fails
shrinking   the search for it, whatever a trial is
second      the search for that of a wrong second derivative
"""
