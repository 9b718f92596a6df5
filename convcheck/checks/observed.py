"""What an implementation gave for a layer: usable arrays, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convcheck.errors import ConvcheckError
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.targets.calling import PLAIN, How
from convcheck.targets.loading import framework_refusal, user_traceback
from convcheck.targets.target import Misfit, Run, Target


@dataclass(frozen=True)
class Fault:
    """Why an array cannot be compared.

    Attributes
    ----------
    status : str
        "failed" if the implementation gave something of the wrong kind, "error" if it raised.
    slug : str or None
        The known mistake that it is.
    """

    status: str
    message: str
    slug: str | None = None


@dataclass(frozen=True, eq=False)
class Observed:
    """One forward and backward pass of an implementation.

    Attributes
    ----------
    arrays : mapping of str to array
        What can be compared: "output", "input", "weight" and "bias".
    faults : mapping of str to Fault
        What is wrong with the rest.
    gradients : tuple of str
        Which it was asked for.
    refusal : str or None
        Why the implementation says that it cannot take the layer: what its NotImplementedError says, or a framework's.
    output
        The output as it was given, of whatever shape; None if there was none.
    modified : mapping of str to tuple of str
        The arguments that "forward" and "backward" wrote into; all of them by "backward" where the two were not told
        apart.
    again : mapping of str to array, or Fault, or None
        What a second backward pass gave; None where none was run.
    anew : mapping of str to array, or Fault, or None
        What a new object gave on the same data; run only where the second backward pass differs from the first.
    went_on : bool
        Whether the object of the run before made it.
    changed : frozenset of str
        Arrays that held other numbers later than when they were given; looked at where several passes were in flight.
    """

    implementation: Target
    arrays: Mapping[str, Array]
    faults: Mapping[str, Fault]
    gradients: tuple[str, ...] = ("input", "weight", "bias")
    refusal: str | None = None
    output: Any = None
    modified: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    again: Mapping[str, Array] | Fault | None = None
    anew: Mapping[str, Array] | Fault | None = None
    went_on: bool = False
    changed: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, implementation: Target, layer: Layer, operands: Operands, how: How = PLAIN, *, twice: bool = False
    ) -> Observed:
        """Run an implementation; whatever it raises becomes a fault of what it did not give.

        Parameters
        ----------
        how : How
            How it is called; gradients that it is not asked for are not looked at.
        twice : bool, default False
            Whether the backward pass is run a second time, and the arguments are looked at after each pass.
        """
        trial = Trial(
            implementation, layer, lambda: implementation.both(layer, operands, how, phases=twice), how, phases=twice
        )
        trial.backward()
        if twice:
            trial.second_backward(operands)
        return trial.seen()

    @classmethod
    def interleaved(
        cls, implementation: Target, layer: Layer, data: Sequence[Operands], order: Sequence[int]
    ) -> list[Observed]:
        """Run all forward passes, then the backward passes in another order.

        What they gave is looked at when all have run, so that arrays that are used again show.
        """
        trials = [
            Trial(implementation, layer, lambda operands=operands: implementation.run(layer, operands))  # type: ignore[misc]
            for operands in data
        ]
        for number in order:
            trials[number].backward()
        for trial in trials:
            trial.look()
        return [trial.seen() for trial in trials]

    @classmethod
    def in_turn(
        cls,
        implementation: Target,
        passes: Iterable[tuple[Layer, Operands, bool]],
        *,
        of: Run | None = None,
    ) -> Iterator[tuple[Operands, Callable[[], Observed], Run | None]]:
        """Run forward and backward passes one after the other, on the same object where it takes a further pass.

        A new one goes on otherwise. Yields the data, what waits for what came of them, and the run itself.

        Parameters
        ----------
        passes : iterable of (Layer, Operands, bool)
            What is run, and whether the data lie in other memory than those of the pass before.
        of : Run, optional
            Of the object that goes on.
        """
        for layer, operands, new_memory in passes:
            before = of
            trial = Trial(
                implementation, layer,
                lambda: implementation.onward(before, layer, operands, new_memory=new_memory),  # noqa: B023 - run at once
            )  # fmt: skip
            seen, of = trial.ahead(), trial.done
            yield operands, seen, of

    def with_another(self, layer: Layer, done: Run, grad_output: Array) -> Observed:
        """Run the backward pass of this run once more, for another grad_output."""
        trial = Trial(self.implementation, layer)
        trial.continues(done, self.output)
        trial.backward(grad_output)
        return trial.seen()


class Trial:
    """Collects what one run gives, as far as it gets.

    Attributes
    ----------
    done : Run or None
        The forward pass; in another process it may still run, and raise.
    """

    def __init__(
        self, implementation: Target, layer: Layer, run: Callable[[], Run] | None = None, how: How = PLAIN, *,
        phases: bool = False,
    ) -> None:  # fmt: skip
        self._implementation, self._layer, self._how, self._phases = implementation, layer, how, phases
        gradients = ("input", "weight", "bias") if layer.bias else ("input", "weight")
        wanted = (name for name in gradients if name in how.gradients)
        self._gradients = [name for name in wanted if name not in implementation.absent]
        self._given: dict[str, Any] = {}
        self._arrays: dict[str, Array] = {}
        self._faults: dict[str, Fault] = {}
        self._modified: dict[str, tuple[str, ...]] = {}
        self._again: Mapping[str, Array] | Fault | None = None
        self._anew: Mapping[str, Array] | Fault | None = None
        self._refusal: str | None = None
        self._output: Any = None
        self._changed: frozenset[str] = frozenset()
        self.done: Run | None = None
        #: Whether the output is still to be waited for.
        self._to_come = False
        if run is not None:
            self._attempt(lambda: self._begin(run))
            if not implementation.ahead(layer):
                self._arrive()

    def ahead(self) -> Callable[[], Observed]:
        """Run the backward pass too; return what waits for what came of both, where they run in another process."""
        if self._to_come:
            return self._waited
        self.backward()
        observed = self.seen()
        return lambda: observed

    def _waited(self) -> Observed:
        if self._to_come:
            self.backward()
        return self.seen()

    def _attempt(self, act: Callable[[], None]) -> None:
        """Do something that runs code under test, and blame the code for what it raises.

        Not as a context manager made of a generator: from Python 3.12 on, one that keeps an exception to itself leaves
        a cycle behind, through its frame, in which the code and the process that it runs in would stay.
        """
        try:
            act()
        except NotImplementedError as error:
            self._refusal, self.done = str(error) or "the target raised NotImplementedError", None
        except (Exception, SystemExit) as error:
            self._refusal, self.done = framework_refusal(error), None
            self._blame(error)

    def _begin(self, run: Callable[[], Run]) -> None:
        self.done = run()
        self._to_come = True

    def _arrive(self) -> None:
        """Wait for what the forward pass gives."""
        if self._to_come:
            self._to_come = False
            self._attempt(self._take_output)

    def _take_output(self) -> None:
        assert self.done is not None
        output = self._given["output"] = self.done.output
        # A copy: the backward pass may write into it.
        self._output = _copy(output)
        if self._phases:
            self._modified["forward"] = self.done.modified()

    def continues(self, done: Run, output: Any) -> None:
        """Take over a forward pass, whose backward pass is run once more."""
        self.done, self._output = done, output

    def backward(self, grad_output: Array | None = None) -> None:
        """Run the backward pass, where the forward pass gave an output that it can be about."""
        self._arrive()
        if self.done is None:
            return
        self._accept("output", self._output)
        if np.shape(self._output) != self._layer.output_shape:
            return
        try:
            given = self.done.backward() if grad_output is None else self.done.backward(grad_output)
            self._given |= dict(zip(("input", "weight", "bias"), given, strict=True))
            self._modified["backward"] = tuple(
                name for name in self.done.modified() if name not in self._modified.get("forward", ())
            )
        except (Exception, SystemExit) as error:
            # Of a framework that lacks a kernel; code of the user's says in forward which layers it does not take, but
            # not what it is given later.
            own = self._how != PLAIN and isinstance(error, NotImplementedError)
            self._refusal = str(error) or "the target raised NotImplementedError" if own else framework_refusal(error)
            self._blame(error)
            return
        self._look_at_gradients()

    def look(self) -> None:
        """Take what was given as it is now, and note what has changed since."""
        self._arrive()
        if self.done is None:
            return
        before = dict(self._arrays)
        # A process that has ended since changes nothing any more.
        with suppress(ConvcheckError):
            now = self.done.now()
            if now is not None:
                names = ("output", "input", "weight", "bias")
                self._given |= {name: value for name, value in zip(names, now, strict=True) if name in self._given}
        self._accept("output", _copy(self._given["output"]))
        if "input" in self._given:
            self._look_at_gradients()
        self._changed = frozenset(n for n, array in before.items() if self._arrays[n].tobytes() != array.tobytes())

    def second_backward(self, operands: Operands) -> None:
        """Run the backward pass again, and where that tells something, a new object."""
        if self.done is None or self._faults or len(self._arrays) == 1:
            return
        self._again = self._repeated(self.done.backward)
        same = not isinstance(self._again, Fault) and all(
            np.array_equal(array, self._arrays[name], equal_nan=True) for name, array in self._again.items()
        )
        if not same:
            self._anew = self._repeated(lambda: self._implementation.run(self._layer, operands).backward())

    def _repeated(self, backward: Callable[[], tuple[Any, Any, Any]]) -> Mapping[str, Array] | Fault:
        try:
            pairs = zip(("input", "weight", "bias"), backward(), strict=True)
            given = {name: _copy(value) for name, value in pairs if name in self._arrays and value is not None}
        except (Exception, SystemExit) as error:
            return Fault("error", explained(error))
        faults = [fault for name, value in given.items() if (fault := fault_of(name, value, self._layer))]
        return Fault("failed", f"differs in kind from the first: {faults[0]}") if faults else given

    def _look_at_gradients(self) -> None:
        for name in self._gradients:
            self._accept(name, _copy(self._given[name]))

    def _accept(self, name: str, value: Any) -> None:
        fault = fault_of(name, value, self._layer)
        if fault:
            missing = "zero-gradient" if value is None and name != "output" else None
            self._faults[name] = Fault("failed", fault, value.slug if isinstance(value, Misfit) else missing)
        else:
            self._arrays[name] = np.asarray(value)

    def _blame(self, error: BaseException) -> None:
        missing = [name for name in ("output", *self._gradients) if name not in self._given]
        self._faults |= {name: Fault("error", explained(error)) for name in missing}

    def seen(self) -> Observed:
        """Return all of it."""
        went_on = self.done is not None and self.done.went_on
        return Observed(
            self._implementation, self._arrays, self._faults, self._how.gradients, refusal=self._refusal,
            output=self._output, modified=self._modified, again=self._again, anew=self._anew, went_on=went_on,
            changed=self._changed,
        )  # fmt: skip


def explained(error: BaseException) -> str:
    """Return what a report says of an exception: convcheck's own words, or the user's own traceback."""
    return str(error) if isinstance(error, ConvcheckError) else user_traceback(error)


def _copy(value: Any) -> Any:
    # A second pass may write into the very array that the first one returned.
    return value if value is None or isinstance(value, Misfit) else np.array(value)


def shape_of(name: str, layer: Layer) -> tuple[int, ...]:
    """Return the shape that the output or a gradient must have."""
    shape: tuple[int, ...] = getattr(layer, f"{name}_shape")
    return shape


def fault_of(name: str, value: Any, layer: Layer) -> str | None:
    label = name if name == "output" else f"grad_{name}"
    if value is None:
        return f"{label} is missing (None); expected an array of shape {shape_of(name, layer)}"
    if isinstance(value, Misfit):
        return value.reason
    array = np.asarray(value)
    if array.shape != shape_of(name, layer):
        return f"{label} has shape {array.shape}; expected {shape_of(name, layer)}"
    if array.dtype != layer.dtype:
        hint = "; NumPy's zeros are float64 unless they are told dtype=x.dtype" if array.dtype == np.float64 else ""
        if str(array.dtype) in DTYPES:
            hint += f"; if it computes in {array.dtype} whatever comes in, check it so: {in_dtype(array.dtype)}"
        else:
            hint = "; give back the type that came in: .astype(x.dtype)"
        return f"{label} has dtype {array.dtype}; expected {layer.dtype}{hint}"
    return None


def in_dtype(dtype: object) -> str:
    """Return how code is checked in a data type, as an option or as a line of the config."""
    return f"--dtype {dtype}, or defaults: {{dtype: {dtype}}} in the config"
