"""The interactive page: a layer whose every entry can be touched, in one file that needs nothing else.

packing   which part of arrays it has, and how they are written
case      a layer with its numbers -> what the page knows of it, as plain data within a limit
wrong     what a target got wrong, and what the known mistakes would give
report    the cases of a report: what failed
still     the worked entry as a static SVG, for readers without JavaScript
html      cases -> the page

The program of the page stands beside these files, as it is: ``page.html``, ``page.css``, and ``script/``, where
``model.js`` is the mathematics and ``views/`` has a file for each view.
"""
