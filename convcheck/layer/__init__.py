"""What is checked: a layer with its sizes, its axes and its data.

fields      the options of a layer and the dtypes, one table each
layer       Layer: what a config file says of a layer, resolved and checked
axis        all index arithmetic of one spatial axis
data        the arrays on which a layer is checked
arrays      the types of arrays
similar     small layers that stand for a large one, and layers that differ from one in a single respect
plainer     layers that are one step plainer than a layer
words       the geometry of a layer in words
threads     what the threads of matrix products are told
properties  what one layer has and another has not, in words
"""
