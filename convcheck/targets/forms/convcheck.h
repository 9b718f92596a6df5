/* What a shared library offers to convcheck: a forward and a backward pass for each data type that it takes.
 *
 * With "target: {library: ./libmy_conv.so, forward: my_conv_forward, backward: my_conv_backward}", and without the two
 * names, these functions are looked for; a data type that has none is not taken:
 *
 *     my_conv_forward_float64    my_conv_backward_float64    double
 *     my_conv_forward_float32    my_conv_backward_float32    float
 *     my_conv_forward_float16    my_conv_backward_float16    uint16_t, the 16 bits of a half
 *     my_conv_forward_bfloat16   my_conv_backward_bfloat16   uint16_t, the upper 16 bits of a float
 *
 * Arrays are in C order: x and grad_input (n, c, *input), weight and grad_weight (f, c/groups, *kernel), bias and
 * grad_bias (f), output and grad_output (n, f, *output). Without a bias, bias and grad_bias are NULL. What comes back
 * is allocated by convcheck, full of NaN, with guards in front and behind: write every entry, and nothing else.
 *
 * With "device: cuda" in the mapping, or --device cuda, all arrays are in the memory of that device, in its primary
 * context. convcheck waits for everything that was started there, on whichever stream, before it looks at a result.
 *
 * A function returns CONVCHECK_OK; CONVCHECK_UNSUPPORTED (forward alone) for a layer that it does not take; or
 * CONVCHECK_ERROR. With the last two it may write a reason into message, a text that ends with a zero.
 */
#ifndef CONVCHECK_H
#define CONVCHECK_H

#include <stdint.h>

enum { CONVCHECK_OK = 0, CONVCHECK_UNSUPPORTED = 1, CONVCHECK_ERROR = 2, CONVCHECK_MESSAGE_SIZE = 256 };

enum { CONVCHECK_ZEROS = 0, CONVCHECK_CIRCULAR = 1, CONVCHECK_REFLECT = 2, CONVCHECK_REPLICATE = 3 };

typedef struct {
    int64_t n, c, f, groups;   /* samples, channels, filters, groups */
    int64_t bias;              /* 1 with a bias, 0 without */
    int64_t rank;              /* number of spatial axes: 1, 2 or 3; of the arrays below, so many entries count */
    int64_t input[3], kernel[3], stride[3], dilation[3];
    int64_t before[3], after[3]; /* zeros in front of and behind each axis */
    int64_t output[3];
    /* Of a plain layer padded with zeros, what follows is 0; another is asked for only with "supports" in the mapping,
     * as far as it is so: supports: [transposed, circular, reflect, replicate]. */
    int64_t transposed;        /* 1: weight is (c, f/groups, *kernel), and before and after are outputs removed */
    int64_t output_padding[3]; /* outputs added behind each axis, of a transposed layer */
    int64_t padding_mode;      /* one of CONVCHECK_ZEROS, ...: what stands in the padding, as PyTorch has it */
} convcheck_layer;

#ifdef __cplusplus
extern "C" {
#endif

int my_conv_forward_float64(const convcheck_layer *layer, const double *x, const double *weight, const double *bias,
                            double *output, char *message);

int my_conv_backward_float64(const convcheck_layer *layer, const double *x, const double *weight, const double *bias,
                             const double *grad_output, double *grad_input, double *grad_weight, double *grad_bias,
                             char *message);

int my_conv_forward_float32(const convcheck_layer *layer, const float *x, const float *weight, const float *bias,
                            float *output, char *message);

int my_conv_backward_float32(const convcheck_layer *layer, const float *x, const float *weight, const float *bias,
                             const float *grad_output, float *grad_input, float *grad_weight, float *grad_bias,
                             char *message);

#ifdef __cplusplus
}
#endif

#endif
