"""Layer and arrays -> panels: what a picture of the backward pass shows, as plain data, before anything is drawn.

The arrays are those that the formulations compute with; nothing here needs matplotlib until `drawing` is asked.

forward_pass, wires, input_gradient, weight_gradient, bias_gradient, channels, overlap, unfold_view, twins
           a picture each: a function ``story``
sliding    dilate, pad, flip, slide: dL/dX, or the output of a transposed layer
windowed   windows times the kernel: the output, or dL/dX of a transposed layer
roles      what the arrays are called: a transposed layer is told by the plain one that is its twin
errors     the picture of a wrong gradient, and what a target gets wrong
stories    finds all of these by itself: a new picture is a new file here
panel      Panel: an array, what every cell is, what is marked, and the words around it; Story: the panels of a picture
selection  which slice is shown, and which entry is worked out in all pictures
window     which part of a large map is shown, and what its cells are
mistaken   what a known mistake would do to a layer
sizes      sizes as equations with a layer's own numbers, and worked sums
terminal   Story -> text with grids
drawing    Story -> matplotlib Figure, file, animation
"""
