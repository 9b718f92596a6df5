"""PyTorch: an ``nn.Module`` class, a function such as ``torch.nn.functional:conv2d``, or an ``autograd.Function``.

Autograd supplies the gradients. Padding that differs in front and behind, or that a function does not take at all, is
applied to the input beforehand, inside what autograd differentiates.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES, ZEROS, known_to_numpy
from convcheck.layer.layer import Layer
from convcheck.targets import attributes, features
from convcheck.targets.binding import Binding, bind, makes_layers, parameters_of, refuse_unused
from convcheck.targets.concurrency import suits_one_thread
from convcheck.targets.construction import constructor_value
from convcheck.targets.form import Form
from convcheck.targets.forms.torch_device import TorchDevice
from convcheck.targets.layouts import one_sample
from convcheck.targets.placement import Placed
from convcheck.targets.session import Given, Session
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import TargetContractError

#: The format of which PyTorch and NumPy know no way to each other.
_BITS_ONLY = "bfloat16"

#: The gradient with respect to each leaf.
GRADIENT_OF = {"x": "input", "weight": "weight", "bias": "bias"}


def is_torch(found: Any) -> bool:
    """Whether something is a module class or a function of PyTorch's, without importing PyTorch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if isinstance(found, type):
        return issubclass(found, (torch.nn.Module, torch.autograd.Function))
    owner = getattr(found, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        return True
    return str(getattr(found, "__module__", "")).partition(".")[0] == "torch"


def tensor_of(torch: Any, array: Array) -> Any:
    """Return a tensor with an array's memory; a format that NumPy has from elsewhere passes by its bits."""
    # Of this kind are the formats that NumPy has from elsewhere; to ask for their names takes long.
    if array.dtype.kind != "V":
        return torch.from_numpy(array)
    return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)


class TorchForm(Form):
    """A module class or a function of tensors."""

    inapplicable: Mapping[str, str] = {
        "negative-strides": "a tensor of PyTorch's has no negative strides",
        "read-only": "a tensor of PyTorch's can always be written",
    }

    def __init__(self, name: str, found: Any, spec: TargetSpec) -> None:
        self._torch = _import_torch(name)
        self._place = TorchDevice(self._torch, name, spec.device)
        inner = found
        while isinstance(inner, partial):
            inner = inner.func
        # A factory is told by the sizes that it takes.
        is_class = isinstance(inner, type) and issubclass(inner, self._torch.nn.Module)
        self._makes_modules: bool = is_class or (not isinstance(inner, type) and makes_layers(inner))
        self._callable, self._binding = self._bind(name, found, spec)
        refuse_unused(name, spec.constants, self._binding)
        taken = self._binding.takes
        self.shown = self._kinds(inner)
        self.kinds = self.shown | {"transposed"}
        if not {"x", "weight"} <= taken and not self._makes_modules:
            raise TargetError(f"target {name}: expected a function of (input, weight, bias, ...) or a module class")
        options = {option for option in ("stride", "dilation", "groups") if option in taken or "layer" in taken}
        bias = {"bias"} if "bias" in taken or self._makes_modules else set()
        takes = {"padding", "asymmetric-padding", "per-axis", "per-axis-kernel", *DTYPES, *self.shown}
        lacking = {"plain"} if "transposed" in self.shown else set()
        lacking |= set() if taken & {"output_padding", "layer"} else {"output-padding"}
        takes |= options | bias | features.ranks_in(name)
        super().__init__(name, spec, frozenset(takes), lacking=lacking, around={"padding"} - taken)
        self.differentiable = self.gives_sums
        self.room = self._place.room
        for words in self._place.words:
            self.note(words)

    def _bind(self, name: str, found: Any, spec: TargetSpec) -> tuple[Any, Binding]:
        # Here these two mean what PyTorch means by them.
        spec = replace(spec, keywords={**{name: name for name in self._own_options(found, spec)}, **spec.keywords})
        if self._makes_modules:
            return found, bind(name, found, (), spec.keywords, spec.constants)
        arrays = ("x", "weight", "bias") if "bias" not in spec.unsupported else ("x", "weight")
        owner: Any = getattr(found, "__self__", found)
        is_function = isinstance(owner, type) and issubclass(owner, self._torch.autograd.Function)
        if is_function:
            # apply takes positions only; the names are those of forward.
            return owner.apply, bind(
                name, _without_context(owner), arrays, spec.keywords, spec.constants, by_position=True
            )
        if not callable(found):
            raise TargetError(f"target {name}: {type(found).__name__} cannot be called; expected a class or function")
        return found, bind(name, found, arrays, spec.keywords, spec.constants)

    def _own_options(self, found: Any, spec: TargetSpec) -> Iterator[str]:
        """Yield those parameters that only some code has, and that PyTorch calls so."""
        owner: Any = getattr(found, "__self__", found)
        if isinstance(owner, type) and issubclass(owner, self._torch.autograd.Function):
            found = getattr(owner, "forward")  # noqa: B009 - of no type in particular
        parameters = {parameter.name: parameter for parameter in parameters_of(found) or ()}
        mode = parameters.get("padding_mode")
        if mode is not None and mode.default in (mode.empty, ZEROS) and mode.name not in spec.constants:
            yield mode.name
        of_pytorch = parameters_of(found) is None and "transpose" in _name_of(found)
        if of_pytorch or ("output_padding" in parameters and "output_padding" not in spec.constants):
            yield "output_padding"

    def _kinds(self, inner: Any) -> frozenset[str]:
        """Return which kinds of layers one sees that the code takes: by its name, or by what it has a parameter for."""
        modes = features.KINDS - {"transposed"} if "padding_mode" in self._binding.takes else frozenset()
        transposed = "output_padding" in self._binding.takes or "transpose" in _name_of(inner)
        return frozenset({"transposed"}) if transposed else modes

    def own(self, array: Array) -> Any:
        return tensor_of(self._torch, array).to(self._place.device)

    def own_placed(self, where: Placed) -> Any:
        return self.own(where.base).as_strided(where.shape, where.strides, where.offset)

    def locked(self, array: Any) -> Any:
        return array

    def surroundings(self, given: Any, where: Placed) -> Array:
        if given.untyped_storage().nbytes() != where.base.nbytes:
            # A module that wants another format of memory was given its arguments in memory of their own.
            return where.base
        memory: Array = self.numpy(given.detach().as_strided((where.base.size,), (1,), 0))
        return memory

    def threads(self, number: str, layer: Layer) -> AbstractContextManager[Any]:
        # All is what it uses unless it is told otherwise; told of more, it is slow afterwards.
        if number == "all":
            return nullcontext()
        others = super().threads(number, layer)
        return _with_one_thread(self._torch, others) if number or suits_one_thread(layer) else others

    def refill(self, array: Any, values: Array) -> Any:
        with self._torch.no_grad():
            array.copy_(tensor_of(self._torch, values))
        return array

    def numpy(self, value: Any) -> Any:
        if not isinstance(value, self._torch.Tensor):
            return value
        self._place.wait()
        # A conjugate, or a negative, may be one by a mark alone.
        held = value.detach().cpu().resolve_conj().resolve_neg()
        if held.dtype != self._torch.bfloat16 or known_to_numpy(_BITS_ONLY):
            return held.numpy()
        return held.view(self._torch.int16).numpy().view(_BITS_ONLY)

    def world(self, layer: Layer) -> AbstractContextManager[Any]:
        return self._place.settings(self.note)

    def session(self, layer: Layer, given: Given) -> Session:
        inner, outside = self._split_padding(layer)
        bound = self._module(inner, given) if self._makes_modules else self._function(inner, given)
        return _TorchSession(self._torch, bound, outside, given)

    def _split_padding(self, layer: Layer) -> tuple[Layer, _Outside]:
        """Return the layer that the target sees, and what is done around it of the padding."""
        asymmetric = any(before != after for before, after in layer.padding)
        if "padding" in self.untold or (not asymmetric and self._binding.takes & {"padding", "layer"}):
            return layer, _Outside()
        nothing = ((0, 0),) * len(layer.input)
        # One sample by itself has no axis for the batch, which stands in front otherwise.
        there = 1 if one_sample(self.spec.layout) else 0
        if layer.transposed:
            # From behind, so that the same holds for every input.
            whole = [slice(before, -after or None) for before, after in layer.padding]
            return replace(layer, padding=nothing), _Outside(
                crop=self._images.in_order([slice(None), slice(None), *whole])[there:]
            )
        padded = tuple(size + sum(pair) for size, pair in zip(layer.input, layer.padding, strict=True))
        pairs = self._images.in_order([(0, 0), (0, 0), *layer.padding])
        mode = "constant"
        if layer.padding_mode != ZEROS:
            if any(map(any, pairs[:2])) or not self._images.usual:
                raise NotImplementedError(
                    f"{layer.padding_mode} padding that differs in front and behind, channels last"
                )
            mode, pairs = layer.padding_mode, pairs[2:]
        else:
            pairs = pairs[there:]
        inner = replace(layer, padding=nothing, input=padded, padding_mode=ZEROS)
        return inner, _Outside([side for pair in reversed(pairs) for side in pair], mode)

    def _function(self, layer: Layer, given: Given) -> _Bound:
        leaves = {name: tensor for name in ("x", "weight", "bias") if (tensor := getattr(given, name)) is not None}

        def call(x: Any) -> Any:
            tensors = {"bias": None, **leaves, "x": x}
            return self._binding.call(
                self._callable,
                lambda what, name: (
                    tensors[what] if what in tensors else constructor_value(what, name, layer, tuples=self.spec.tuples)
                ),
            )

        return _Bound(call, leaves)

    def _module(self, layer: Layer, given: Given) -> _Bound:
        names = self.spec.attributes
        module = self._binding.call(
            self._callable, lambda what, name: constructor_value(what, name, layer, tuples=self.spec.tuples)
        )
        with _complex_modules() if layer.is_complex else nullcontext():
            module = module.to(device=self._place.device, dtype=given.x.dtype)
        if any(map(self._torch.nn.parameter.is_lazy, module.parameters())):
            # A lazy module learns its sizes from the first input.
            with self._torch.no_grad():
                module(given.x)
        path = names.get("weight", "weight")
        memory = _memory_format(self._torch, attributes.get(module, path)) if attributes.has(module, path) else None
        for tensor in (given.x, given.weight):
            _bring_into(self._torch, tensor, memory)
        leaves: dict[str, Any] = {"x": given.x, "weight": _parameter(module, "weight", path, given.weight)}
        path = names.get("bias", "bias")
        if given.bias is not None:
            leaves["bias"] = _parameter(module, "bias", path, given.bias)
        elif attributes.has(module, path):
            # A module that has a bias whether it is wanted or not gets zeros.
            with self._torch.no_grad():
                attributes.get(module, path).zero_()
        return _Bound(module, leaves, memory)


@contextmanager
def _complex_modules() -> Iterator[None]:
    """Let PyTorch make a complex module without warning that such modules are new."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Complex modules", UserWarning)
        yield


class _Outside(NamedTuple):
    """What is done of a layer's padding around the target, inside what is differentiated.

    Attributes
    ----------
    padding : list of int
        Of the input, last axis first; none where there is nothing to do.
    mode : str
        As PyTorch's own ``pad`` has it.
    crop : list of slice
        Of the output; none where there is nothing to do.
    """

    padding: Sequence[int] = ()
    mode: str = "constant"
    crop: Sequence[slice] = ()


class _Bound:
    """A function of the input alone, and the tensors with respect to which it is differentiated."""

    def __init__(self, call: Callable[[Any], Any], leaves: dict[str, Any], memory: Any = None) -> None:
        self.call, self.leaves, self.memory = call, leaves, memory

    def at(self, torch: Any, x: Any, tensors: Mapping[str, Any]) -> Any:
        """Call it with other tensors in the place of the leaves."""
        if not isinstance(self.call, torch.nn.Module):
            before = dict(self.leaves)
            self.leaves.update(tensors)
            try:
                return self.call(x)
            finally:
                self.leaves.update(before)
        names = {id(parameter): name for name, parameter in self.call.named_parameters()}
        parameters = {
            names[id(leaf)]: tensors[role] for role, leaf in self.leaves.items() if id(leaf) in names and role != "x"
        }
        return torch.func.functional_call(self.call, parameters, (x,))


class _TorchSession(Session):
    def __init__(self, torch: Any, bound: _Bound, outside: _Outside, given: Given) -> None:
        self._torch, self._bound, self._outside, self._given = torch, bound, outside, given
        self._output: Any = None
        for name, leaf in bound.leaves.items():
            leaf.requires_grad_(GRADIENT_OF[name] in given.gradients)

    def forward(self) -> Any:
        self._output = self._cropped(self._bound.call(self._padded(self._bound.leaves["x"])))
        return self._output

    def _padded(self, x: Any) -> Any:
        sides, mode, _ = self._outside
        return self._torch.nn.functional.pad(x, list(sides), mode) if sides else x

    def _cropped(self, output: Any) -> Any:
        crop = tuple(self._outside.crop)
        return output[crop] if crop and isinstance(output, self._torch.Tensor) else output

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        if not isinstance(self._output, self._torch.Tensor) or not self._output.requires_grad:
            raise TargetContractError(
                "the output does not depend on the input as far as autograd can see; expected it to be made with "
                "PyTorch's operations or an autograd.Function"
            )
        _bring_into(self._torch, grad_output, self._bound.memory)
        names = [name for name, leaf in self._bound.leaves.items() if leaf.requires_grad]
        # Returned, not added to .grad; the graph is kept for a second backward pass.
        gradients = self._torch.autograd.grad(
            self._output, [self._bound.leaves[name] for name in names], grad_output, retain_graph=True,
            allow_unused=True,
        )  # fmt: skip
        found = dict(zip(names, gradients, strict=True))
        return found.get("x"), found.get("weight"), found.get("bias")

    def second(self, grad_output: Any, along: Given) -> tuple[Any, Any, Any]:
        leaves, grad = self._bound.leaves, self._torch.autograd.grad
        for tensor in (grad_output, along.x, along.weight):
            _bring_into(self._torch, tensor, self._bound.memory)
        grad_output.requires_grad_()
        gradients = grad(self.forward(), [*leaves.values()], grad_output, create_graph=True, allow_unused=True)
        weights = [getattr(along, name) for name in leaves]
        attached = [
            (gradient, weight)
            for gradient, weight in zip(gradients, weights, strict=True)
            if gradient is not None and gradient.requires_grad
        ]
        for leaf in leaves.values():
            leaf.grad = None
        if attached:
            # Not by `grad`, which does not reach a function that is marked as differentiable once.
            self._torch.autograd.backward(*zip(*attached, strict=True))
        return grad_output.grad, leaves["x"].grad, leaves["weight"].grad

    def tangent(self, along: Given) -> Any:
        forward_mode, leaves = self._torch.autograd.forward_ad, dict(self._bound.leaves)
        for tensor in (along.x, along.weight):
            _bring_into(self._torch, tensor, self._bound.memory)
        with forward_mode.dual_level():
            duals = {name: forward_mode.make_dual(leaf.detach(), getattr(along, name)) for name, leaf in leaves.items()}
            output = self._cropped(self._bound.at(self._torch, self._padded(duals["x"]), duals))
            found = forward_mode.unpack_dual(output).tangent
            return None if found is None else found.detach()

    def arguments(self) -> Mapping[str, Any]:
        return self._bound.leaves

    def renew(self, given: Given) -> None:
        # In the same memory, the leaves are the tensors themselves, or parameters that share it.
        for name, leaf in self._bound.leaves.items():
            tensor = getattr(given, name)
            if tensor is not leaf and tensor.data_ptr() != leaf.data_ptr():
                if isinstance(leaf, self._torch.nn.Parameter):
                    leaf.data = tensor
                else:
                    self._bound.leaves[name] = tensor.requires_grad_(GRADIENT_OF[name] in given.gradients)
        self._given = given

    def resize(self, layer: Layer) -> None:
        # The padding outside is the same for every input.
        if not isinstance(self._bound.call, self._torch.nn.Module):
            super().resize(layer)

    def evaluate(self) -> None:
        if isinstance(self._bound.call, self._torch.nn.Module):
            self._bound.call.eval()

    def without_gradients(self, x: Any) -> None:
        call = self._bound.call
        module = call if isinstance(call, self._torch.nn.Module) else None
        training = module is not None and module.training
        if module is not None:
            module.eval()
        _bring_into(self._torch, x, self._bound.memory)
        with self._torch.no_grad():
            call(self._padded(x))
        if module is not None:
            module.train(training)


def _memory_format(torch: Any, weight: Any) -> Any:
    """Return the format of a weight's memory where that is channels last; None for the usual one."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    last = formats.get(weight.dim())
    if last is None:
        return None
    usual, strides = (
        torch.empty(weight.shape, device="meta", memory_format=memory).stride()
        for memory in (torch.contiguous_format, last)
    )
    return last if weight.stride() == strides != usual else None


def _bring_into(torch: Any, tensor: Any, memory: Any) -> None:
    """Put a tensor's values into memory of another format; it stays the same object."""
    if memory is not None:
        tensor.data = torch.empty_like(tensor, memory_format=memory).copy_(tensor)


def _import_torch(name: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise TargetError(
            f"target {name} needs PyTorch, which cannot be imported ({error}); install it: pip install torch"
        ) from error
    return torch


def _name_of(found: Any) -> str:
    """Return the name of a class or function, of an autograd function's ``apply`` that of its class; small letters."""
    owner = getattr(found, "__self__", None)
    return str(getattr(owner if isinstance(owner, type) else found, "__name__", "")).lower()


def _without_context(function: Any) -> Callable[..., Any]:
    """Return something with the signature of a Function's forward as its caller sees it."""
    signature = inspect.signature(function.forward)
    parameters = list(signature.parameters.values())
    # With setup_context of its own, forward has no ctx.
    has_context = function.setup_context.__module__.startswith("torch.")

    def apply(*args: Any) -> Any:
        return function.apply(*args)

    apply.__signature__ = signature.replace(parameters=parameters[1:] if has_context else parameters)  # type: ignore[attr-defined]
    return apply


def _parameter(module: Any, role: str, path: str, tensor: Any) -> Any:
    path = attributes.find(module, role, path, ())
    parameter = attributes.get(module, path)
    if parameter.shape != tensor.shape:
        raise TargetContractError(
            f"its {path} has shape {tuple(parameter.shape)}; expected {tuple(tensor.shape)}: check the names of the "
            "constructor's keywords, and give the order of the weight's axes as weight_layout"
        )
    parameter.data = tensor
    return parameter


@contextmanager
def _with_one_thread(torch: Any, others: AbstractContextManager[Any]) -> Iterator[None]:
    """One thread of PyTorch's own too, beside those of the libraries that it loads; as many as before afterwards."""
    before = torch.get_num_threads()
    with others:
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
