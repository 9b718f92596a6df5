"""A convolution in two axes as Triton kernels: the forward pass and its gradients, as products of gathered tiles.

Sums are made in float32, whatever the data type, and rounded once. With TRITON_INTERPRET=1 in the environment, Triton's
interpreter runs the kernels without a GPU.
"""

import torch
import triton
import triton.language as tl

TILE = 16


@triton.jit
def product(left, right):
    # Widened first: the interpreter would multiply the bits of bfloat16.
    return tl.dot(left.to(tl.float32), right.to(tl.float32), input_precision="ieee")


@triton.jit
def forward_kernel(
    x,
    weight,
    bias,
    output,
    N,
    C,
    H,
    W,
    F,
    OH,
    OW,
    R: tl.constexpr,
    S: tl.constexpr,
    SH,
    SW,
    PH,
    PW,
    DH,
    DW,
    BIAS: tl.constexpr,
    TILE: tl.constexpr,
):
    site = tl.program_id(0) * TILE + tl.arange(0, TILE)
    f = tl.program_id(1) * TILE + tl.arange(0, TILE)
    n, oh, ow = site // (OH * OW), site // OW % OH, site % OW
    total = tl.zeros((TILE, TILE), tl.float32)
    for start in range(0, C, TILE):
        c = start + tl.arange(0, TILE)
        for tap in range(R * S):
            h, w = oh * SH - PH + tap // S * DH, ow * SW - PW + tap % S * DW
            inside = (n < N) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
            seen = tl.load(
                x + ((n[:, None] * C + c[None, :]) * H + h[:, None]) * W + w[:, None],
                mask=inside[:, None] & (c < C)[None, :],
                other=0.0,
            )
            taps = tl.load(
                weight + (f[None, :] * C + c[:, None]) * R * S + tap,
                mask=(f < F)[None, :] & (c < C)[:, None],
                other=0.0,
            )
            total += product(seen, taps)
    if BIAS:
        total += tl.load(bias + f, mask=f < F, other=0.0).to(tl.float32)[None, :]
    place = ((n[:, None] * F + f[None, :]) * OH + oh[:, None]) * OW + ow[:, None]
    tl.store(output + place, total.to(output.dtype.element_ty), mask=(n < N)[:, None] & (f < F)[None, :])


@triton.jit
def input_kernel(
    grad,
    weight,
    grad_input,
    N,
    C,
    H,
    W,
    F,
    OH,
    OW,
    R: tl.constexpr,
    S: tl.constexpr,
    SH,
    SW,
    PH,
    PW,
    DH,
    DW,
    TILE: tl.constexpr,
):
    site = tl.program_id(0) * TILE + tl.arange(0, TILE)
    c = tl.program_id(1) * TILE + tl.arange(0, TILE)
    n, h, w = site // (H * W), site // W % H, site % W
    total = tl.zeros((TILE, TILE), tl.float32)
    for start in range(0, F, TILE):
        f = start + tl.arange(0, TILE)
        for tap in range(R * S):
            up, left = h + PH - tap // S * DH, w + PW - tap % S * DW
            oh, ow = up // SH, left // SW
            reached = (n < N) & (up >= 0) & (left >= 0) & (up % SH == 0) & (left % SW == 0) & (oh < OH) & (ow < OW)
            given = tl.load(
                grad + ((n[:, None] * F + f[None, :]) * OH + oh[:, None]) * OW + ow[:, None],
                mask=reached[:, None] & (f < F)[None, :],
                other=0.0,
            )
            taps = tl.load(
                weight + (f[:, None] * C + c[None, :]) * R * S + tap,
                mask=(f < F)[:, None] & (c < C)[None, :],
                other=0.0,
            )
            total += product(given, taps)
    place = ((n[:, None] * C + c[None, :]) * H + h[:, None]) * W + w[:, None]
    tl.store(grad_input + place, total.to(grad_input.dtype.element_ty), mask=(n < N)[:, None] & (c < C)[None, :])


@triton.jit
def weight_kernel(
    x,
    grad,
    grad_weight,
    grad_bias,
    N,
    C,
    H,
    W,
    F,
    OH,
    OW,
    R: tl.constexpr,
    S: tl.constexpr,
    SH,
    SW,
    PH,
    PW,
    DH,
    DW,
    BIAS: tl.constexpr,
    TILE: tl.constexpr,
):
    f = tl.program_id(0) * TILE + tl.arange(0, TILE)
    c = tl.program_id(1) * TILE + tl.arange(0, TILE)
    tap = tl.program_id(2)
    total = tl.zeros((TILE, TILE), tl.float32)
    sums = tl.zeros((TILE,), tl.float32)
    for start in range(0, N * OH * OW, TILE):
        site = start + tl.arange(0, TILE)
        n, oh, ow = site // (OH * OW), site // OW % OH, site % OW
        h, w = oh * SH - PH + tap // S * DH, ow * SW - PW + tap % S * DW
        inside = (n < N) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
        given = tl.load(
            grad + ((n[None, :] * F + f[:, None]) * OH + oh[None, :]) * OW + ow[None, :],
            mask=(n < N)[None, :] & (f < F)[:, None],
            other=0.0,
        )
        seen = tl.load(
            x + ((n[:, None] * C + c[None, :]) * H + h[:, None]) * W + w[:, None],
            mask=inside[:, None] & (c < C)[None, :],
            other=0.0,
        )
        total += product(given, seen)
        sums += tl.sum(given.to(tl.float32), axis=1)
    tl.store(
        grad_weight + (f[:, None] * C + c[None, :]) * R * S + tap,
        total.to(grad_weight.dtype.element_ty),
        mask=(f < F)[:, None] & (c < C)[None, :],
    )
    if BIAS:
        if (tap == 0) & (tl.program_id(1) == 0):
            tl.store(grad_bias + f, sums.to(grad_bias.dtype.element_ty), mask=f < F)


def tiles(*sizes):
    return tuple(triton.cdiv(size, TILE) for size in sizes)


class Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding, dilation):
        x, weight = x.contiguous(), weight.contiguous()
        bias = None if bias is None else bias.contiguous()
        (n, c, *size), (f, _, *kernel) = x.shape, weight.shape
        out = [(size[a] + 2 * padding[a] - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1 for a in (0, 1)]
        ctx.sizes = (n, c, *size, f, *out, *kernel, *stride, *padding, *dilation)
        ctx.save_for_backward(x, weight)
        ctx.bias = bias is not None
        output = x.new_empty(n, f, *out)
        grid = tiles(n * out[0] * out[1], f)
        forward_kernel[grid](x, weight, bias if ctx.bias else weight, output, *ctx.sizes, BIAS=ctx.bias, TILE=TILE)
        return output

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        n, c, h, w, f, _, _, r, s, *_ = ctx.sizes
        grad_input, grad_weight, grad_bias = torch.empty_like(x), torch.empty_like(weight), weight.new_empty(f)
        input_kernel[tiles(n * h * w, c)](grad, weight, grad_input, *ctx.sizes, TILE=TILE)
        grid = (*tiles(f, c), r * s)
        weight_kernel[grid](x, grad, grad_weight, grad_bias, *ctx.sizes, BIAS=ctx.bias, TILE=TILE)
        return grad_input, grad_weight, grad_bias if ctx.bias else None, None, None, None
