"""An object that holds its parameters and their gradients, as most frameworks have them.

The class is constructed with the layer's sizes, or with the parameters themselves. Its parameters are then set to the
data, forward and backward are called, and the gradients are taken from what backward returns, from where it leaves
them, or from how it changes the parameters. Every name can be mapped, and the usual ones are found without. What is
found because nothing else has its shape, or because other ways to write a value raise, is noted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from inspect import Parameter
from typing import Any

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.targets import attributes, features
from convcheck.targets.binding import parameters_of, plain
from convcheck.targets.construction import (
    WORDS_ONLY,
    Construction,
    Way,
    lacking,
    rate_attributes,
    takes_rate,
    word_of,
)
from convcheck.targets.form import Form
from convcheck.targets.layouts import images, one_sample
from convcheck.targets.roles import role_named
from convcheck.targets.session import GRADIENTS, Given, Session
from convcheck.targets.spec import LEARNING_RATE, TargetSpec
from convcheck.targets.target import TargetContractError

#: What the methods are called, in small letters without underscores.
_METHODS = {
    "forward": (
        "forward", "call", "forwardpass", "forwardprop", "forwardpropagation", "forwardpropagate", "fprop",
        "feedforward", "propagate",
    ),
    "backward": (
        "backward", "backwardpass", "backprop", "backwardprop", "backwardpropagation", "backwardpropagate",
        "backpropagate", "backpropagation", "bprop", "backpass",
    ),
    "zero_grad": (
        "zerograd", "zerograds", "zerogradients", "cleargrad", "cleargrads", "cleargradients", "resetgrad",
        "resetgrads", "resetgradients",
    ),
}  # fmt: skip

#: What a method may want to know.
_TRAINING = ("training", "istraining", "train", "trainmode")


class LayerForm(Form):
    """A class whose objects hold weight, bias and their gradients.

    Attributes
    ----------
    construction : Construction
        How objects are made.
    places : dict of str to str
        Where objects keep what has no usual name, by the role that it plays.
    lazy : bool
        Whether objects make their parameters at their first forward pass.
    updated : set of str
        Parameters whose gradients are read off their updates.
    order : tuple of str
        Of the gradients that backward returns, where their shapes have told it.
    """

    def __init__(self, name: str, factory: Any, spec: TargetSpec) -> None:
        self.construction = Construction(name, factory, spec, images(spec.layout).in_order)
        self.sessions = LayerSession
        self.places: dict[str, str] = {}
        self.lazy = False
        self.updated: set[str] = set()
        self.order: tuple[str, ...] = ()
        axes = self.construction.binding.axes
        ranks = {f"{-min(axes.values())}d"} if axes else features.ranks_in(name)
        super().__init__(
            name,
            spec,
            features.ALL - lacking(self.construction.binding) - {"asymmetric-padding", "1d", "2d", "3d"} | ranks,
            self.construction.binding.takes,
        )

    def session(self, layer: Layer, given: Given) -> Session:
        pristine, failure, usual = given.x.copy(), None, None
        for way, known in self.construction.ways(layer):
            try:
                session = self.sessions(self, layer, given, way)
            except Exception as error:
                failure = failure or error
                # What was tried may have written into it.
                np.copyto(given.x, pristine)
                continue
            # Another way must also do what was asked for: code may well ignore what it does not understand.
            if known or np.shape(session.output) == self.shape(layer.batch, layer.filters, layer.output):
                for text in self.construction.settle(way):
                    self.note(text)
                return session
            usual = usual or (session if self.construction.from_zero else None)
        if usual is not None and failure is None:
            return usual
        if failure is None or self._takes_only_words(layer, given):
            raise NotImplementedError(WORDS_ONLY) from failure
        raise failure

    def shape(self, batch: int | None, maps: int, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of an image in the target's order, without a batch where it takes one sample."""
        sizes = (None if one_sample(self.spec.layout) else batch, maps, *spatial)
        return tuple(size for size in self._images.in_order(sizes) if size is not None)

    def _takes_only_words(self, layer: Layer, given: Given) -> bool:
        """Whether the padding is refused as a number and taken as a word, by the same layer without padding."""
        if "padding" not in self.construction.binding.takes or word_of(layer):
            return False
        with suppress(Exception):
            bare = replace(layer, padding=((0, 0),) * len(layer.padding))
            x = np.zeros(self.shape(layer.batch, layer.channels, layer.input), layer.dtype)
            self.session(bare, replace(given, x=x))
            return self.construction.way.get("padding") in ("word", "WORD")
        return False


def method_of(found: Any, role: str) -> str | None:
    """Return the name of an object's or a class's method for a role; None if it has none of a usual name."""
    names = {plain(name): name for name in dir(found) if not name.startswith("_") or name == "__call__"}
    usual = (names[name] for name in _METHODS[role] if name in names)
    return next((name for name in usual if callable(getattr(found, name, None))), None)


class _PlainSteps:
    """Stands for an optimizer whose ``update(parameter, gradient)`` returns the new parameter; is it otherwise."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    def update(self, *given: Any, **named: Any) -> Any:
        arrays = [value for value in (*given, *named.values()) if isinstance(value, np.ndarray)]
        if len(arrays) == 2 and arrays[0].size == arrays[1].size:
            return arrays[0] - LEARNING_RATE * arrays[1].reshape(arrays[0].shape)
        return self._optimizer.update(*given, **named)


class LayerSession(Session):
    """One object, whose first forward pass has been run.

    Attributes
    ----------
    output
        Of the last forward pass.
    """

    def __init__(self, form: LayerForm, layer: Layer, given: Given, way: Way) -> None:
        self._form, self._layer, self._given, self._way = form, layer, given, way
        self._mapped = form.spec.attributes
        self._instance, self._passed = form.construction.construct(layer, given.weight, given.bias, way)
        self._rate = form.construction.rate or self._own_rate()
        self._methods = {role: self._mapped.get(role) or method_of(self._instance, role) for role in _METHODS}
        self._places: dict[str, str] = {}
        self._held: dict[str, Array] = {}
        self._memory: dict[str, Array] = {}
        self._cache: Any = None
        self._spent = False
        self._from_zero: tuple[Any, Any, Any] | None = None
        self._attach()
        self.output = self._run()
        self._is_new = True

    def resize(self, layer: Layer) -> None:
        self._layer = layer

    def renew(self, given: Given) -> None:
        self._given = given
        if set(self._passed) - set(self._places):
            self._instance, self._passed = self._form.construction.construct(
                self._layer, given.weight, given.bias, self._way
            )
        self._set_parameters()
        self._is_new = False

    def arguments(self) -> Mapping[str, Any]:
        roles = ("weight",) if self._given.bias is None else ("weight", "bias")
        now = {role: self._now(role) if role in self._places else self._passed[role] for role in roles}
        if self._form.bias_per_position and "bias" in now:
            # One entry for each filter, if all its positions still hold the same.
            at_positions = self._form.image(now["bias"][None])[0].reshape(self._layer.filters, -1)
            same = (at_positions == at_positions[:, :1]).all(axis=1)
            now["bias"] = np.where(same, at_positions[:, 0], np.nan)
        return {"x": self._given.x} | now

    def forward(self) -> Any:
        if not self._is_new:
            self.output = self._run()
        self._is_new = False
        return self.output

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        if self._spent and self._methods["zero_grad"]:
            # Gradients that add up by design are set back before a forward pass, whose data that may well drop.
            self._run()
        self._spent, self._from_zero = True, None
        self._replace_optimizers()
        self._set_back_inside_parameters()
        pristine, before = grad_output.copy(), self._before()
        gradients = self._gradients(self._call("backward", grad_output), before, grad_output, pristine)
        if self._rate is not None:
            self._restore()
        return gradients

    def _run(self) -> Any:
        self._spent = False
        if self._methods["zero_grad"]:
            # There may be nothing yet to set back.
            with suppress(TypeError, AttributeError):
                self._method("zero_grad")()
        output = self._call("forward", self._given.x)
        remade = [role for role, held in self._held.items() if self._now(role) is not held and self._is_changed(role)]
        if remade and not self._form.lazy:
            self._found_lazy()
            self._set_parameters()
            output = self._call("forward", self._given.x)
        if isinstance(output, tuple) and len(output) == 2:
            output, self._cache = output
        return output

    # Methods

    def _method(self, role: str) -> Any:
        name = self._methods[role]
        if name and attributes.has(self._instance, name) and callable(attributes.get(self._instance, name)):
            return attributes.get(self._instance, name)
        raise TargetContractError(
            f"{type(self._instance).__name__} has no method {name or role}; give its name in the mapping: attributes: "
            f"{{{role}: NAME}}"
        )

    def _call(self, role: str, array: Any) -> Any:
        """Call a method with the array, and with what else it asks for."""
        method = self._method(role)
        parameters = [p for p in parameters_of(method) or [] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        further = {p.name: value for p in parameters for value in self._further(p, role)}
        own = next((p for p in parameters if p.name not in further), parameters[0] if parameters else None)
        further.pop(own.name if own else "", None)
        for p in parameters:
            if p is not own and p.name not in further and p.default is p.empty:
                raise TargetContractError(
                    f'it is not clear what the parameter "{p.name}" of {self._methods[role]} takes; give its value in '
                    f"the mapping: constants: {{{p.name}: VALUE}}"
                )
        if own is None or own is parameters[0]:
            return method(array, **further)
        return method(**{own.name: array}, **further)

    def _further(self, parameter: Parameter, role: str) -> list[Any]:
        """Return what a parameter takes besides the array, in a list; an empty list where it may take the array."""
        name, constants = plain(parameter.name), self._form.spec.constants
        if parameter.name in constants:
            return [constants[parameter.name]]
        if takes_rate(parameter):
            self._rate = self._rate or LEARNING_RATE
            return [LEARNING_RATE]
        if parameter.default is not parameter.empty:
            return []
        if name in _TRAINING:
            self._form.note(f"{self._methods[role]} is given {parameter.name}=True")
            return [True]
        if role == "forward":
            return []
        again = {"x": self._given.x, "output": self.output, "cache": self._cache}
        return [value for what, value in again.items() if role_named(parameter.name) == what]

    def _own_rate(self) -> float | None:
        """Return the learning rate that the object has of its own, set to one that is exact to divide by."""
        names = rate_attributes(self._instance)
        for name in names:
            setattr(self._instance, name, LEARNING_RATE)
            self._form.note(f"its {name} is set to {LEARNING_RATE}")
        return LEARNING_RATE if names else None

    def _replace_optimizers(self) -> None:
        """Let what makes steps of its own, such as Adam, make plain ones, off which the gradients can be read."""
        for name, value in list(getattr(self._instance, "__dict__", {}).items()):
            if callable(getattr(value, "update", None)) and not isinstance(value, (dict, set, _PlainSteps)):
                setattr(self._instance, name, _PlainSteps(value))
                self._rate = LEARNING_RATE
                self._form.note(f"its {name} takes steps of {LEARNING_RATE} times the gradient")

    # Parameters

    def _attach(self) -> None:
        """Find the parameters, after a first forward pass where they are made there, and set them to the data."""
        if self._form.lazy:
            self._call("forward", self._given.x.copy())
        self._find_parameters()
        if not self._form.lazy and self._is_lacking("weight"):
            try:
                self._call("forward", self._given.x.copy())
            except Exception:
                # It may well wait for somebody to set them.
                if "weight" not in self._places:
                    raise
            else:
                self._found_lazy()
                self._find_parameters()
        self._set_parameters()

    def _found_lazy(self) -> None:
        self._form.lazy = True
        self._form.note("its parameters are made at the first forward pass, and set after it")

    def _is_lacking(self, role: str) -> bool:
        return role not in self._passed and (role not in self._places or self._now(role) is None)

    def _find_parameters(self) -> None:
        found = attributes.leaves(self._instance)
        for role in ("weight", "bias"):
            place = self._mapped_place(role) or self._search(role, found)
            if place is not None:
                self._places[role] = place

    def _mapped_place(self, role: str) -> str | None:
        """Return the path that the mapping names, or that an earlier search found."""
        name = self._mapped.get(role)
        if name is not None:
            return attributes.inner(self._instance, attributes.find(self._instance, role, name, ()))
        name = self._form.places.get(role)
        return name if name is not None and attributes.has(self._instance, name, empty=True) else None

    def _search(self, role: str, found: Mapping[str, Any]) -> str | None:
        """Return where a parameter is; a bias that is not wanted only under a usual name."""
        usual = {path: rank for path in found if (rank := attributes.rank(path, role)) is not None}
        wanted, size = getattr(self._given, role), self._layer.filters
        others = [path for path in found if path not in usual and wanted is not None and found[path] is not None]

        def is_gradient(path: str) -> bool:
            return any(attributes.gradient_rank(path, role, owner) is not None for owner in found if owner != path)

        def fits(array: Array) -> bool:
            if role == "weight":
                return bool(array.shape == wanted.shape)
            return self._is_per_filter(array) or array.shape == self._form.shape(None, size, self._layer.output)

        candidates = [path for path in [*usual, *others] if path not in self._places.values() and not is_gradient(path)]
        try:
            place = attributes.choose(self._instance, role, {path: found[path] for path in candidates}, usual, fits)
        except TargetContractError:
            # What was given to the constructor need not be found again.
            if role not in self._passed:
                raise
            return None
        if place is not None and place not in usual:
            self._learn(role, place)
        return place

    def _learn(self, role: str, place: str) -> None:
        self._form.places[role] = place
        self._form.note(f"{role.replace('_', ' ')} in {place}")

    def _set_parameters(self) -> None:
        for role in ("weight", "bias"):
            array = getattr(self._given, role)
            if role not in self._places and role not in self._passed and array is not None:
                hint = "; for a layer without a bias, say unsupported: [bias]" if role == "bias" else ""
                raise TargetContractError(attributes.missing(self._instance, role, role) + hint)
            there: Any = self._now(role) if role in self._places else None
            positions = self._form.shape(None, self._layer.filters, self._layer.output)
            if role == "bias" and getattr(there, "shape", None) == positions and not self._is_per_filter(there):
                self._form.bias_per_position = True
                self._form.note("one bias per output position")
            # An object that has a bias whether it is wanted or not gets zeros.
            if role in self._places and (array is not None or there is not None):
                self._held[role] = self._put(role, self._wanted(role))

    def _is_per_filter(self, array: Array) -> bool:
        return bool(array.size == self._layer.filters == max(array.shape, default=1))

    def _put(self, role: str, array: Array) -> Array:
        """Set a parameter, in its own memory where that can be: others may look at it. Return what is then there."""
        place, there = self._places[role], self._now(role)
        shape = tuple(getattr(there, "shape", array.shape))
        if _squeezed(shape) != _squeezed(array.shape):
            raise TargetContractError(
                f"its {place} has shape {shape}; expected {array.shape}: check the names of the constructor's "
                "keywords, and give the order of the weight's axes as weight_layout"
            )
        # A bias may well be held as (1, F) or (F, 1, 1).
        array = array.reshape(shape)
        if isinstance(there, np.ndarray) and there.flags.writeable:
            # Also memory of another dtype, for which a new array stands from now on.
            memory = self._memory.setdefault(role, there)
            np.copyto(memory, array, casting="unsafe")
            if there.dtype == array.dtype:
                np.copyto(there, array)
                return there
        held = array.copy()
        found = attributes.leaves(self._instance) if there is not None else {}
        for path in {place, *(path for path, value in found.items() if value is there)}:
            attributes.put(self._instance, path, held)
        for path, value in found.items():
            # What was made for gradients in the parameter's dtype is made in the new one.
            if getattr(value, "dtype", held.dtype) != held.dtype and attributes.gradient_rank(path, role, place):
                attributes.put(self._instance, path, value.astype(held.dtype))
        return held

    def _restore(self) -> None:
        """Undo an update, also for those who look at the same memory."""
        for role, held in self._held.items():
            np.copyto(held, self._wanted(role).reshape(held.shape))
            if self._now(role) is not held:
                attributes.put(self._instance, self._places[role], held)

    def _now(self, role: str) -> Any:
        return attributes.get(self._instance, self._places[role])

    def _wanted(self, role: str) -> Array:
        array: Array | None = getattr(self._given, role)
        if array is None:
            array = np.zeros(self._layer.filters, self._layer.dtype)
        if role == "weight" or not self._form.bias_per_position:
            return array
        ones = (1,) * len(self._layer.output)
        array = array.reshape(self._form.shape(None, self._layer.filters, ones))
        return np.broadcast_to(array, self._form.shape(None, self._layer.filters, self._layer.output)).copy()

    def _is_changed(self, role: str) -> bool:
        return role in self._held and not np.array_equal(np.ravel(self._now(role)), self._wanted(role).ravel())

    # Gradients

    def _before(self) -> dict[str, tuple[Array, Array]]:
        """Return the arrays among which gradients may later be found, and copies of them."""
        sizes = {self._given.x.size, self._given.weight.size, self._layer.filters}
        found = attributes.leaves(self._instance)
        return {
            path: (array, array.copy()) for path, array in found.items() if array is not None and array.size in sizes
        }

    def _set_back_inside_parameters(self) -> None:
        """Set back the gradients of parameters that are objects, as PyTorch's are: they add up by design."""
        for role, place in self._places.items():
            owner = place.rpartition(".")[0]
            if attributes.is_value(place) and not isinstance(attributes.get(self._instance, owner), Mapping):
                for path, array in attributes.leaves(self._instance).items():
                    if array is not None and attributes.gradient_rank(path, role, place) == (0, 0):
                        with suppress(TypeError, ValueError, AttributeError):
                            attributes.put(self._instance, path, np.zeros_like(array))

    def _gradients(
        self, returned: Any, before: Mapping[str, tuple[Array, Array]], given: Array, grad_output: Array
    ) -> tuple[Any, Any, Any]:
        if isinstance(returned, (tuple, list)):
            if len(returned) not in (2, 3):
                raise TargetContractError(
                    f"backward returned {len(returned)} values; expected grad_input, or the triple (grad_input, "
                    "grad_weight, grad_bias)"
                )
            named = dict(zip(self._order(returned), returned, strict=True))
            return named.get("grad_input"), named.get("grad_weight"), named.get("grad_bias")
        found = attributes.leaves(self._instance) | (returned if isinstance(returned, dict) else {})
        others = [returned, self._given.x, given, *map(self._now, self._places)]
        new = {
            path: array
            for path, array in found.items()
            if array is not None
            and all(array is not other for other in others)
            and (path not in before or before[path][0] is not array or not np.array_equal(before[path][1], array))
        }
        if returned is None or isinstance(returned, dict) or "grad_input" in self._mapped:
            returned = self._gradient("input", found, new, grad_output)
        return (
            returned, self._gradient("weight", found, new, grad_output), self._gradient("bias", found, new, grad_output)
        )  # fmt: skip

    def _order(self, returned: Sequence[Any]) -> tuple[str, ...]:
        """Return the order of what backward returned: the one that fits its shapes, or else the usual one."""
        fitting, usual = list(self._form.orders(self._layer, self._given, returned)), GRADIENTS[: len(returned)]
        if len(fitting) != 1:
            return self._form.order if self._form.order in fitting else usual
        self._form.order = fitting[0]
        if fitting[0] != usual:
            self._form.note(f"backward returns ({', '.join(fitting[0])})")
        return fitting[0]

    def _gradient(self, role: str, found: Mapping[str, Any], new: Mapping[str, Array], grad_output: Array) -> Any:
        """Return a gradient: from where the mapping says, a usual name, the change of the parameter, or a search."""
        if role in self._form.absent or (role == "bias" and self._given.bias is None):
            return None
        place = self._mapped_place(f"grad_{role}")
        if place is not None:
            return attributes.get(self._instance, place)
        owner = self._places.get(role)
        shape = self._given.x.shape if role == "input" else self._wanted(role).shape

        def fits(array: Array) -> bool:
            return _squeezed(array.shape) == _squeezed(shape)

        ranks = {path: rank for path in found if (rank := attributes.gradient_rank(path, role, owner)) is not None}
        usual = sorted(
            (path for path in ranks if found[path] is not None), key=lambda path: (not fits(found[path]), ranks[path])
        )
        if usual:
            return found[usual[0]]
        changed = self._is_changed(role)
        if self._rate is not None and (changed or role in self._form.updated):
            self._form.updated.add(role)
            self._form.note(f"grad {role} in the update of the {role}")
            return self._change(role, self._rate, grad_output)
        if ranks:
            return None
        place = attributes.choose(self._instance, f"grad_{role}", new, {}, fits)
        if place is not None:
            self._learn(f"grad_{role}", place)
            return new[place]
        if role == "input":
            return None
        hint = (
            f"; backward changes the {role} instead: if that is an update, keep its learning rate in an attribute lr, "
            "by which the change is then divided"
        )
        missing = attributes.missing(self._instance, f"grad_{role}", f"{owner or role}.grad")
        raise TargetContractError(missing + (hint if changed else ""))

    def _change(self, role: str, rate: float, grad_output: Array) -> Array:
        """Return the gradient by which an update has changed a parameter."""
        if abs(math.frexp(rate)[0]) != 0.5:
            raise TargetContractError(
                f"its gradient of the {role} can only be read off its update, divided by the learning rate {rate:g}, "
                f"which rounds; give a power of two in the mapping: constants: {{lr: {LEARNING_RATE}}}"
            )
        before, after = self._wanted(role).reshape(self._held[role].shape), np.asarray(self._now(role))
        change: Array = (before - after) / before.dtype.type(rate)
        if not before.any() or all(np.array_equal(array, np.rint(array)) for array in (before, change)):
            return change
        # What is real rounds when it is updated. From a parameter that is zero the change is exact, and a right
        # gradient does not depend on the parameter: it is taken where the two differ by no more than that rounding.
        if self._from_zero is None:
            given, zero = self._given, np.zeros_like
            bare = replace(given, weight=zero(given.weight), bias=None if given.bias is None else zero(given.bias))
            self._from_zero = type(self)(self._form, self._layer, bare, self._way).backward(grad_output)
        exact: Array = self._from_zero[("input", "weight", "bias").index(role)]
        bound = 2 * DTYPES[change.dtype.name].roundoff * (np.abs(before) + np.abs(after)) / abs(rate)
        return exact if (np.abs(exact - change) <= bound).all() else change


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
