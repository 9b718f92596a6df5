"""convcheck: is the backward pass of a convolutional layer right, and if not, what is the mistake?"""

from __future__ import annotations

__version__ = "0.1.0"
