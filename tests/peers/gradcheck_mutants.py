"""The faulty ops of autograd/tests/mutants/ops.rs, written for PyTorch and given to torch.autograd.gradcheck, in slow and in
fast mode, at its defaults: double precision, inputs of one shape of the caller's choice, as its documentation shows.

    python tests/peers/gradcheck_mutants.py [--all]

Needs torch. Prints how many of each kind are caught, and with --all each of them.
"""

import argparse
import math
import pathlib
import re
import warnings
from collections import defaultdict

import torch
from torch.autograd import Function, gradcheck


def op(forward, backward):
    """An op with a gradient of its own: backward(g, *inputs) gives one for each input."""

    class Op(Function):
        @staticmethod
        def forward(ctx, *xs):
            ctx.save_for_backward(*xs)
            return forward(*xs)

        @staticmethod
        def backward(ctx, g):
            return backward(g, *ctx.saved_tensors)

    return Op.apply


def shape(x, i):
    return x.shape[i]


def storage_order(x):
    """Elements as they lie in the storage, whatever the strides say."""
    storage = torch.tensor([], dtype=x.dtype).set_(x.untyped_storage())
    return storage[: x.numel()].reshape(x.shape).clone()


def normalized(x, eps):
    c = x - x.mean(-1, keepdim=True)
    rstd = (c.square().mean(-1, keepdim=True) + eps).rsqrt()
    return c * rstd, rstd


def layer_norm_vjp(g, h, rstd):
    return (g - g.mean(-1, keepdim=True) - h * (g * h).mean(-1, keepdim=True)) * rstd


def gather_vjp(g, x):
    dx = torch.zeros_like(x)
    for row, to in enumerate([0, shape(x, 0) - 1, 0]):
        dx[to] = g[row]
    return dx


def cat0(*parts):
    return torch.cat(parts, -1)


calls = [1]


def count():
    calls[0] += 1
    return calls[0] % 1024


mask_of = {}


def another_mask(x, number):
    key = (tuple(x.shape), number)
    if key not in mask_of:
        mask_of[key] = (torch.rand(x.shape, generator=torch.Generator().manual_seed(number)) < 0.5).double()
    return mask_of[key]


def tail(g):
    flat = g.contiguous().flatten().clone()
    if flat.numel() > 8:
        flat[flat.numel() - flat.numel() % 8 :] = 0
    return flat.reshape(g.shape)


def trace_vjp(g, x):
    flat = torch.zeros(x.numel(), dtype=x.dtype)
    flat[:: shape(x, 1) + 1] = g
    return flat.reshape(x.shape)


def root_of_positive(x):
    return torch.where(x < 0, x, x.clamp(min=0).sqrt())


def root_vjp(g, x):
    negative = (x < 0).double()
    return g * negative + g * (1 - negative) / (2 * x.sqrt())


def prod_vjp(g, x):
    s = x.clamp(min=0)
    return g * (s.square() / s) * 2


torch.manual_seed(0)
X = torch.randn(3, 4, dtype=torch.double)  # what a test would take
Y = torch.randn(3, 4, dtype=torch.double)
SQUARE, OTHER = torch.randn(4, 4, dtype=torch.double), torch.randn(4, 4, dtype=torch.double)
CUBE = torch.randn(3, 3, 3, dtype=torch.double)
ROW = torch.randn(4, dtype=torch.double)
POSITIVE = X.abs() + 0.5
tril = lambda x, d=0: torch.tril(torch.ones(x.shape[-2:], dtype=x.dtype), d)
softmax = lambda x: x.softmax(-1)
rowsum = lambda x: x.sum(-1, keepdim=True)

# fault → (op, inputs)
TWINS = {
    "the 2 of x² forgotten": (op(lambda x: x.square(), lambda g, x: g * x), [X]),
    "a mean that does not divide its gradient": (
        op(lambda x: x.mean(-1), lambda g, x: g[..., None].expand_as(x)), [X]),
    "the scale of a scaled product forgotten for one side": (
        op(lambda a, b: a @ b * 0.125, lambda g, a, b: (g @ b.T * 0.125, a.T @ g)), [X, OTHER]),
    "a variance over n − 1 with the gradient of one over n": (
        op(lambda x: x.var(-1), lambda g, x: g[..., None] * (x - x.mean(-1, keepdim=True)) * 2 / shape(x, -1)), [X]),
    "exp(2x) without the 2": (op(lambda x: (2 * x).exp(), lambda g, x: g * (2 * x).exp()), [X]),
    "the right side of a difference": (op(lambda a, b: a - b, lambda g, a, b: (g, g)), [X, Y]),
    "cos with derivative sin": (op(lambda x: x.cos(), lambda g, x: g * x.sin()), [X]),
    "1/x with derivative 1/x²": (op(lambda x: 1 / x, lambda g, x: g / x.square()), [POSITIVE]),
    "|x| with derivative 1": (op(lambda x: x.abs(), lambda g, x: g), [X]),
    "softmax without the part that all outputs share": (op(softmax, lambda g, x: g * softmax(x)), [X]),
    "log-softmax as if its normaliser were constant": (op(lambda x: x.log_softmax(-1), lambda g, x: g), [X]),
    "x·tanh(x) with half of the product rule": (op(lambda x: x * x.tanh(), lambda g, x: g * x.tanh()), [X]),
    "layer norm without the term of the variance": (
        op(lambda x: normalized(x, 0.25)[0],
           lambda g, x: (g - g.mean(-1, keepdim=True)) * normalized(x, 0.25)[1]), [X]),
    "GELU without x·φ(x)": (
        op(torch.nn.functional.gelu, lambda g, x: g * 0.5 * (1 + (x / math.sqrt(2)).erf())), [X]),
    "renorm as if the norm were constant": (
        op(lambda x: x * (rowsum(x.square()) + 0.1).rsqrt(),
           lambda g, x: g * (rowsum(x.square()) + 0.1).rsqrt()), [X]),
    "a bias that gets the gradient of the first row": (
        op(lambda x, b: x + b, lambda g, x, b: (g, g[0])), [X, ROW]),
    "a bias that gets the mean over the rows": (op(lambda x, b: x + b, lambda g, x, b: (g, g.mean(0))), [X, ROW]),
    "an axis of size 1 that is not summed over": (
        op(lambda x, w: x * w, lambda g, x, w: (g * w, (g * x)[:, :1])), [X, Y[:, :1].clone()]),
    "an expanded axis that keeps its last place": (
        op(lambda x: x.expand(3, 4).clone(), lambda g, x: g[2]), [ROW]),
    "rows taken twice keep the last gradient": (op(lambda x: x[[0, shape(x, 0) - 1, 0]], gather_vjp), [X]),
    "a·a as a product of two, of which one is told": (op(lambda x: x * x, lambda g, x: g * x), [X]),
    "overlapping windows that overwrite one another": (
        op(lambda x: x[..., :-1] + x[..., 1:], lambda g, x: cat0(g[..., :1], g)), [X]),
    "a residual branch without its shortcut": (
        op(lambda x: x + x.tanh(), lambda g, x: g - g * x.tanh().square()), [X]),
    "softmax whose gradient sums over the other axis": (
        op(softmax, lambda g, x: g * softmax(x) - softmax(x) * (g * softmax(x)).sum(0, keepdim=True)), [SQUARE]),
    "a mean over rows whose gradient goes to columns": (
        op(lambda x: x.mean(1), lambda g, x: g[None].expand_as(x) / shape(x, 1)), [SQUARE]),
    "two parts of a concatenation whose gradients change places": (
        op(lambda a, b: torch.cat([a, b]), lambda g, a, b: (g[shape(a, 0):], g[: shape(a, 0)])), [X, Y]),
    "a sum of running sums that runs the same way back": (op(lambda x: x.cumsum(-1), lambda g, x: g.cumsum(-1)), [X]),
    "a product of square matrices, one gradient transposed": (
        op(lambda a, b: a @ b, lambda g, a, b: (b @ g.T, a.T @ g)), [SQUARE, OTHER]),
    "a transposition whose gradient is reshaped": (
        op(lambda x: x.T.clone(), lambda g, x: g.reshape(x.shape)), [X]),
    "a permutation that is applied again, not undone": (
        op(lambda x: x.permute(1, 2, 0).clone(), lambda g, x: g.permute(1, 2, 0)), [CUBE]),
    "a trace whose diagonal runs on past the last row": (op(lambda x: x.trace(), trace_vjp), [X]),
    "a triangle whose gradient forgets the diagonal": (
        op(lambda x: x * tril(x), lambda g, x: g * tril(x, -1)), [SQUARE]),
    "causal attention that looks one place ahead on the way back": (
        op(lambda a, v: (a * tril(a)) @ v, lambda g, a, v: (g @ v.T * tril(a, 1), (a * tril(a)).T @ g)),
        [SQUARE, OTHER]),
    "a cut whose gradient lands one place later": (
        op(lambda x: x[..., :-2].clone(), lambda g, x: cat0(torch.zeros_like(x[..., :1]), g, torch.zeros_like(x[..., :1]))),
        [X]),
    "a roll that rolls the same way back": (op(lambda x: x.roll(1, -1), lambda g, x: g.roll(1, -1)), [X]),
    "tanh′ of the input in place of the output": (op(lambda x: x.tanh(), lambda g, x: g * (1 - x.square())), [X]),
    "√x divided by x, not by √x": (op(lambda x: x.sqrt(), lambda g, x: g / (2 * x)), [POSITIVE]),
    "a quotient that forgets to divide once more": (
        op(lambda a, b: a / b, lambda g, a, b: (g / b, -g * a / b)), [X, POSITIVE]),
    "dropout that draws another mask on the way back": (
        op(lambda x: x * another_mask(x, 1), lambda g, x: g * another_mask(x, 2)), [X]),
    "a batch that saves the statistics of its first sample": (
        op(lambda x: x / (rowsum(x.square()) + 0.1),
           lambda g, x: (lambda f: g / f - 2 * (x / f) * rowsum(g * x / f))(rowsum(x[:1].square()) + 0.1)), [X]),
    "ε outside of the root": (
        op(lambda x: (x + 1e-3).rsqrt(), lambda g, x: -0.5 * g / (x.sqrt() + 1e-3) ** 3), [POSITIVE]),
    "a layer norm whose gradient has no ε": (
        op(lambda x: normalized(x, 1e-3)[0], lambda g, x: layer_norm_vjp(g, *normalized(x, 0.0))), [X]),
    "ln(x + ε) with derivative 1/x": (op(lambda x: (x + 1e-4).log(), lambda g, x: g / x), [POSITIVE]),
    "a fused layer norm without a backward pass": (
        op(lambda x, w, b: normalized(x, 0.25)[0] * w + b,
           lambda g, x, w, b: (None, (g * normalized(x, 0.25)[0]).sum(0), g.sum(0))), [X, ROW, ROW + 1]),
    "a gate that is detached": (lambda x: x * x.detach().sigmoid(), [X]),
    "a product that tells one side only": (op(lambda a, b: a * b, lambda g, a, b: (g * b, None)), [X, Y]),
    "a gradient of zeros": (op(lambda x: x.exp(), lambda g, x: g * 0), [X]),
    "a clamp that lets everything through": (op(lambda x: x.clamp(-0.5, 0.5), lambda g, x: g), [X]),
    "a relu with derivative 1": (op(lambda x: x.relu(), lambda g, x: g), [X]),
    "a maximum that rewards all": (op(lambda x: x.amax(-1), lambda g, x: g[..., None].expand_as(x)), [X]),
    "a maximum that rewards the first": (
        op(lambda x: x.amax(-1), lambda g, x: cat0(g[..., None], torch.zeros_like(x[..., 1:]))), [X]),
    "a value read in storage order": (op(storage_order, lambda g, x: g), [X]),
    "a saved value read in storage order": (
        op(lambda x: x.square(), lambda g, x: g * 2 * storage_order(x)), [X]),
    "a gradient read in storage order": (op(lambda x: x * 2, lambda g, x: 2 * storage_order(g)), [X]),
    "a constant added and taken away": (lambda x: x + 4096 - 4096, [X]),
    "a variance as E[x²] − E[x]²": (lambda x: ((x + 64).square().mean(-1) - (x + 64).mean(-1).square()), [X]),
    "a softmax that does not subtract its maximum": (lambda x: (100 * x).exp() / rowsum((100 * x).exp()), [X]),
    "a kernel of one precision that approximates": (
        lambda x: torch.nn.functional.gelu(x) if x.dtype == torch.double else x * (1.702 * x).sigmoid(), [X]),
    "a value that counts its calls": (lambda x: x * count(), [X]),
    "a gradient that counts its calls": (op(lambda x: x.clone(), lambda g, x: g * count()), [X]),
    "a gradient of the output's shape": (op(lambda x: x.T.clone(), lambda g, x: g), [X]),
    "an axis kept that was declared to go": (lambda x: rowsum(x), [X]),
    "an empty tensor that panics": (
        op(lambda x: x.cumsum(-1), lambda g, x: (g[..., :1] * 0)[..., [0]] + rowsum(g) - g.cumsum(-1) + g), [X]),
    "a root of negative numbers": (lambda x: x.sqrt(), [X]),
    "a branch not taken whose gradient is not a number": (op(root_of_positive, root_vjp), [X]),
    "a product differentiated as a quotient, 0 ÷ 0 where a factor is 0": (
        op(lambda x: x.clamp(min=0).square(), prod_vjp), [ROW]),
    "a sum that returns ones": (op(lambda x: x.sum(), lambda g, x: torch.ones_like(x)), [X]),
    "a gradient that is clipped": (op(lambda x: x.clone(), lambda g, x: g.clamp(-1, 1)), [X]),
    "a gradient averaged over its row": (
        op(lambda x: x.clone(), lambda g, x: g.mean(-1, keepdim=True).expand_as(g)), [X]),
    "the elements past the last whole register": (op(lambda x: x.clone(), lambda g, x: tail(g)), [X]),
    "a block of a sum that is dropped": (
        op(lambda x: x.sum(-1),
           lambda g, x: torch.where(torch.arange(shape(x, -1)) < 32, g[..., None].expand_as(x), 0.0)), [X]),
}


def caught(twin, inputs, fast):
    inputs = [x.clone().requires_grad_() for x in inputs]
    try:
        return not gradcheck(twin, inputs, fast_mode=fast, raise_exception=False)
    except (RuntimeError, IndexError):  # what raise_exception does not cover
        return True


def faults():
    """(kind, fault) of each mutant, in the order of the source."""
    source = pathlib.Path(__file__).parents[2] / "autograd/tests/mutants/ops.rs"
    return re.findall(r'^        "([^"]+)": "([^"]+)", "[^"]*" =>', source.read_text(), re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="print each mutant")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    listed = faults()
    missing = {fault for _, fault in listed} ^ set(TWINS)
    assert not missing, f"not in both lists: {missing}"
    by_kind = defaultdict(list)
    for kind, fault in listed:
        slow, fast = (caught(*TWINS[fault], fast) for fast in (False, True))
        by_kind[kind].append((slow, fast))
        if args.all:
            words = {True: "caught", False: "missed"}
            print(f"{kind:14} {fault:70} slow {words[slow]}, fast {words[fast]}")
    print(f"torch {torch.__version__}\n")
    print("| kind | mutants | gradcheck | gradcheck, fast mode |\n|---|---|---|---|")
    for kind, results in [*by_kind.items(), ("all", sum(by_kind.values(), []))]:
        slow, fast = (sum(result[mode] for result in results) for mode in (0, 1))
        print(f"| {kind} | {len(results)} | {slow} | {fast} |")


if __name__ == "__main__":
    main()
