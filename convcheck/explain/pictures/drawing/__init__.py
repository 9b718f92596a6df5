"""Stories as matplotlib Figures; what each shows is decided above. Nothing here draws before it is asked to.

page       Story -> Picture, a matplotlib Figure
sheet      one panel on the page
style      colours, hatches, type
saving     Picture -> bytes
animation  the kernel slides, entry by entry; dL/dO slides, tap by tap
"""

#: Formats of single pictures.
FORMATS = ("png", "svg")

#: The pictures that move.
MOVING = ("input-gradient", "weight-gradient")

#: Formats of animations: what Pillow calls them, and its options.
ANIMATIONS: dict[str, tuple[str, dict[str, bool]]] = {
    "gif": ("GIF", {"optimize": True}),
    "webp": ("WEBP", {"lossless": True}),
    "apng": ("PNG", {}),
}
