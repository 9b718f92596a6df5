"""Code as people write it, each with one slip that was met: on every layer on which it is wrong, it gets its name."""

from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.gradients import unfold
from tests.targets_for_tests import Right

#: Square and not, with and without padding and stride, one sample and several, as many filters as channels.
LAYERS = (
    Layer(2, 3, (2, 3), stride=(2, 3), padding=2, input=(9, 11), batch=3),
    Layer(3, 4, 3, padding=1, input=(6, 6)),
    Layer(3, 4, 3, stride=2, input=(7, 7)),
    Layer(3, 4, 3, stride=2, padding=2, input=(7, 7), batch=1),
    Layer(3, 3, 3, stride=2, padding=1, input=(8, 9)),
)


class Loops(Right):
    """A backward pass in nested loops; what it adds, crops and updates is open to change."""

    #: The loop at which grad_weight starts anew: nowhere, at every sample, row of windows or window.
    assigned_at = None
    rate = 0.0
    strides = (1, 1)

    def cut(self, padded):
        (top, _), (left, _) = self.layer.padding
        height, width = self.layer.input
        return padded[:, :, top : top + height, left : left + width]

    def taps(self, f):
        return self.weight[f]

    def window(self, i, j):
        (stride_i, stride_j), (high, wide) = self.steps(), self.layer.kernel
        return np.s_[:, i * stride_i : i * stride_i + high, j * stride_j : j * stride_j + wide]

    def steps(self):
        return self.layer.stride

    def backward(self, grad_output):
        padded = np.pad(self.x, ((0, 0), (0, 0), *self.layer.padding))
        grad_padded, grad_weight = np.zeros_like(padded), np.zeros_like(self.weight)
        for n, f, i, j in np.ndindex(*grad_output.shape):
            starts = {"sample": f == i == j == 0, "row": j == 0, "window": True}
            if starts.get(self.assigned_at):
                grad_weight[... if self.assigned_at == "sample" else f] = 0
            grad_weight[f] += padded[n][self.window(i, j)] * grad_output[n, f, i, j]
        if self.rate:
            self.weight = self.weight - self.rate * grad_weight
        for n, f, i, j in np.ndindex(*grad_output.shape):
            grad_padded[n][self.window(i, j)] += self.taps(f) * grad_output[n, f, i, j]
        return self.cut(grad_padded), grad_weight, grad_output.sum(axis=(0, 2, 3))


class LastWindow(Loops):
    assigned_at = "window"


class LastRow(Loops):
    assigned_at = "row"


class LastSample(Loops):
    assigned_at = "sample"


class UpdatesByHalf(Loops):
    rate = 0.5


class UpdatesByAThousandth(Loops):
    rate = 0.001


class UpdatesByThreePercent(Loops):
    rate = 0.03


class SumsTheChannels(Loops):
    def taps(self, f):
        return self.weight[f].sum(axis=0)


class CropsOne(Loops):
    def cut(self, padded):
        return padded[:, :, 1:-1, 1:-1]


class CropsOneRow(Loops):
    def cut(self, padded):
        (_, _), (left, _) = self.layer.padding
        return padded[:, :, 1:-1, left : left + self.layer.input[1]]


class CropsOneInFront(Loops):
    def cut(self, padded):
        (pad, _), (_, _) = self.layer.padding
        return padded[:, :, 1 : padded.shape[2] - pad, 1 : padded.shape[3] - pad]


class CropsTwice(Loops):
    def cut(self, padded):
        (pad, _), (_, _) = self.layer.padding
        height, width = self.layer.input
        return padded[:, :, pad : height - pad, pad : width - pad]


class CropsToMinusZero(Loops):
    def cut(self, padded):
        (pad, _), (_, _) = self.layer.padding
        return padded[:, :, pad:-pad, pad:-pad]


class ForgetsTheStrideOfRows(Loops):
    def steps(self):
        return 1, self.layer.stride[1]


class ReshapesTheProduct(Right):
    def backward(self, grad_output):
        right = super().backward(grad_output)
        product = right.weight.reshape(len(self.weight), -1).T
        return right._replace(weight=np.ascontiguousarray(product).reshape(self.weight.shape))


class ReshapesRowsOfFilters(Right):
    """Columns of the unfolded input position by position, and rows of grad_output sample by sample."""

    stands, read = (1, 0, 2, 3), (1, 2, 3, 0)

    def backward(self, grad_output):
        shape = [grad_output.shape[axis] for axis in self.read]
        rows = grad_output.transpose(self.stands).reshape(shape).transpose(np.argsort(self.read))
        return super().backward(rows)._replace(bias=super().backward(grad_output).bias)


class ReshapesRowsOfFiltersBack(ReshapesRowsOfFilters):
    """The other way round."""

    stands, read = (1, 2, 3, 0), (1, 0, 2, 3)


class NumbersWindowsByColumn(Right):
    """Columns of the unfolded input numbered column by column, and rows of grad_output row by row."""

    def backward(self, grad_output):
        layer, (high, wide) = self.layer, self.layer.output
        order = [i * wide + j for j in range(wide) for i in range(high)]
        rows = grad_output.reshape(layer.batch, 1, layer.filters, -1)
        columns = unfold.unfold(layer, self.x)[..., order]
        grad_columns = np.empty_like(columns)
        grad_columns[..., order] = self.weight.reshape(1, layer.filters, -1).swapaxes(1, 2) @ rows
        grad_weight = (rows @ columns.swapaxes(2, 3)).sum(axis=0).reshape(layer.weight_shape)
        return unfold.fold(layer, grad_columns), grad_weight, grad_output.sum(axis=(0, 2, 3))


class NumbersTapsByHeight(Right):
    def backward(self, grad_output):
        layer, (high, wide) = self.layer, self.layer.kernel
        rows = grad_output.reshape(layer.batch, layer.filters, -1)
        right, columns = unfold.unfold(layer, self.x)[:, 0], np.zeros((layer.batch, layer.channels * high * wide, 1))
        columns = np.repeat(columns, rows.shape[-1], axis=2)
        for c, a, b in np.ndindex(layer.channels, high, wide):
            columns[:, (c * high + a) * wide + b - a * wide + a * high] = right[:, (c * high + a) * wide + b]
        grad_weight = (rows @ columns.swapaxes(1, 2)).sum(axis=0).reshape(layer.weight_shape)
        return super().backward(grad_output)._replace(weight=grad_weight)


class DilatesTooFar(Right):
    def backward(self, grad_output):
        steps = self.layer.stride
        sizes = [m * step for m, step in zip(grad_output.shape[2:], steps, strict=True)]
        dilated = np.zeros((*grad_output.shape[:2], *sizes))
        dilated[:, :, :: steps[0], :: steps[1]] = grad_output
        padded = np.pad(self.x, ((0, 0), (0, 0), *self.layer.padding))
        high, wide = (n - m + 1 for n, m in zip(padded.shape[2:], sizes, strict=True))
        grad_weight = np.zeros((*self.weight.shape[:2], high, wide))
        for a, b in np.ndindex(high, wide):
            seen = padded[:, :, a : a + sizes[0], b : b + sizes[1]]
            grad_weight[..., a, b] = np.einsum("nfij,ncij->fc", dilated, seen)
        return super().backward(grad_output)._replace(weight=grad_weight)


class KeepsTheSamples(Right):
    def backward(self, grad_output):
        rows = grad_output.reshape(self.layer.batch, self.layer.filters, -1)
        product = rows @ unfold.unfold(self.layer, self.x)[:, 0].swapaxes(1, 2)
        return super().backward(grad_output)._replace(weight=product.reshape(-1, *self.weight.shape))


class BiasPerPosition(Right):
    def backward(self, grad_output):
        return super().backward(grad_output)._replace(bias=grad_output.sum(axis=0))


class BiasAsOneNumber(Right):
    def backward(self, grad_output):
        return super().backward(grad_output)._replace(bias=grad_output.sum())


#: The slip, the gradients that it spoils, its name, and a piece of what is said of its form.
SLIPS = [
    (LastWindow, {"weight"}, "last-window-only", "the last window of the last sample"),
    (LastRow, {"weight"}, "last-window-only", "the last row of the last sample"),
    (LastSample, {"weight"}, "last-sample-only", "the last sample"),
    (UpdatesByHalf, {"input"}, "updated-before-input", "learning rate 0.5"),
    (UpdatesByAThousandth, {"input"}, "updated-before-input", "learning rate 0.001"),
    (UpdatesByThreePercent, {"input"}, "updated-before-input", "learning rate 0.03"),
    (SumsTheChannels, {"input"}, "summed-too-far", "over the channels"),
    (CropsOne, {"input"}, "fixed-crop", "1:-1"),
    (CropsOneInFront, {"input"}, "fixed-crop", "1 in front"),
    (CropsOneRow, {"input"}, "fixed-crop", "1:-1, along rows only"),
    (CropsTwice, {"input"}, "padding-offset", "taken off twice behind"),
    (CropsToMinusZero, {"input"}, "empty-crop", "pad:-pad"),
    (ForgetsTheStrideOfRows, {"input", "weight"}, "stride-ignored", "along rows only"),
    (ReshapesTheProduct, {"weight"}, "reshape-instead-of-transpose", "channels, taps, filters"),
    (ReshapesRowsOfFilters, {"input", "weight"}, "reshape-instead-of-transpose", "read as filters, positions, samples"),
    (ReshapesRowsOfFiltersBack, {"input", "weight"}, "reshape-instead-of-transpose", "read as filters, samples, pos"),
    (NumbersWindowsByColumn, {"input", "weight"}, "axes-swapped", "grad_output transposed"),
    (NumbersTapsByHeight, {"weight"}, "axes-swapped", "numbered by the kernel's height"),
    (DilatesTooFar, {"weight"}, "dilated-too-far", "behind the last sample too"),
    (KeepsTheSamples, {"weight"}, "batch-not-summed", ""),
    (BiasPerPosition, {"bias"}, "bias-axes-confused", "not summed over the positions"),
    (BiasAsOneNumber, {"bias"}, "bias-axes-confused", "to a single number"),
]


@pytest.mark.parametrize(
    ("slip", "gradients", "name", "form"), SLIPS, ids=[f"{name}-{slip.__name__}" for slip, _, name, _ in SLIPS]
)
def test_a_slip_is_named(slip, gradients, name, form):
    wrong = set()
    for layer in LAYERS:
        for result in verify(layer, target=slip, checks=["forward", "exact"]).layers[0].results:
            if result.status == "failed":
                wrong.add(result.gradient)
                (diagnosis,) = result.diagnosis
                assert diagnosis.name == name
                assert form in diagnosis.explanation
            else:
                assert result.status == "passed"
    assert wrong == gradients


@pytest.mark.parametrize("layer", LAYERS, ids=range(len(LAYERS)))
def test_the_code_without_a_slip_is_right(layer):
    report = verify(layer, target=Loops)
    assert report.passed
    assert all(result.diagnosis == () for result in report.layers[0].results)


def with_forward(change, target=Right):
    class Changed(target):
        def forward(self, x, weight, bias, layer):
            return change(super().forward(x, weight, bias, layer), weight, bias)

    return Changed


def names(layer, target):
    """Every name that the failed results of a gradient get."""
    found = {}
    for result in verify(layer, target=target).layers[0].results:
        if result.status == "failed":
            found.setdefault(result.gradient, set()).update(diagnosis.name for diagnosis in result.diagnosis)
    return found


def column(bias):
    return bias.reshape(-1, 1, 1)


class TestAWrongForwardPass:
    LAYER = LAYERS[0]

    @pytest.mark.parametrize("factor", [2, -3, 0.25])
    def test_one_factor_is_told_as_such(self, factor):
        found = names(self.LAYER, with_forward(lambda output, weight, bias: factor * output))
        assert found["output"] == {"scaled"}

    def test_a_sign_has_a_name_of_its_own(self):
        found = names(self.LAYER, with_forward(lambda output, weight, bias: -output))
        assert found["output"] == {"forward-sign-flipped"}

    @pytest.mark.parametrize("layer", LAYERS, ids=range(len(LAYERS)))
    def test_axes_of_the_output_exchanged(self, layer):
        turned = with_forward(lambda output, weight, bias: output.swapaxes(2, 3))
        by_column = with_forward(lambda output, weight, bias: output.swapaxes(2, 3).reshape(output.shape))
        assert names(layer, turned)["output"] == {"forward-axes-swapped"}
        assert names(layer, by_column)["output"] == {"forward-axes-swapped"}

    @pytest.mark.parametrize(("stands", "read"), [((1, 0, 2), (1, 2, 0)), ((1, 2, 0), (1, 0, 2))])
    def test_rows_of_filters_reshaped_in_another_order(self, stands, read):
        def reshaped(output, weight, bias):
            blocks = (*output.shape[:2], output[0, 0].size)
            rows = output.reshape(blocks).transpose(stands).reshape([blocks[axis] for axis in read])
            return rows.transpose(np.argsort(read)).reshape(output.shape)

        report = verify(self.LAYER, target=with_forward(reshaped), checks=["forward"])
        (diagnosis,) = report.layers[0].results[0].diagnosis
        assert diagnosis.name == "forward-axes-swapped"
        assert "takes samples for positions" in diagnosis.explanation

    @pytest.mark.parametrize("by_column", [True, False])
    def test_rows_of_the_unfolded_input_numbered_wrongly(self, by_column):
        class Numbers(Right):
            def forward(self, x, weight, bias, layer):
                right = super().forward(x, weight, bias, layer)
                high, wide = layer.kernel
                columns = np.zeros_like(rows := unfold.unfold(layer, x)[:, 0])
                for c, a, b in np.ndindex(layer.channels, high, wide):
                    tap = b * high + a if by_column else a * high + b
                    columns[:, c * high * wide + tap] = rows[:, (c * high + a) * wide + b]
                product = weight.reshape(layer.filters, -1) @ columns + bias.reshape(-1, 1)
                return product.reshape(right.shape)

        report = verify(self.LAYER, target=Numbers, checks=["forward"])
        (result,) = report.layers[0].results
        assert [diagnosis.name for diagnosis in result.diagnosis] == ["forward-axes-swapped"]
        assert ("column by column" if by_column else "the kernel's height") in result.diagnosis[0].explanation

    @pytest.mark.parametrize(("axis", "word"), [(0, "rows"), (1, "columns")])
    def test_a_stride_ignored_along_one_axis(self, axis, word):
        class Ignores(Right):
            def forward(self, x, weight, bias, layer):
                steps = [1 if number == axis else step for number, step in enumerate(layer.stride)]
                return unfold.forward(replace(layer, stride=steps), x, weight, bias)

        result = verify(self.LAYER, target=Ignores, checks=["forward"]).layers[0].results[0]
        assert [diagnosis.name for diagnosis in result.diagnosis] == ["forward-stride-ignored"]
        assert f"along {word} only" in result.message

    @pytest.mark.parametrize("kept", [np.s_[:, -1:], np.s_[..., -1:, -1:], np.s_[:, -1:, -1:, -1:]])
    def test_the_last_term_of_a_sum(self, kept):
        class Assigned(Right):
            def forward(self, x, weight, bias, layer):
                last = np.zeros_like(weight)
                last[kept] = weight[kept]
                return super().forward(x, last, bias, layer)

        assert names(self.LAYER, Assigned)["output"] == {"forward-assigned"}

    @pytest.mark.parametrize(
        "change",
        [
            lambda output, weight, bias: output - column(bias),
            lambda output, weight, bias: output + column(bias),
            # A bias for every output position.
            lambda output, weight, bias: output + np.arange(output[0].size).reshape(output[0].shape),
        ],
    )
    def test_a_bias_that_is_off_leaves_the_other_gradients_their_names(self, change):
        class Unflipped(Right):
            def backward(self, grad_output):
                right = super().backward(grad_output)
                weight = np.flip(self.weight, (2, 3))
                wrong = unfold.backward(self.layer, self.x, weight, grad_output)
                return right._replace(input=wrong.input, weight=-right.weight)

        found = names(self.LAYER, with_forward(change, Unflipped))
        assert found["input"] == {"kernel-not-flipped"}
        assert found["weight"] == {"sign-flipped"}
        assert "input" not in names(self.LAYER, with_forward(change))

    @pytest.mark.parametrize(
        "change",
        [
            lambda output, weight, bias: 2 * output,
            # What is added depends on the weight, so that its gradient is another.
            lambda output, weight, bias: output + weight.sum(),
        ],
    )
    def test_another_function_has_other_gradients(self, change):
        class Negative(Right):
            def backward(self, grad_output):
                return super().backward(grad_output)._replace(weight=-super().backward(grad_output).weight)

        assert not names(self.LAYER, with_forward(change, Negative))["weight"]


class TestTheFixIsNotTheOpposite:
    """A kernel reversed where it must not be: the fix must be right for whoever reversed it."""

    @pytest.mark.parametrize("layer", LAYERS[1:3])
    def test_in_the_forward_pass(self, layer):
        class Reversed(Right):
            def forward(self, x, weight, bias, layer):
                return super().forward(x, weight[..., ::-1, ::-1], bias, layer)

        result = verify(layer, target=Reversed).layers[0].results[0]
        assert [diagnosis.name for diagnosis in result.diagnosis] == ["forward-is-convolution"]
        assert "take out what reverses it" in result.diagnosis[0].fix
        assert "reverse the kernel" not in result.diagnosis[0].fix

    def test_in_windows_to_which_it_is_added(self):
        class Reversed(Loops):
            def taps(self, f):
                return self.weight[f, :, ::-1, ::-1]

        class ReversedRows(Loops):
            def taps(self, f):
                return self.weight[f, :, ::-1]

        for target, name, word in (
            (Reversed, "kernel-not-flipped", "adding W times grad_output to each window"),
            (ReversedRows, "kernel-flipped-one-axis", "along none"),
        ):
            results = verify(LAYERS[0], target=target, checks=["exact"]).layers[0].results
            (diagnosis,) = next(result.diagnosis for result in results if result.status == "failed")
            assert diagnosis.name == name
            assert word in diagnosis.fix
        assert "along rows only" in diagnosis.explanation


class TestACrash:
    UNPADDED = LAYERS[2]

    @staticmethod
    def crops(pad_of):
        class Crops(Right):
            def backward(self, grad_output):
                right = super().backward(grad_output)
                pad = pad_of(self.layer)
                padded = np.pad(right.input, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
                cropped = np.empty_like(right.input)
                cropped[...] = padded[:, :, pad:-pad, pad:-pad]
                return right._replace(input=cropped)

        return Crops

    @staticmethod
    def told(layer, target):
        report = verify(layer, target=target, checks=["exact"])
        errors = [result for result in report.layers[0].results if result.status == "error"]
        return {diagnosis.name for result in errors for diagnosis in result.diagnosis}, " ".join(str(report).split())

    def test_of_a_slice_that_ends_at_minus_zero(self):
        found, text = self.told(self.UNPADDED, self.crops(lambda layer: layer.padding[0][0]))
        assert found == {"crash-empty-slice"}
        assert "The slice pad:-pad is empty where the padding is 0" in text
        assert "padding: 1" in text

    def test_of_such_a_slice_that_is_not_the_reason(self):
        # It raises with padding too.
        found, _ = self.told(self.UNPADDED, self.crops(lambda layer: 0))
        assert found == set()

    def test_of_indices_exchanged(self):
        class Exchanged(Right):
            def backward(self, grad_output):
                right = super().backward(grad_output)
                height, width = self.layer.input
                gradient = np.empty_like(right.input)
                for i, j in np.ndindex(width, height):
                    gradient[:, :, i, j] = right.input[:, :, i, j]
                return right._replace(input=gradient)

        found, text = self.told(LAYERS[4], Exchanged)
        assert found == {"crash-axes-differ"}
        assert "input: [8, 8]" in text
        assert self.told(LAYERS[1], Exchanged)[0] == set()

    def test_of_an_axis_that_is_refused_by_itself(self):
        class WithoutRemainder(Right):
            def forward(self, x, weight, bias, layer):
                assert not any(axis.remainder for axis in layer.axes), "width does not work"
                return super().forward(x, weight, bias, layer)

        # Along its rows there is none, so that it runs where both axes are like them.
        found, text = self.told(Layer(2, 3, 1, stride=2, input=(5, 4)), WithoutRemainder)
        assert "width does not work" in text
        assert found == set()

    def test_that_comes_everywhere_has_no_name(self):
        class Broken(Right):
            def backward(self, grad_output):
                raise IndexError("out of bounds")

        assert self.told(LAYERS[0], Broken)[0] == set()
