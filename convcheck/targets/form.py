"""What all forms of the user's own code have in common: copies and layouts around a session per forward pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric import rounding
from convcheck.gradients.numeric.directions import Forward
from convcheck.layer.arrays import Array, equal, wide
from convcheck.layer.data import Operands
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.calling import AROUND, PLAIN, How
from convcheck.targets.concurrency import limited_threads, one_thread_if_small, repeated_beside
from convcheck.targets.layouts import Layout, images, one_sample, weights
from convcheck.targets.placement import Placed, placed
from convcheck.targets.session import GRADIENTS, Given, SampleBySample, Session
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import Misfit, Run, Target
from convcheck.wording import readable


def refusal(spec: TargetSpec, takes: Collection[str], layer: Layer) -> str | None:
    """Return why a target that takes some features cannot take a layer; None if it can."""
    rank = len(layer.kernel)
    for layout in _layouts(spec):
        if not layout.fits(rank):
            return f"the layout {layout.letters} is not defined for {rank} spatial axes"
    return features.missing(layer, takes)


def _layouts(spec: TargetSpec) -> tuple[Layout, Layout]:
    return images(spec.layout), weights(spec.weight_layout)


class Form(Target):
    """Code of the user's.

    Parameters
    ----------
    name : str
        As reports call it.
    takes : frozenset of str
        Features that this form takes as far as one can see.
    told : collection of str, optional
        What of a layer the code is told, from which follows of which kinds of layers it can be told. By default, as
        the form says.
    lacking : collection of str, optional
        Features that it does not take, unless its mapping says so.
    around : collection of str, optional
        Options that the form sees to, around code that is not told of them and does not do it of itself.

    Attributes
    ----------
    takes : frozenset of str
        Features that it takes, as far as one can see and by its mapping.
    bias_per_position : bool
        Whether there is one bias per output position.
    kinds : frozenset of str
        Those of `features.KINDS` of which code of this form can be told.
    shown : frozenset of str
        Those of which one sees that the code takes them.
    conjugates : bool
        Whether its complex gradients are made with conjugates, as convcheck's are. Those of code that conjugates
        nothing are the conjugates of convcheck's for the conjugate of grad_output.
    """

    kinds: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()
    conjugates: bool = True

    inapplicable: Mapping[str, str] = {
        "some-gradients": "code of this form always gives all gradients",
        "after-no-grad": "code of this form has no pass without gradients",
    }

    def __init__(
        self, name: str, spec: TargetSpec, takes: frozenset[str], told: Collection[str] | None = None,
        lacking: Collection[str] = (), around: Collection[str] = (),
    ) -> None:  # fmt: skip
        lacking = set(lacking)
        if told is not None:
            self.shown = features.kinds_shown(name, told)
            whole = not {"layer", "conv_param"}.isdisjoint(told)
            self.kinds = features.KINDS if whole else self.shown | {"transposed"}
            lacking |= {"plain"} if "transposed" in self.shown and "transposed" not in told else set()
            lacking |= set() if whole or "output_padding" in told else {"output-padding"}
        self.name = name
        self.spec = spec
        self.exact = spec.exact
        self.conjugates = self.conjugates if spec.conjugate is None else spec.conjugate
        self.found: list[str] = []
        self.averages = spec.mean_over_batch
        self.bias_per_position = spec.bias == "per-position"
        self.untold = frozenset(spec.supports) & {"stride", "padding", "dilation"} - takes.difference(around)
        untellable = set(spec.supports) & features.KINDS - self.kinds
        if untellable:
            words = " or ".join(features.FEATURES[kind].words for kind in sorted(untellable))
            raise TargetError(f"target {name}: supports: code of this form cannot be told of {words}; leave that out")
        takes = (takes - features.KINDS) | self.shown
        self.takes = ((takes | features.UNSEEN) - lacking | set(spec.supports)) - set(spec.unsupported)
        self._images, self._weights = _layouts(spec)
        self.absent = {
            gradient: "the target does not give this gradient"
            for gradient in ("input", "weight", "bias")
            if gradient not in spec.gradients
        }
        self.at_once = spec.threads

    def unsupported(self, layer: Layer) -> str | None:
        if self.averages and DTYPES[layer.dtype].half and layer.batch & (layer.batch - 1):
            return f"the mean over a batch of {layer.batch} cannot be undone in {layer.dtype}; of 2, 4, 8, ... it can"
        return refusal(self.spec, self.takes, layer)

    def other_kinds(self, layer: Layer) -> list[str]:
        return features.other_kinds(layer, self.takes)

    def takes_bias(self) -> bool:
        return "bias" in self.takes

    @property
    def gives_sums(self) -> bool:
        """Whether it gives every gradient of a batch as it is defined, and may be asked for the derivatives of that."""
        whole = not self.absent and not self.averages and not self.bias_per_position
        return whole and not one_sample(self.spec.layout) and "double" not in self.spec.unsupported

    @abstractmethod
    def session(self, layer: Layer, given: Given) -> Session:
        """Prepare a forward pass."""

    def open(self, layer: Layer, given: Given) -> Session:
        """Prepare a forward pass, sample by sample where the target takes one sample."""
        if one_sample(self.spec.layout):
            return SampleBySample(self.session, self.numpy, layer, given)
        return self.session(layer, given)

    def note(self, text: str) -> None:
        """Keep what was found out, by trying or from a framework."""
        if text not in self.found:
            self.found.append(text)

    def own(self, array: Array) -> Any:
        """Return a fresh array as the target's own kind of array."""
        return array

    def numpy(self, value: Any) -> Any:
        """Return what the target gave as a NumPy array, if it is any kind of array."""
        return np.asarray(value)

    def world(self, layer: Layer) -> AbstractContextManager[Any]:
        """Return the settings under which the target runs."""
        return nullcontext()

    def threads(self, number: str, layer: Layer) -> AbstractContextManager[Any]:
        """Return the setting under which NumPy and OpenMP use "one" or "all" threads, or as many as suit the layer."""
        return limited_threads(number) if number else one_thread_if_small(layer)

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        with self.repeated(layer) as forward:
            return forward(layer, x, weight, bias)

    @contextmanager
    def repeated(self, layer: Layer) -> Iterator[Forward]:
        with self.world(layer), self.threads("", layer):
            yield self._forward

    def _forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        output: Array = self.image(self.open(layer, self._given(x, weight, bias, gradients=())).forward())
        return output

    def run(self, layer: Layer, operands: Operands, how: How = PLAIN) -> Run:
        with self.world(layer), self.threads(how.threads, layer), self.beside(layer, operands, how):
            return _FormRun(self, layer, operands, how)

    def second(self, layer: Layer, operands: Operands, along: Operands) -> tuple[Any, Any, Any]:
        with self.world(layer), self.threads("", layer):
            grad_output = self.own(self.in_its_order(operands.grad_output))
            found = self._opened(layer, operands).second(grad_output, self._arguments(along))
            return self.image(found[0]), self.image(found[1]), self.kernel(found[2])

    def tangent(self, layer: Layer, operands: Operands, along: Operands) -> Any:
        with self.world(layer), self.threads("", layer):
            return self.image(self._opened(layer, operands).tangent(self._arguments(along)))

    def _opened(self, layer: Layer, operands: Operands) -> Session:
        return self.open(layer, self._arguments(operands))

    def _arguments(self, operands: Operands) -> Given:
        return self._given(operands.x, operands.weight, operands.bias, gradients=PLAIN.gradients)

    def place(self, name: str, array: Array, how: How) -> tuple[Any, Placed | None]:
        """Return an argument as the target's own kind of array, lying in memory as is asked for, and where that is.

        Parameters
        ----------
        name : str
            Of the argument: "x", "weight", "bias" or "grad_output".
        array : array
            Fresh, with its axes in the target's order.
        """
        memory = how.memory_of(name)
        if memory == "plain" and not how.around:
            fresh = self.own(array)
            return (self.locked(fresh) if how.read_only else fresh), None
        where = placed(array, memory, around=how.around)
        given = self.own_placed(where)
        return (self.locked(given) if how.read_only else given), where

    def own_placed(self, where: Placed) -> Any:
        """Return an array that lies inside a larger one as the target's own kind of array."""
        return where.view()

    def locked(self, array: Any) -> Any:
        """Return an array of the target's own kind such that it cannot be written."""
        array.flags.writeable = False
        return array

    def surroundings(self, given: Any, where: Placed) -> Array:
        """Return all of the memory in which an array that was given lies, as it is now."""
        return where.base

    def beside(self, layer: Layer, operands: Operands, how: How) -> AbstractContextManager[Any]:
        """Return what runs another layer in a thread of its own meanwhile, over and over, where that is asked for."""
        if not how.at_once:
            return nullcontext()
        larger = layer.alike(batch=layer.batch + 1)
        more = Operands(
            -np.concatenate([operands.x, operands.x[:1]]), -operands.weight, operands.bias,
            -np.concatenate([operands.grad_output, operands.grad_output[:1]]),
        )  # fmt: skip

        def passes() -> None:
            with self.world(larger):
                _FormRun(self, larger, more, PLAIN).backward()

        return repeated_beside(passes)

    def refill(self, array: Any, values: Array) -> Any:
        """Put other values into an array of the target's own kind; return it, or a new one where that cannot be."""
        np.copyto(array, values)
        return array

    def renewed(self, given: Given, operands: Operands) -> Given:
        """Return arguments with other values, in the same memory where the target's arrays allow that."""
        pristine = self._pristine(operands)
        return Given(
            self.refill(given.x, pristine["x"]),
            self.refill(given.weight, pristine["weight"]),
            None if given.bias is None else self.refill(given.bias, pristine["bias"]),
            given.gradients,
        )

    def _given(self, x: Array, weight: Array, bias: Array | None, *, gradients: tuple[str, ...]) -> Given:
        # Copies: a target that writes into its arguments must not change what it is compared with.
        return Given(
            self.own(self._images.to_target(x)),
            self.own(self._weights.to_target(weight)),
            None if bias is None else self.own(bias.copy()),
            gradients,
        )

    def placed_arguments(self, operands: Operands, how: How) -> tuple[Given, dict[str, Placed]]:
        """Return fresh arguments of a forward pass as they are to be given, and where they lie in larger memory."""
        if how.memory == "plain" and not (how.around or how.read_only):
            return self._given(operands.x, operands.weight, operands.bias, gradients=how.gradients), {}
        pristine = self._pristine(operands)
        if "bias" in pristine:
            pristine["bias"] = pristine["bias"].copy()
        found = {name: self.place(name, array, how) for name, array in pristine.items()}
        given = {name: array for name, (array, _) in found.items()}
        return (
            Given(given["x"], given["weight"], given.get("bias"), how.gradients),
            {name: where for name, (_, where) in found.items() if where is not None},
        )

    def _pristine(self, operands: Operands) -> dict[str, Array]:
        pristine = {"x": self._images.to_target(operands.x), "weight": self._weights.to_target(operands.weight)}
        return pristine if operands.bias is None else pristine | {"bias": operands.bias}

    def changed(self, now: Mapping[str, Any], operands: Operands) -> set[str]:
        """Return which of a session's arguments no longer hold the operands."""
        views = {"x": self._images.seen_by_target(operands.x), "weight": self._weights.seen_by_target(operands.weight)}
        if operands.bias is not None:
            views["bias"] = operands.bias
        arrays = {name: np.asarray(self.numpy(now[name])) for name in views}
        return {
            name
            for name, before in views.items()
            if not (equal(arrays[name], before) or equal(arrays[name].reshape(before.shape), before))
        }

    def converted(self, value: Any) -> Any:
        """Return a gradient, of convcheck's or of the target's, in the convention of the other."""
        if self.conjugates or value is None or isinstance(value, Misfit):
            return value
        return np.asarray(value).conj()

    def in_its_order(self, grad_output: Array) -> Array:
        """Return a copy with the axes in the target's order."""
        return self._images.to_target(grad_output)

    def seen(self, image: Array) -> Array:
        """Return a view with the axes in the target's order."""
        return self._images.seen_by_target(image)

    def image(self, value: Any) -> Any:
        """Return an image of the target's in convcheck's order of axes."""
        return None if value is None else self._images.from_target(np.asarray(self.numpy(value)))

    def kernel(self, value: Any) -> Any:
        """Return a weight of the target's in convcheck's order of axes."""
        return None if value is None else self._weights.from_target(np.asarray(self.numpy(value)))

    def vector(self, value: Any, layer: Layer, operands: Operands) -> Any:
        """Return the gradient of a bias as a vector, whatever shape with one entry per filter it has."""
        if value is None:
            return None
        array = np.asarray(self.numpy(value))
        if self.bias_per_position:
            return self._summed_over_positions(array, layer, operands)
        if array.size == layer.filters == max(array.shape, default=1):
            return array.reshape(layer.filters)
        return array

    def _summed_over_positions(self, array: Array, layer: Layer, operands: Operands) -> Any:
        """Return the gradient that one bias per filter would have; nothing may be hidden by the sum.

        At every position the right one is the sum of grad_output over the batch.
        """
        array = self._images.from_target(array[None])[0] if array.ndim == len(layer.output) + 1 else array
        shape = layer.output_shape[1:]
        if array.shape != shape:
            return Misfit(f"grad_bias has shape {array.shape}; expected {shape}, one entry per output position")
        samples = wide(operands.grad_output)
        right = samples.sum(axis=0)
        # Both sums, and a mean's division and its undoing.
        bound = 2 * rounding.gamma(layer.batch + 2, layer.dtype) * np.abs(samples).sum(axis=0)
        given = wide(array) * (layer.batch if "bias" in self.averages else 1)

        def agrees(values: Array) -> bool:
            return bool((np.abs(given - values) <= bound).all())

        if agrees(right):
            return array.sum(axis=tuple(range(1, array.ndim)))
        known = {
            "zero-gradient": 0 * right, "batch-averaged": right / layer.batch, "last-sample-only": samples[-1],
            "sign-flipped": -right,
        }  # fmt: skip
        place = tuple(int(i) for i in np.unravel_index(np.argmax(np.abs(given - right)), shape))
        is_, expected = (readable(array[place].item(), 6) for array in (given, right))
        return Misfit(
            f"grad_bias is {is_} at {list(place)}; expected the sum of grad_output over the batch at each position, "
            f"which is {expected} there",
            next((slug for slug, values in known.items() if agrees(values)), None),
        )

    def summed_over_batch(self, name: str, value: Any, layer: Layer, operands: Operands) -> Any:
        """Return the gradient whose mean over the batch was given.

        Of integers the mean is rounded, however it is made, and so is what it gives times the number of samples: where
        that is as near to an integer as rounding explains, it is taken for that integer.
        """
        if name not in self.averages or isinstance(value, Misfit):
            return value
        array = np.asarray(value)
        if array.dtype != layer.dtype:
            return value
        total = wide(array * array.dtype.type(layer.batch))
        if all(np.array_equal(a, np.rint(a)) for a in (operands.x, operands.weight, operands.grad_output)):
            bounds = rounding.backward_errors(layer, operands, formulation(FASTEST).backward)
            near = getattr(bounds, name)
            if near is not None and near.shape == total.shape:
                nearest = np.rint(total)
                total = np.where(np.abs(total - nearest) <= near, nearest, total)
        return total.astype(array.dtype)

    def orders(self, layer: Layer, given: Given, returned: Sequence[Any]) -> Iterator[tuple[str, ...]]:
        """Give the orders in which the shapes of gradients are what they should be."""
        shapes = {
            "grad_input": {np.shape(given.x)}, "grad_weight": {np.shape(given.weight)},
            "grad_bias": {tuple(self._images.in_order(layer.output_shape)[1:]), (layer.filters,)},
        }  # fmt: skip

        def fits(name: str, value: Any) -> bool:
            shape = getattr(value, "shape", None)
            entries = np.size(value) == layer.filters == max(shape or (1,))
            return value is None or shape in shapes[name] or (name == "grad_bias" and entries)

        for order in permutations(GRADIENTS[: len(returned)]):
            if all(fits(name, value) for name, value in zip(order, returned, strict=True)):
                yield order


class _FormRun(Run):
    """A forward pass of a session, which knows on which data it ran, and how it was called."""

    def __init__(
        self, target: Form, layer: Layer, operands: Operands, how: How = PLAIN, session: Session | None = None,
        given: Given | None = None, upstream: Any = None,
    ) -> None:  # fmt: skip
        self._target, self._layer, self._operands, self._how = target, layer, operands, how
        #: The grad_output of a pass before, whose memory is used again, and the last that was given.
        self._upstream_before, self._upstream = upstream, None
        self._changed: set[str] = set()
        self._places: dict[str, Placed] = {}
        if given is None:
            given, self._places = target.placed_arguments(operands, how)
        self._arguments = given
        if session is None:
            session = target.open(layer, given)
        self._session = session
        if how.evaluating:
            session.evaluate()
        if how.no_grad == "before":
            self._in_between()
        self.output = target.image(session.forward())
        if how.no_grad == "between":
            # A copy: the pass in between may use the memory again.
            self.output = np.array(self.output)
            self._in_between()

    def _in_between(self) -> None:
        self._session.without_gradients(self._target.own(-self._target.in_its_order(self._operands.x)))

    def backward(self, grad_output: Array | None = None) -> tuple[Any, Any, Any]:
        target, layer, how = self._target, self._layer, self._how
        operands = self._operands if grad_output is None else replace(self._operands, grad_output=grad_output)
        operands = replace(operands, grad_output=target.converted(operands.grad_output))
        # A fresh copy each time, so that a target that writes into it can be told from one that keeps state.
        with target.world(layer), target.threads(how.threads, layer), target.beside(layer, operands, how):
            upstream = target.in_its_order(operands.grad_output)
            if self._upstream_before is None:
                given, where = target.place("grad_output", upstream, how)
            else:
                given, where = target.refill(self._upstream_before, upstream), None
            self._upstream, self._upstream_before = given, None
            gradients = self._session.backward(given)
            if not equal(np.asarray(target.numpy(given)), target.seen(operands.grad_output)):
                self._changed.add("grad_output")
            if where is not None and where.spilled(target.surroundings(given, where)):
                self._changed.add(AROUND + "grad_output")
            found = {
                "input": target.image(gradients[0]),
                "weight": target.kernel(gradients[1]),
                "bias": target.vector(gradients[2], layer, operands),
            }
            grad_input, grad_weight, grad_bias = (
                target.summed_over_batch(name, target.converted(value), layer, operands)
                for name, value in found.items()
            )
            return grad_input, grad_weight, grad_bias

    def again(self, operands: Operands, layer: Layer | None = None, *, new_memory: bool = False) -> Run:
        target, layer = self._target, layer or self._layer
        with target.world(layer), target.threads("", layer):
            if layer is not self._layer:
                self._session.resize(layer)
            if new_memory or layer is not self._layer:
                (given, _), upstream = target.placed_arguments(operands, PLAIN), None
            else:
                given, upstream = target.renewed(self._arguments, operands), self._upstream
            self._session.renew(given)
            return _FormRun(target, layer, operands, PLAIN, self._session, given, upstream)

    def modified(self) -> tuple[str, ...]:
        target, now = self._target, self._session.arguments()
        with target.world(self._layer):
            changed = self._changed | target.changed(now, self._operands)
            for name, where in self._places.items():
                if where.spilled(target.surroundings(getattr(self._arguments, name), where)):
                    changed.add(AROUND + name)
        if not changed:
            return ()
        names = ("x", "weight", "bias", "grad_output")
        return tuple(name for name in (*names, *(AROUND + name for name in names)) if name in changed)
