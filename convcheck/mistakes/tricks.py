"""Ways in which wrong code has passed other checkers, each with what shows it here.

A report gives such a name only where the numbers leave no other reading; else the condition or the mistake has its own.
"""

from __future__ import annotations

from convcheck.mistakes.mistake import OtherName

#: Every trick by its name. ``told_of`` says by what it is found, and when a report names it.
TRICKS = {
    name: OtherName(code, name, title, fix, told_of, why)
    for code, name, title, fix, told_of, why in (
        (
            "CC941", "cached-by-address",
            "the same memory holds other numbers, and the gradient is what was right for the numbers before",
            "Keep nothing by an array's address, shape or version counter; use the numbers that are given.",
            "a gradient that equals, entry by entry, that of the earlier numbers: new values in the same memory, by "
            "the condition same-memory",
            "A checker that calls code once, or always with new arrays, never sees it; an optimizer changes weights "
            "where they lie.",
        ),
        (
            "CC942", "right-then-stale",
            "the gradient is right for the first calls of an object, and then stays what was right for one of them",
            "Look for a counter of calls, a warm-up, and for what is kept of the first call.",
            "a gradient that equals that of an earlier call of the same object: twelve calls on data of every kind, "
            "by the condition many-calls",
            "A checker tries a few calls; training makes thousands.",
        ),
        (
            "CC943", "memorised-answer",
            "a new object on other data gives what was right for data that the code was given before",
            "Compute from what is given; keep nothing on the class, the module or in a file.",
            "a gradient that equals that of other data, given earlier, on a new object: by every condition with "
            "data of its own. What is known before the run, for a known seed, does not hold for `--seed random`, "
            "which `convcheck judge` draws",
            "Data from a fixed seed are known to everybody.",
        ),
        (
            "CC944", "never-written",
            "entries are never written and hold what the memory held before",
            "Fill the array that is returned, all of it: np.zeros for np.empty, a mask that reaches the last entry.",
            "entries that have the bytes with which memory is filled before code gets it, NumPy's and PyTorch's on "
            "the CPU: by every check",
            "Fresh memory is often all zeros, or holds the right answer of the call before.",
        ),
        (
            "CC945", "expected-output-reused",
            "the output is taken from memory in which the checker has left what it expects",
            "Compute the output.",
            "nothing, by this name: what is expected is computed in another process than the code's, so that no "
            "memory of its can hold it, and memory is filled before it is handed out; it shows as never-written, or "
            "as a wrong number",
            "A checker that computes the reference in the same process frees its memory for the code to find.",
        ),
        (
            "CC946", "changes-after-return",
            "an array that was returned holds other numbers after a later call",
            "Return memory of its own from every call; do not write into what was returned, in a thread either.",
            "arrays that were right when they were returned and are not any more after three passes in flight: by "
            "the condition interleaved",
            "A network keeps every layer's output until the backward pass has used it.",
        ),
        (
            "CC947", "lazy-result",
            "what is returned is no array and computes when it is looked at",
            "Return arrays that hold the numbers.",
            "nothing, by this name: a result is looked at once, in the code's own process and within its time "
            "limit, and what is judged is a copy of the bytes. One that raises or hangs when it is looked at has "
            "failed",
            "A clock stops before the work is done, and a second look may give other numbers.",
        ),
        (
            "CC948", "own-equality",
            "what is returned is of a class that says of itself that it is equal",
            "Return plain arrays.",
            "nothing, by this name: bytes pass to the process that compares, and no class and no method; wrong "
            "numbers show as such",
            "A comparison asks the objects that are compared.",
        ),
        (
            "CC949", "work-skipped",
            "work is left out for weights or gradients that are 0",
            "Compute the result for all numbers; a shortcut for zeros must give the same.",
            "nothing, by this name: wrong gradients of data with zeros, in each array in turn, by the conditions "
            "sparse and zero-grad-output, which give their names",
            "Weights that start at 0 make a wrong kernel look right, and fast.",
        ),
        (
            "CC950", "replaced-checker",
            "clocks, random generators or functions of the checker are replaced",
            "Leave other people's modules as they are.",
            "nothing, by this name: the code runs in another process than what draws, compares, measures and "
            "reports, so that what it replaces there is not used for the verdict",
            "Code in the checker's own process can make it say anything.",
        ),
    )
}  # fmt: skip
