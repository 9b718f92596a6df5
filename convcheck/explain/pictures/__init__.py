"""Layer and arrays -> panels: what a picture of the backward pass shows, as plain data, before anything is drawn.

The arrays are those that the formulations compute with. `drawing` draws panels with matplotlib and `terminal` prints
them on a terminal; nothing here needs either.

panel   Panel: an array, what every cell is, what is marked, and the words around it
sizes   sizes as equations with a layer's own numbers
window  which part of a large map is shown
and one module per picture, each giving a Story: the panels in their order, and a worked example
"""
