"""The suites that ship with convcheck: facts of the real networks, and what ``textbook`` and ``hostile`` claim."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import prod
from pathlib import Path

import pytest
import yaml

from convcheck.layer.layer import Layer
from convcheck.suites import config

FOLDER = Path(__file__).parents[2] / "configs"

SUITES = (
    "audio_1d", "benchdnn", "course", "dcgan", "deepbench", "deeplab_aspp", "hostile", "kernelbench", "kernels",
    "mobilenet_v2", "resnet50", "textbook", "unet_decoder", "vgg16", "video_3d",
)  # fmt: skip

# Number of convolutions, their weights and their biases.
NETWORKS = {
    "resnet50": (53, 23_454_912, 0),
    "vgg16": (13, 14_710_464, 4_224),
    "mobilenet_v2": (52, 2_189_760, 0),
    "deeplab_aspp": (6, 15_532_032, 0),
    "audio_1d": (17, 4_240_384, 640),
    "video_3d": (20, 33_156_672, 0),
    "dcgan": (5, 18_851_200, 3),
    "unet_decoder": (13, 12_185_728, 2_882),
}

# For whole networks torchvision states the number of parameters and of multiply-adds (in 1e9); what is not in a
# convolution is in the batch norms (two per filter) and in the fully connected layers (inputs and outputs here).
TORCHVISION = {
    "resnet50": (25_557_032, 4.089, [(2048, 1000)]),
    "vgg16": (138_357_544, 15.47, [(512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)]),
    "mobilenet_v2": (3_504_872, 0.301, [(1280, 1000)]),
    "video_3d": (33_371_472, 40.697, [(512, 400)]),
}


@cache
def layers(suite):
    """Return the layers of a shipped suite by name, in the order of the file."""
    return {layer.name: layer for layer in config.load(suite).layers}


def weights(suite):
    return sum(prod(layer.weight_shape) for layer in layers(suite).values())


def biases(suite):
    return sum(layer.filters for layer in layers(suite).values() if layer.bias)


def follows(before, after):
    """Whether ``after`` takes what ``before`` gives, with nothing but normalisation and activation in between."""
    return (before.filters, before.output) == (after.channels, after.input)


class TestEverySuite:
    def test_none_is_missing_or_untested(self):
        assert tuple(sorted(path.stem for path in FOLDER.glob("*.yaml"))) == SUITES
        assert set(SUITES) == {
            *NETWORKS,
            "textbook",
            "course",
            "hostile",
            "kernels",
            "benchdnn",
            "deepbench",
            "kernelbench",
        }

    @pytest.mark.parametrize("suite", SUITES)
    def test_layers_are_what_the_file_says(self, suite):
        # Read a second time, without convcheck's own reader.
        document = yaml.safe_load((FOLDER / f"{suite}.yaml").read_text(encoding="utf-8"))
        expected = tuple(Layer(**{**document["defaults"], **entry}) for entry in document["layers"])
        loaded = config.load(suite)
        assert loaded.layers == expected
        assert loaded.name == suite

    @pytest.mark.parametrize("suite", SUITES)
    def test_lines_point_at_the_layers(self, suite):
        text = (FOLDER / f"{suite}.yaml").read_text(encoding="utf-8").splitlines()
        loaded = config.load(suite)
        for layer, line in zip(loaded.layers, loaded.lines, strict=True):
            assert f"name: {layer.name}" in text[line - 1]

    @pytest.mark.parametrize("suite", SUITES)
    def test_head_comment_says_what_it_is(self, suite):
        assert (FOLDER / f"{suite}.yaml").read_text(encoding="utf-8").startswith("# ")


class TestRealNetworks:
    @pytest.mark.parametrize(("suite", "expected"), NETWORKS.items())
    def test_convolutions_weights_biases(self, suite, expected):
        assert (len(layers(suite)), weights(suite), biases(suite)) == expected

    @pytest.mark.parametrize(("suite", "expected"), NETWORKS.items())
    def test_the_head_comment_states_the_same_numbers(self, suite, expected):
        head = (FOLDER / f"{suite}.yaml").read_text(encoding="utf-8").split("version:")[0]
        count, _, _ = expected
        assert f" {count} convolutions" in head or f" {count} three-dimensional convolutions" in head
        if suite != "audio_1d":  # two networks, each with its own numbers
            assert f"{expected[1]:,} weights" in head

    @pytest.mark.parametrize(("suite", "published"), TORCHVISION.items())
    def test_with_the_rest_these_are_the_published_parameters(self, suite, published):
        parameters, _, dense = published
        norms = 2 * sum(layer.filters for layer in layers(suite).values() if not layer.bias)
        classifier = sum((inputs + 1) * outputs for inputs, outputs in dense)
        assert weights(suite) + biases(suite) + norms + classifier == parameters

    @pytest.mark.parametrize(("suite", "published"), TORCHVISION.items())
    def test_with_the_rest_these_are_the_published_multiply_adds(self, suite, published):
        _, billions, dense = published
        total = sum(layer.multiply_adds // layer.batch for layer in layers(suite).values())
        total += sum(inputs * outputs for inputs, outputs in dense)
        assert total / 1e9 == pytest.approx(billions, abs=0.0006 if billions < 15 or billions > 16 else 0.006)

    def test_they_come_in_both_precisions_with_one_image_and_several(self):
        drawn = {suite: {(layer.batch, layer.dtype) for layer in layers(suite).values()} for suite in NETWORKS}
        assert all(len(kinds) == 1 for kinds in drawn.values())
        assert set().union(*drawn.values()) == {(1, "float64"), (1, "float32"), (2, "float32")}

    def test_the_other_resnet50_would_not_pass(self):
        # The paper's own strides in a block's first 1×1, so its 3×3 works on fewer pixels: as many weights, fewer
        # multiply-adds. Only the second of the two tests above can tell.
        saved = 0
        for stage in (2, 3, 4):
            reduce, spatial = (layers("resnet50")[f"layer{stage}.0.conv{i}"] for i in (1, 2))
            assert (reduce.stride, spatial.stride) == ((1, 1), (2, 2))
            saved += reduce.multiply_adds * 3 // 4
        assert (sum(layer.multiply_adds for layer in layers("resnet50").values()) - saved) / 1e9 < 3.87


class TestResNet50:
    def test_total_entries_of_all_gradients(self):
        total = sum(prod(layer.input_shape) + prod(layer.weight_shape) for layer in layers("resnet50").values())
        assert total == 34_117_312

    def test_stem(self):
        stem = layers("resnet50")["conv1"]
        assert (stem.input_shape, stem.kernel, stem.stride) == ((1, 3, 224, 224), (7, 7), (2, 2))
        # 3×3 max pooling, stride 2, one zero on every side.
        pooled = tuple((size + 2 - 3) // 2 + 1 for size in stem.output)
        assert layers("resnet50")["layer1.0.conv1"].input == pooled == (56, 56)

    def test_blocks(self):
        net = layers("resnet50")
        names, source = ["conv1"], None
        for stage, (count, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), start=1):
            for block in range(count):
                prefix = f"layer{stage}.{block}"
                reduce, spatial, expand = (net[f"{prefix}.conv{i}"] for i in (1, 2, 3))
                stride = 2 if stage > 1 and block == 0 else 1
                assert [layer.kernel for layer in (reduce, spatial, expand)] == [(1, 1), (3, 3), (1, 1)]
                assert [layer.stride[0] for layer in (reduce, spatial, expand)] == [1, stride, 1]
                assert [layer.filters for layer in (reduce, spatial, expand)] == [width, width, 4 * width]
                assert follows(reduce, spatial)
                assert follows(spatial, expand)
                assert source is None or follows(source, reduce)
                names += [f"{prefix}.conv{i}" for i in (1, 2, 3)]
                if block == 0:
                    shortcut = net[f"{prefix}.downsample.0"]
                    assert (shortcut.kernel, shortcut.stride) == ((1, 1), (stride, stride))
                    assert shortcut.input_shape == reduce.input_shape
                    assert shortcut.output_shape == expand.output_shape
                    names.append(f"{prefix}.downsample.0")
                source = expand
        assert list(net) == names
        assert source.output_shape == (1, 2048, 7, 7)


class TestVGG16:
    def test_sizes(self):
        net = list(layers("vgg16").values())
        assert net[0].input_shape == (1, 3, 224, 224)
        assert all((layer.kernel, layer.output) == ((3, 3), layer.input) for layer in net)
        assert [layer.filters for layer in net] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
        pooled = [i for i, (one, other) in enumerate(pairwise(net), start=1) if not follows(one, other)]
        assert pooled == [2, 4, 7, 10]
        for i in pooled:
            assert net[i].channels == net[i - 1].filters
            assert net[i].input == tuple(size // 2 for size in net[i - 1].output)

    def test_names_count_activations_and_poolings_too(self):
        # A convolution and its ReLU take two places, a pooling takes one.
        places, place = [], 0
        for count in (2, 2, 3, 3, 3):
            places += [place + 2 * i for i in range(count)]
            place += 2 * count + 1
        assert list(layers("vgg16")) == [f"features.{place}" for place in places]


class TestMobileNetV2:
    def test_sequential_from_end_to_end(self):
        net = list(layers("mobilenet_v2").values())
        assert net[0].input_shape == (2, 3, 224, 224)
        assert all(follows(one, other) for one, other in pairwise(net))
        assert net[-1].output_shape == (2, 1280, 7, 7)

    def test_every_other_kind_of_layer(self):
        net = list(layers("mobilenet_v2").values())
        depthwise = [layer for layer in net if layer.groups > 1]
        assert len(depthwise) == 17
        assert all(layer.groups == layer.channels == layer.filters for layer in depthwise)
        assert all(layer.kernel == ((3, 3) if layer.groups > 1 else (1, 1)) for layer in net[1:])

    def test_table_2_of_the_paper(self):
        # Expansion t, output channels c, repetitions n, stride s of the first of them.
        table = [
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ]  # fmt: skip
        net = layers("mobilenet_v2")
        block, channels = 1, 32
        for expansion, filters, count, stride in table:
            for repetition in range(count):
                parts = [layer for name, layer in net.items() if name.startswith(f"features.{block}.conv.")]
                *expand, depthwise, project = parts
                assert len(expand) == (expansion > 1)
                assert parts[0].channels == channels
                assert depthwise.channels == expansion * channels
                assert depthwise.stride == (stride if repetition == 0 else 1,) * 2
                assert project.filters == filters
                block, channels = block + 1, filters
        assert block == 18


class TestDeepLab:
    def test_branches(self):
        net = list(layers("deeplab_aspp").values())
        assert [layer.dilation[0] for layer in net] == [1, 6, 12, 18, 1, 1]
        assert {layer.channels for layer in net[:5]} == {2048}
        assert {layer.filters for layer in net} == {256}
        assert net[5].channels == 5 * 256
        # Output stride 16 on a 513×513 crop.
        assert {layer.input for layer in net if layer is not net[4]} == {(-(-513 // 16),) * 2}
        assert net[4].input == (1, 1)
        assert all(layer.output == layer.input for layer in net)

    def test_padding_is_larger_than_the_kernel(self):
        assert all(min(layer.padding[0]) > layer.kernel[0] for layer in list(layers("deeplab_aspp").values())[1:4])


class TestAudio:
    def split(self):
        net = layers("audio_1d")
        encoder = [layer for name, layer in net.items() if name.startswith("conv_layers.")]
        stack = [layer for name, layer in net.items() if name.startswith("wavenet.")]
        assert len(encoder) + len(stack) == len(net)
        return encoder, stack

    def test_wav2vec_encoder(self):
        encoder, _ = self.split()
        assert [layer.kernel for layer in encoder] == [(10,), (3,), (3,), (3,), (3,), (2,), (2,)]
        assert [layer.stride for layer in encoder] == [(5,), (2,), (2,), (2,), (2,), (2,), (2,)]
        assert encoder[0].input_shape == (2, 1, 16_000)
        assert all(follows(one, other) for one, other in pairwise(encoder))
        assert encoder[-1].output_shape == (2, 512, 49)
        assert sum(prod(layer.weight_shape) for layer in encoder) == 4_199_424

    def test_wav2vec_frames(self):
        # The paper's 20 ms between frames and receptive field of 400 samples.
        encoder, _ = self.split()
        step, reach = 1, 1
        for layer in encoder:
            reach += (layer.kernel[0] - 1) * step
            step *= layer.stride[0]
        assert (step, reach) == (320, 400)

    def test_wavenet_block(self):
        _, stack = self.split()
        assert [layer.dilation[0] for layer in stack] == [2**i for i in range(10)]
        # Causal: output i sees no sample after i.
        assert all(layer.padding == ((layer.dilation[0], 0),) for layer in stack)
        assert all(layer.output == layer.input == (16_000,) for layer in stack)
        assert 1 + sum(layer.dilation[0] for layer in stack) == 1024
        assert sum(prod(layer.weight_shape) for layer in stack) == 40_960


class TestVideo:
    def test_blocks(self):
        net = layers("video_3d")
        source = net["stem.0"]
        assert source.input_shape == (1, 3, 16, 112, 112)
        assert source.output_shape == (1, 64, 16, 56, 56)
        for stage, width in enumerate((64, 128, 256, 512), start=1):
            for block in range(2):
                first, second = (net[f"layer{stage}.{block}.conv{i}.0"] for i in (1, 2))
                stride = (2,) * 3 if stage > 1 and block == 0 else (1,) * 3
                assert (first.kernel, second.kernel) == ((3, 3, 3), (3, 3, 3))
                assert (first.stride, second.stride) == (stride, (1, 1, 1))
                assert (first.filters, second.filters) == (width, width)
                assert follows(source, first)
                assert follows(first, second)
                if stride != (1, 1, 1):
                    shortcut = net[f"layer{stage}.{block}.downsample.0"]
                    assert (shortcut.kernel, shortcut.stride) == ((1, 1, 1), (2, 2, 2))
                    assert shortcut.input_shape == first.input_shape
                    assert shortcut.output_shape == second.output_shape
                source = second
        assert source.output_shape == (1, 512, 2, 7, 7)


class TestDCGAN:
    def test_each_layer_doubles_the_side_from_noise_to_a_picture(self):
        net = list(layers("dcgan").values())
        assert all(layer.transposed for layer in net)
        assert (net[0].channels, net[0].input, net[-1].filters) == (100, (1, 1), 3)
        assert all(follows(one, other) for one, other in pairwise(net))
        assert [layer.output for layer in net] == [(4, 4), (8, 8), (16, 16), (32, 32), (64, 64)]
        assert [layer.filters for layer in net[:-1]] == [1024, 512, 256, 128]
        assert {(layer.kernel, layer.stride) for layer in net[1:]} == {((5, 5), (2, 2))}


class TestUNet:
    def test_the_steps_of_the_expanding_half(self):
        net, source = layers("unet_decoder"), (1024, (28, 28))
        for step in (4, 3, 2, 1):
            up, first, second = (net[name] for name in (f"up{step}", f"up{step}.conv1", f"up{step}.conv2"))
            assert (up.transposed, first.transposed, second.transposed) == (True, False, False)
            assert (up.channels, up.input) == source
            assert up.output == tuple(2 * size for size in up.input)
            # Half of the channels come from the other half of the network.
            assert (first.channels, first.input) == (2 * up.filters, up.output)
            assert follows(first, second)
            source = (second.filters, second.output)
        assert (net["classes"].channels, net["classes"].input) == source == (64, (388, 388))
        assert net["classes"].filters == 2


class TestTextbook:
    def test_is_small(self):
        assert 14 <= len(layers("textbook")) <= 18
        assert sum(layer.multiply_adds for layer in layers("textbook").values()) < 50_000

    def test_every_text_has_its_example_and_what_it_leaves_out(self):
        texts = [name.split("-")[0] for name in layers("textbook")]
        assert texts == sorted(texts)
        assert {text: min(2, texts.count(text)) for text in texts} == dict.fromkeys(["T0", "T1", "T2", "T3", "T4"], 2)

    def test_worked_examples(self):
        net = layers("textbook")
        t0 = net["T0-stride-2"]
        assert t0.batch == 1
        assert t0.stride == (2, 2)
        assert min(t0.channels, t0.filters) > 1
        assert {axis.remainder for axis in t0.axes} == {0}
        t1 = net["T1-20-filters-over-RGB"]
        assert t1.weight_shape[:2] == (20, 3)
        assert (t1.stride, t1.padding) == ((1, 1), ((0, 0), (0, 0)))
        t2 = net["T2-same-size"]
        assert (t2.input_shape, t2.weight_shape, t2.output) == ((1, 1, 6, 6), (1, 1, 3, 3), (6, 6))
        assert t2.padding == ((0, 2), (0, 2))
        t3 = net["T3-stride-1"]
        assert (t3.input_shape, t3.weight_shape, t3.output_shape) == ((1, 1, 3, 3), (1, 1, 2, 2), (1, 1, 2, 2))
        t3 = net["T3-stride-2"]
        assert (t3.input_shape, t3.weight_shape, t3.output_shape) == ((1, 1, 5, 5), (1, 1, 3, 3), (1, 1, 2, 2))
        assert t3.stride == (2, 2)
        t4 = net["T4-non-square"]
        assert t4.stride == (1, 1)
        assert t4.kernel[0] != t4.kernel[1]

    def test_what_the_names_promise(self):
        net = layers("textbook")
        assert all(axis.remainder for name in ("T0-remainder", "T3-remainder") for axis in net[name].axes)
        assert net["T1-channels-equal-filters"].channels == net["T1-channels-equal-filters"].filters > 1
        assert net["T1-groups"].groups > 1
        assert net["T2-causal"].output == net["T2-causal"].input
        assert net["T2-causal"].padding[0][1] == 0
        assert any(min(axis.full_padding) < 0 for axis in net["T3-crop"].axes)
        assert min(net["T3-dilation"].dilation) > 1
        assert len(net["T3-volume"].axes) == 3
        assert net["T4-fold"].dtype == "float32"
        assert net["T4-depthwise"].groups == net["T4-depthwise"].channels


def some(suite, claim):
    """Return the names of the layers of a suite for which a claim holds."""
    return [name for name, layer in layers(suite).items() if claim(layer)]


def distinct(values):
    return len(set(values)) == len(values)


def overlapping(axis):
    """Whether two windows of the axis read the same sample."""
    return any(len(axis.readers(position)) > 1 for position in range(axis.padded_size))


def windows_fit(axis, stride=None, dilation=None, before=None):
    """Whether as many windows as the axis has still fit after a change: the mistake then keeps all shapes."""
    reach = (axis.output_size - 1) * (stride or axis.stride) + (dilation or axis.dilation) * (axis.kernel - 1)
    return reach < (axis.padded_size if before is None else axis.size)


def multiple(layer):
    """Whether images, channels, filters and outputs are all more than one."""
    return min(layer.batch, layer.channels, layer.filters, *layer.output) > 1


# What a layer must have for a mistake to be possible (the shapes allow it) and visible (the numbers differ). Of each
# mistake that depends on the geometry, the hardest form.
POSSIBLE_AND_VISIBLE = {
    "kernel-not-flipped": lambda x: min(x.kernel) > 1,
    "kernel-flipped-one-axis, 2-D": lambda x: len(x.kernel) == 2 and min(x.kernel) > 1,
    "kernel-flipped-one-axis, 3-D": lambda x: len(x.kernel) == 3 and min(x.kernel) > 1,
    "channel-axes-not-swapped": lambda x: x.groups == 1 and x.channels == x.filters > 1,
    "channel-axes-not-swapped, in a group": lambda x: x.groups > 1 and x.channels_per_group == x.filters_per_group > 1,
    "gradient-not-dilated": lambda x: min(x.stride) > 1 and min(x.output) > 1,
    "gradient-repeated": lambda x: min(x.stride) > 1 and all(a.remainder == a.stride - 1 for a in x.axes),
    "remainder-dropped": lambda x: all(a.remainder > a.after for a in x.axes) and min(x.output) > 1,
    "padding-offset": lambda x: all(a.before != a.after and a.before for a in x.axes),
    "padding-offset, crop": lambda x: all(max(a.full_padding) < 0 for a in x.axes),
    "overlap-overwritten": lambda x: all(overlapping(a) and a.stride > 1 for a in x.axes),
    "clamped-index": lambda x: set(x.stride) == {1} and min(x.kernel) > 1,
    # The index that wraps round exists: at least k - 1 outputs.
    "wrapped-index": lambda x: (
        set(x.stride) == {1} and all(a.output_size >= a.effective_kernel - 1 > 0 for a in x.axes)
    ),
    "dilation-ignored": lambda x: min(x.dilation) > 1 and min(x.kernel) > 1,
    "stride-ignored": lambda x: min(x.stride) > 1 and min(x.output) > 1,
    "axes-swapped, kernel": lambda x: len(x.kernel) == 2 and x.kernel[0] == x.kernel[1] > 1,
    "axes-swapped, gradients": lambda x: x.input[0] == x.input[-1] and x.output[0] == x.output[-1] > 1 < len(x.axes),
    "axes-swapped, stride": lambda x: (
        len(x.axes) > 1
        and distinct(x.stride)
        and all(windows_fit(a, stride=s) for a, s in zip(x.axes, x.stride[::-1], strict=True))
    ),
    "axes-swapped, dilation": lambda x: (
        len(x.axes) > 1
        and distinct(x.dilation)
        and all(windows_fit(a, dilation=d) for a, d in zip(x.axes, x.dilation[::-1], strict=True))
    ),
    "axes-swapped, padding": lambda x: distinct(x.padding) and len({sum(p) for p in x.padding}) == 1 < len(x.axes),
    "groups-ignored": lambda x: x.groups > 1 and min(x.channels_per_group, x.filters_per_group) > 1,
    "groups-ignored, depthwise": lambda x: x.groups == x.channels == x.filters > 1,
    "groups-ignored, depth multiplier": lambda x: x.groups == x.channels > 1 < x.filters_per_group,
    "weight-gradient-flipped": lambda x: min(x.kernel) > 1,
    "input-not-padded": lambda x: all(a.before and windows_fit(a, before=0) for a in x.axes) and len(x.axes) > 1,
    "weight-axes-swapped": lambda x: x.filters == x.channels_per_group > 1,
    "weight-axes-swapped, in groups": lambda x: x.groups > 1 and x.filters == x.channels_per_group > 1,
    "reshape-instead-of-transpose": multiple,
    "last-sample-only, batch-averaged": lambda x: x.batch > 2,
    "spatially-averaged": lambda x: min(x.output) > 1,
    "forward-is-convolution": lambda x: min(x.kernel) > 1,
}


class TestHostile:
    def test_is_small(self):
        assert 12 <= len(layers("hostile")) <= 22
        sizes = [layer.multiply_adds for name, layer in layers("hostile").items() if name != "beyond-a-tile"]
        assert max(sizes) < 100_000

    @pytest.mark.parametrize(("mistake", "claim"), POSSIBLE_AND_VISIBLE.items())
    def test_no_blind_spot(self, mistake, claim):
        assert some("hostile", claim), mistake

    def test_a_suite_of_square_layers_has_blind_spots(self):
        # VGG's layers: square, stride 1, no remainder, one image, padding alike on all sides.
        blind = {mistake for mistake, claim in POSSIBLE_AND_VISIBLE.items() if not some("vgg16", claim)}
        assert blind >= {
            "gradient-not-dilated", "remainder-dropped", "padding-offset", "dilation-ignored", "stride-ignored",
            "groups-ignored", "input-not-padded", "last-sample-only, batch-averaged",
        }  # fmt: skip

    @pytest.mark.parametrize("name", ["all-different", "all-different-1d", "all-different-3d"])
    def test_no_two_axes_alike(self, name):
        layer = layers("hostile")[name]
        for sizes in (layer.input, layer.kernel, layer.stride, layer.dilation, layer.padding, layer.output):
            assert distinct(sizes)
        assert distinct(layer.input_shape)
        assert distinct(layer.output_shape)
        assert all(axis.remainder and axis.before != axis.after for axis in layer.axes)

    @pytest.mark.parametrize("name", ["all-different", "all-different-1d"])
    def test_no_two_sizes_alike_at_all(self, name):
        layer = layers("hostile")[name]
        sizes = (layer.batch, layer.channels, layer.filters, *layer.kernel, *layer.input, *layer.output)
        assert distinct(sizes)

    def test_claims_of_the_issue(self):
        net = layers("hostile")
        assert all(
            min(p) > k
            for p, k in zip(net["padding-over-kernel"].padding, net["padding-over-kernel"].kernel, strict=True)
        )
        assert all(a.stride > a.effective_kernel for a in net["stride-over-kernel"].axes)
        assert all(a.remainder and not a.after for a in net["stride-over-kernel"].axes)
        assert set(net["pointwise"].kernel) == {1}
        assert net["one-pixel-out"].output_shape == (1, 1, 1, 1)
        assert net["one-pixel-out"].weight_shape[:2] == (1, 1)
        assert {len(layer.axes) for layer in net.values()} == {1, 2, 3}
        assert {layer.dtype for layer in net.values()} == {"float64", "float32"}
        assert {layer.bias for layer in net.values()} == {True, False}
        assert {layer.batch for name, layer in net.items() if name not in ("one-pixel-out", "beyond-a-tile")} == {3}

    def test_padding_behind_is_t2(self):
        layer = layers("hostile")["padding-behind"]
        assert layer.output == layer.input
        assert layer.padding == tuple((0, k - 1) for k in layer.kernel)

    def test_same_padding_is_asymmetric(self):
        assert all(after > before for before, after in layers("hostile")["channels-equal-filters"].padding)

    def test_square_differs_between_its_axes_only_in_stride_and_padding(self):
        layer = layers("hostile")["square"]
        for sizes in (layer.input, layer.kernel, layer.dilation, layer.output, [sum(p) for p in layer.padding]):
            assert len(set(sizes)) == 1
        assert distinct(layer.stride)
        assert distinct(layer.padding)
