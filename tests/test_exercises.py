"""exercises: right answers of every style pass, typical wrong ones are told what is wrong, and nothing an answer does stops the lesson."""

import ast
import inspect
import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from course_env import NOTEBOOKS as FOLDER
from torch import Tensor, nn

from edu_seg.backbones import build as build_backbone
from edu_seg.conv_matrix import conv_matrix
from edu_seg.exercises import EXERCISES, check, checking
from edu_seg.exercises.checking import DRAWN, Exercise, Mistake, drawn_cases, review
from edu_seg.exercises.notebooks import NOTEBOOKS
from edu_seg.geometry import PIXELS, Field, Grid, crop_offset, output_size, transposed_output_size
from edu_seg.metrics import ConfusionMatrix
from edu_seg.models.unet import UNet
from edu_seg.receptive_field import receptive_field
from edu_seg.training import FitConfig, lr_factor
from edu_seg.upsampling import bilinear_kernel


@pytest.fixture(autouse=True)
def same_cases_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner meets other random cases at each check; a test meets the same."""
    monkeypatch.setattr(checking, "drawn_cases", partial(drawn_cases, seed=0))


# --- right answers, written otherwise than the reference ------------------------------------------------------------------------


def confusion_by_loop(preds, labels, num_classes):
    counts = [[0] * num_classes for _ in range(num_classes)]
    for pred, label in zip(preds.flatten().tolist(), labels.flatten().tolist(), strict=True):
        if 0 <= label < num_classes:
            counts[label][pred] += 1
    return counts


def confusion_by_bincount(preds, labels, num_classes):
    known = (labels >= 0) & (labels < num_classes)
    return torch.bincount(labels[known] * num_classes + preds[known], minlength=num_classes**2).view(num_classes, num_classes)


def confusion_by_numpy(preds, labels, num_classes):
    counts = np.zeros((num_classes, num_classes))
    known = np.isin(labels.numpy(), np.arange(num_classes))
    np.add.at(counts, (labels.numpy()[known], preds.numpy()[known]), 1)
    return counts


def mean_iou_by_loop(counts, left_out=()):
    total, classes = 0.0, 0
    for k in set(range(len(counts))) - set(left_out):
        union = counts[k, :].sum() + counts[:, k].sum() - counts[k, k]
        if union > 0:
            total, classes = total + counts[k, k].item() / union.item(), classes + 1
    return total / classes


def mean_iou_by_numpy(counts, left_out):
    n = np.asarray(counts, dtype=np.float64)
    union = n.sum(0) + n.sum(1) - np.diag(n)
    kept = (union > 0) & ~np.isin(np.arange(len(n)), left_out)
    return (np.diag(n)[kept] / union[kept]).mean()


def set_iou_by_concatenation(pairs, num_classes):
    preds, labels = (torch.cat([pair[i].flatten() for pair in pairs]) for i in (0, 1))
    return mean_iou_by_loop(confusion_by_bincount(preds, labels, num_classes))


def set_iou_by_the_package(pairs, num_classes):
    matrix = ConfusionMatrix(num_classes)
    for preds, labels in pairs:
        matrix.update(preds, labels)
    return matrix.mean_iou


def layer_by_search(size, stride, wanted_size, wanted_stride):
    """Every layer there is, those of small dilation first."""
    for d in range(1, 200):
        for k in (7, 5, 3):
            if Field(size, stride).then(k, wanted_stride // stride, dilation=d) == Field(wanted_size, wanted_stride):
                return torch.tensor([k, wanted_stride // stride, d])
    raise ValueError("there is no such layer")


def field_from_the_end(layers):
    """The same backwards: from one unit to the first and last unit that it reads of each earlier map."""
    first, last = 0, 0
    for k, s, p, d in reversed(layers):
        first, last = first * s - p, last * s - p + d * (k - 1)
    return last - first + 1, math.prod(s for _, s, _, _ in layers), -first


def field_by_tracing(layers):
    net = nn.Sequential(*(nn.Conv2d(3, 3, k, s, p, d) for k, s, p, d in layers))
    field = receptive_field(net, (200, 200))
    return [field.size[0], field.stride[0], field.padding[0]]


def dilations_by_search(layers):
    """Step by step the largest dilation that leaves no hole."""
    found, reached = [], {0}
    for _ in range(layers):
        for d in range(1, 300):
            wider = {place + step for place in reached for step in (-d, 0, d)}
            if len(wider) == max(wider) - min(wider) + 1:
                best, widest = d, wider
        found, reached = [*found, best], widest
    return found


def offset_by_grid(pad):
    centre = 1 - pad + sum(2**i / 2 for i in range(5)) + 3 * 32  # conv1_1, five pools, fc6; each other 3 × 3 keeps its place
    return crop_offset(Grid(PIXELS.stride * 32, Fraction(centre)).transposed(64, 32), PIXELS)


def sum_by_loop(upsampled, finer, offset):
    rows = [i for i in range(upsampled.shape[2]) if 0 <= i + offset < finer.shape[2]]
    columns = [j for j in range(upsampled.shape[3]) if 0 <= j + offset < finer.shape[3]]
    made = torch.zeros(*upsampled.shape[:2], len(rows), len(columns))
    for (a, i), (b, j) in product(enumerate(rows), enumerate(columns)):
        made[:, :, a, b] = upsampled[:, :, i, j] + finer[:, :, i + offset, j + offset]
    return made


def sum_by_narrow(upsampled, finer, offset):
    for dim in (2, 3):
        if offset > 0:
            finer = finer.narrow(dim, offset, finer.shape[dim] - offset)
        else:
            upsampled = upsampled.narrow(dim, -offset, upsampled.shape[dim] + offset)
        length = min(finer.shape[dim], upsampled.shape[dim])
        finer, upsampled = finer.narrow(dim, 0, length), upsampled.narrow(dim, 0, length)
    return (finer + upsampled).double().numpy()


def kernel_by_loop(size):
    factor, centre = (size + 1) // 2, (size - 1) / 2
    return [[(1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor) for j in range(size)] for i in range(size)]


def kernel_by_convolution(size):
    """A tent is a box convolved with a box, if the size is odd; at even sizes its samples lie between."""
    factor = (size + 1) // 2
    tent = np.interp(np.arange(size) - (size - 1) / 2, [-factor, 0, factor], [0, 1, 0])
    return torch.from_numpy(np.outer(tent, tent)).float()


def rarefied_by_loop(kernel, down, across):
    height, width = ((size - 1) * s + 1 for size, s in zip(kernel.shape, (down, across), strict=True))
    return [[float(kernel[i // down, j // across]) if i % down == 0 == j % across else 0.0 for j in range(width)] for i in range(height)]


def rarefied_by_transposed_convolution(kernel, down, across):
    return F.conv_transpose2d(kernel[None, None], torch.ones(1, 1, 1, 1), stride=(down, across))[0, 0]


def stitched_by_loop(passes, f):
    out = np.zeros((f * passes.shape[1], f * passes.shape[2]))
    for number, part in enumerate(passes.numpy()):
        out[number // f :: f, number % f :: f] = part
    return out


def stitched_by_permuting(passes, f):
    _, height, width = passes.shape
    return passes.reshape(f, f, height, width).permute(2, 0, 3, 1).reshape(f * height, f * width)


def rates_by_loop(layers):
    rates, rate = [], 1
    for _, s in layers:
        rates.append(rate)
        rate *= s
    return rates


def saving_by_units(costs, strides):
    f = strides[-1]
    return sum(f * f * cost for cost in costs) / sum(cost * (f / (f / stride)) ** 2 for cost, stride in zip(costs, strides, strict=True))


def kernel_by_counting(weight, channels, height, width):
    kernel = np.zeros((len(weight), channels, height, width))
    for o, c, y, x in np.ndindex(kernel.shape):
        kernel[o, c, y, x] = weight[o, (c * height + y) * width + x]
    return kernel


def kernel_from_outputs(weight, channels, height, width):
    """What the layer says of a map with a single 1 is the weight at that place."""
    ones = torch.eye(channels * height * width).view(-1, channels, height, width)
    return (ones.flatten(1) @ weight.T).T.unflatten(1, (channels, height, width))


def crops_by_unfold(image, labels, size, stride):
    crops = F.unfold(image[None], size, stride=stride)[0].T.view(-1, len(image), size, size)
    middles = F.unfold(labels[None, None].float(), size, stride=stride)[0, size // 2 * size + size // 2]
    return crops[middles < 255]


def crops_by_windows(image, labels, size, stride):
    windows = image.unfold(1, size, stride).unfold(2, size, stride)
    middles = labels.unfold(0, size, stride).unfold(1, size, stride)[:, :, size // 2, size // 2]
    return windows.flatten(1, 2).transpose(0, 1)[middles.flatten() != 255]


def saving_by_pixels(n, conv, fc, crop, stride):
    per_pixel, pixels = conv / crop**2, (crop + stride * (n - 1)) ** 2
    return n * n * (per_pixel * crop**2 + fc) / (per_pixel * pixels + n * n * fc)


def inner_units_by_pixels(units, pixels, size, stride, padding):
    image = set(range(pixels))
    return [i for i in range(units) if {i * stride - padding + tap for tap in range(size)} <= image]


def output_padding_by_search(size, kernel_size, stride, padding, dilation):
    """The one that leads back, of all there are."""
    made = output_size(size, kernel_size, stride, padding, dilation)
    return next(a for a in range(stride) if transposed_output_size(made, kernel_size, stride, padding, dilation, a) == size)


def transposed_by_loop(y, w, stride):
    made = [0.0] * ((len(y) - 1) * stride + len(w))
    for (i, value), (tap, weight) in product(enumerate(y.tolist()), enumerate(w.tolist())):
        made[i * stride + tap] += value * weight
    return made


def transposed_by_matrix(y, w, stride):
    return conv_matrix(w[None, None], ((len(y) - 1) * stride + len(w),), stride).T @ y


def transposed_by_gradient(y, w, stride):
    x = torch.zeros(1, 1, (len(y) - 1) * stride + len(w), requires_grad=True)
    return torch.autograd.grad(F.conv1d(x, w[None, None], stride=stride), x, y[None, None])[0].flatten()


def upsampled_by_division(scores, factor):
    size = 2 * factor - factor % 2
    kernel = bilinear_kernel(size, scores.dtype)[None, None]
    made, weight = (
        F.conv_transpose2d(part, kernel, stride=factor, padding=(size - factor) // 2) for part in (scores, torch.ones_like(scores))
    )
    return made / weight


def composite_by_gradient(kernels, strides):
    """The composite kernel is what one output owes to each input."""
    size = 1
    for kernel, stride in reversed(list(zip(kernels, strides, strict=True))):
        size = (size - 1) * stride + len(kernel)
    made = x = torch.zeros(1, 1, size, requires_grad=True)
    for kernel, stride in zip(kernels, strides, strict=True):
        made = F.conv1d(made, kernel[None, None], stride=stride)
    return torch.autograd.grad(made.sum(), x)[0].flatten()


def composite_from_above(kernels, strides):
    """The upper layers' kernel is spread by the stride of the layer below them, and no other."""
    made = np.ones(1)
    for kernel, stride in reversed(list(zip(kernels, strides, strict=True))):
        spread = np.zeros((len(made) - 1) * stride + 1)
        spread[::stride] = made
        made = np.convolve(spread, kernel)
    return made


def unpooled_by_loop(values, switches, height, width):
    made = [[0.0] * width for _ in range(height)]
    for i, j in np.ndindex(*values.shape):
        made[2 * i + int(switches[i, j]) // 2][2 * j + int(switches[i, j]) % 2] = float(values[i, j])
    return made


def unpooled_to_even(values, switches, height, width):
    """The code that the exercise gives to be mended."""
    i, j = torch.meshgrid(*map(torch.arange, values.shape), indexing="ij")
    rows, columns = 2 * i + switches // 2, 2 * j + switches % 2
    made = torch.zeros(height * width)
    made[rows * 2 * values.shape[1] + columns] = values
    return made.view(height, width)


def unpooled_by_torch(values, switches, height, width):
    rows = 2 * torch.arange(len(values))[:, None] + switches // 2
    places = rows * width + 2 * torch.arange(values.shape[1]) + switches % 2
    return F.max_unpool2d(values[None, None], places[None, None], [2, 2], output_size=(height, width))[0, 0].numpy()


def unpooled_as_columns(values, switches, height, width):
    return unpooled_by_loop(values, switches % 2 * 2 + switches // 2, height, width)


def unet_output_by_rule(size, levels):
    """Five levels take 188 + 16 m and lose 184; in general the bottom is 5 or more, and each step on the way is worked backwards."""
    smallest, stride = 1, 2 ** (levels - 1)
    for _ in range(levels - 1):
        smallest = math.ceil((smallest + 4) / 2)
    for _ in range(levels - 1):
        smallest = 2 * (smallest + 4)
    lost = 4 + 12 * (stride - 1)
    return size - lost if size >= smallest + 4 and (size - smallest - 4) % stride == 0 else 0


def unet_output_by_net(size, levels):
    net = UNet(1, 1, (1,) * levels, padding="valid")
    try:
        return net(torch.zeros(1, 1, size, size)).shape[2]
    except ValueError:
        return 0


def border_term_by_loop(distances, w0, sigma):
    return [w0 * math.exp(-(sum(sorted([*column, math.inf])[:2]) ** 2) / (2 * sigma**2)) for column in distances.T.tolist()]


def border_term_by_topk(distances, w0, sigma):
    distances = F.pad(distances, (0, 0, 0, 1), value=math.inf)
    return (w0 * torch.exp(-torch.topk(distances, 2, 0, largest=False).values.sum(0).square() / 2 / sigma / sigma)).numpy()


def maximum_by_loop(scores, corners, height, width):
    boxes, classes, h, w = scores.shape
    total = np.zeros((classes, height, width))
    for box, k, i, j in np.ndindex(boxes, classes, h, w):
        row, column = int(corners[box, 0]) + i, int(corners[box, 1]) + j
        total[k, row, column] = max(total[k, row, column], float(scores[box, k, i, j]))
    return total


def maximum_by_padding(scores, corners, height, width):
    h, w = scores.shape[2:]
    sides = [(left, width - w - left, top, height - h - top) for top, left in corners.tolist()]
    return torch.stack([F.pad(one, side) for one, side in zip(scores, sides, strict=True)]).amax(0).clamp(min=0)


def dilated_by_pairs(signal, kernel, d):
    """Equation (4) word for word: all pairs of a place s and a tap t with s + d t = p."""
    middle = len(kernel) // 2
    places = range(d * middle, len(signal) - d * middle)
    pairs = list(product(range(len(signal)), range(-middle, middle + 1)))
    return [sum(float(signal[s] * kernel[t + middle]) for s, t in pairs if s + d * t == p) for p in places]


def dilated_by_numpy(signal, kernel, d):
    """numpy's convolution is a true one."""
    spread = np.zeros(d * (len(kernel) - 1) + 1)
    spread[::d] = kernel.numpy()
    return np.convolve(signal.numpy(), spread, "valid")


def identity_by_loop(before, after):
    weight = torch.zeros(sum(after), sum(before))
    for k in range(len(after)):
        weight[sum(after[:k]) : sum(after[: k + 1]), sum(before[:k]) : sum(before[: k + 1])] = 1 / after[k]
    return weight


def identity_by_blocks(before, after):
    return torch.block_diag(*(torch.full((b, a), 1 / b) for a, b in zip(before, after, strict=True)))


def identity_of_equal_shares(before, after):
    """Section 5's formula."""
    C, c_in, c_out = len(before), sum(before), sum(after)
    return [[C / c_out if a * C // c_in == b * C // c_out else 0.0 for a in range(c_in)] for b in range(c_out)]


def places_read(dilations):
    return {sum(steps) for steps in product(*((-d, 0, d) for d in dilations))}


def shared_by_numpy(dilations):
    read = np.ones(1)
    for d in dilations:
        read = np.convolve(read, np.eye(1, 2 * d + 1, 0)[0] + np.eye(1, 2 * d + 1, d)[0] + np.eye(1, 2 * d + 1, 2 * d)[0])
    return np.count_nonzero(read[1:] * read[:-1])


def filled_without_holes(dilations):
    """The condition of notebook 01."""
    width = 1
    for d in sorted(dilations):
        if d > width:
            return False
        width += 2 * d
    return True


def cure_by(no_holes, dilations):
    for length in range(9):
        lists = [added for added in product(range(max(dilations), 0, -1), repeat=length) if no_holes([*dilations, *added])]
        if lists:
            return sorted(min(lists, key=sum), reverse=True)
    return None


def cure_by_places(dilations):
    return cure_by(lambda stack: len(places_read(stack)) == 2 * sum(stack) + 1, dilations)


def identity_in_turn(before, after):
    C, c_in, c_out = len(before), sum(before), sum(after)
    return [[C / c_out * (a % C == b % C) for a in range(c_in)] for b in range(c_out)]


def energy_by_pairs(labels, unary, kernel):
    total = 0.0
    for i in range(len(labels)):
        total += float(unary[i, labels[i]])
        for j in range(i):
            total += float(kernel[i, j]) * (labels[i] != labels[j])
    return total


def energy_by_matrix(labels, unary, kernel):
    given = F.one_hot(labels, unary.shape[1]).double()
    return (given * unary).sum() + (kernel.sum() - (given.T @ kernel.double() @ given).trace()) / 2


def update_by_loop(probs, unary, kernel):
    rows = []
    for i in range(len(probs)):
        costs = [
            float(unary[i, k]) + sum(float(kernel[i, j] * (1 - probs[j, k])) for j in range(len(probs)) if j != i)
            for k in range(probs.shape[1])
        ]
        total = sum(math.exp(-cost) for cost in costs)
        rows.append([math.exp(-cost) / total for cost in costs])
    return rows


def update_by_subtraction(probs, unary, kernel):
    return (kernel @ probs - kernel.diagonal()[:, None] * probs - unary).softmax(1).numpy()


def bilateral_of_features(first, second, theta_alpha, theta_beta):
    scale = torch.tensor([theta_alpha] * 2 + [theta_beta] * 3)
    return torch.exp(-0.5 * torch.dist(first / scale, second / scale) ** 2)


def bilateral_as_product(first, second, theta_alpha, theta_beta):
    gaussians = [
        math.exp(-0.5 * float(a - b) ** 2 / theta**2)
        for a, b, theta in zip(first, second, [theta_alpha] * 2 + [theta_beta] * 3, strict=True)
    ]
    return math.prod(gaussians)


def vote_by_counter(preds, cells):
    rows = []
    for i in range(preds.shape[0]):
        row = []
        for j in range(preds.shape[1]):
            inside = sorted(preds[(cells == cells[i, j]) & (preds < 255)].tolist())
            row.append(max(inside, key=inside.count, default=255))
        rows.append(row)
    return rows


def vote_by_table(preds, cells):
    table = torch.zeros(int(cells.max()) + 1, 256)
    table.index_put_((cells.flatten(), preds.flatten()), torch.ones(preds.numel()), accumulate=True)
    table[:, 255] = 0.5  # less than one vote, more than none
    return table.argmax(1)[cells]


def poly_by_torch(step, total, start, end, power):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], start - end)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total, power)
    for _ in range(step):
        optimizer.step()
        schedule.step()
    return schedule.get_last_lr()[0] + end


def valid_by_convolution(N, r, k):
    ones = torch.ones(1, 1, N, N, dtype=torch.float64)
    return F.conv2d(ones, torch.ones(1, 1, k, k).double(), padding=k // 2 * r, dilation=r).mean() / k**2


def valid_by_counting(N, r, k):
    along = [sum(0 <= place + r * tap < N for tap in range(-(k // 2), k // 2 + 1)) / k for place in range(N)]
    return (sum(along) / N) ** 2


def aspp_by_sum(x, filters, rates):
    scores = [F.conv2d(x, weight, padding=rate, dilation=rate) for weight, rate in zip(filters, rates, strict=True)]
    return torch.stack(scores).sum(0)


def aspp_by_shifts(x, filters, rates):
    """Each tap reads the padded map moved by its own step."""
    scores = torch.zeros(len(x), len(filters[0]), *x.shape[2:])
    for weight, rate in zip(filters, rates, strict=True):
        padded = F.pad(x, [rate] * 4)
        for i, j in product(range(3), repeat=2):
            moved = padded[:, :, i * rate : i * rate + x.shape[2], j * rate : j * rate + x.shape[3]]
            scores += torch.einsum("nchw,kc->nkhw", moved, weight[:, :, i, j])
    return scores


def starts_by_loop(size, window, step):
    starts = [0]
    while starts[-1] + window < size:
        starts.append(min(starts[-1] + step, size - window))
    return starts


def multiply_adds_by_loop(height, width, c_in, c_out, kernel, stride):
    units = len(range(0, height, stride)) * len(range(0, width, stride))
    return units * c_out * (kernel * kernel * c_in)


def multiply_adds_by_torch(height, width, c_in, c_out, kernel, stride):
    with torch.device("meta"):
        layer = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        return layer(torch.empty(1, c_in, height, width)).numel() * layer.weight[0].numel()


def rates_by_trunk(output_stride, convention):
    with torch.device("meta"):
        trunk = build_backbone("resnet18", output_stride=output_stride, convention=convention)
    stages = [trunk.get_submodule(f"layer{number}") for number in range(1, 5)]
    convs = [[stage.get_submodule(f"{block}.conv1") for block in (0, 1)] for stage in stages]
    return [[conv.dilation[0] for conv in row if isinstance(conv, torch.nn.Conv2d)] for row in convs]


def rates_by_stages(output_stride, convention):
    rates, stride, rate = [], 4, 1
    for step in (1, 2, 2, 2):
        old = rate
        stride, rate = (stride * step, rate) if stride * step <= output_stride else (stride, rate * step)
        rates.append([{"exact": old, "stage": rate}[convention], rate])
    return rates


def channels_by_layers(start, k, counts, theta):
    found, channels = [], start
    for number, count in enumerate(counts):
        if number:
            channels = math.floor(channels * theta)
        for _ in range(count):
            channels += k
        found.append(channels)
    return found


def channels_by_recursion(start, k, counts, theta):
    if not counts:
        return []
    behind = start + k * counts[0]
    return [behind, *channels_by_recursion(int(behind * theta), k, counts[1:], theta)]


def paths_by_counting(n, deleted):
    lengths = [math.comb(n - deleted, m) for m in range(n - deleted + 1)]
    return [sum(lengths) / 2**n, sum(m * number for m, number in enumerate(lengths)) / sum(lengths)]


def loss_by_pixels(totals, counts):
    """Every pixel its piece's mean, then the mean over pixels."""
    return np.repeat(np.array(totals) / np.array(counts), counts).mean()


def loss_by_weights(totals, counts):
    return sum(Fraction(count, sum(counts)) * Fraction(total) / count for total, count in zip(totals, counts, strict=True)).__float__()


def factor_by_config(step, steps, power, warmup):
    return lr_factor(FitConfig(power=power, warmup=warmup), step, steps)


def factor_by_cases(step, steps, power, warmup):
    value = ((steps - step) / steps) ** power
    return value * (step + 1) / warmup if step + 1 < warmup else value


def statistics_by_moments(counts, means, variances):
    n, m, v = (np.array(part, dtype=float) for part in (counts, means, variances))
    mean = (n * m).sum() / n.sum()
    return [mean, (n * (v + m**2)).sum() / n.sum() - mean**2]


def statistics_two_by_two(counts, means, variances):
    """Process after process is joined to those before."""
    count, mean, variance = counts[0], means[0], variances[0]
    for n, m, v in zip(counts[1:], means[1:], variances[1:], strict=True):
        whole, apart = count + n, m - mean
        variance = (count * variance + n * v) / whole + count * n / whole**2 * apart**2
        count, mean = whole, mean + n / whole * apart
    return torch.tensor([mean, variance])


def pieces_by_trying(batch, gpus, memory, fixed, each):
    share = math.ceil(batch / gpus)
    for pieces in range(1, share + 1):
        if fixed + math.ceil(share / pieces) * each <= memory:
            return pieces
    return 0


def pieces_by_counting(batch, gpus, memory, fixed, each):
    at_once = sum(fixed + k * each <= memory for k in range(1, memory + 1))
    return len(range(0, math.ceil(batch / gpus), at_once)) if at_once else 0


RIGHT: dict[str, list[Any]] = {
    "00.1": [0.18, 0.9 / 5, Fraction(9, 50), np.float64(0.18), torch.tensor(0.18), lambda: (0.9 + 0 + 0 + 0 + 0) / 5],
    "00.2": [confusion_by_loop, confusion_by_bincount, confusion_by_numpy],
    "00.3": [mean_iou_by_loop, mean_iou_by_numpy],
    "00.4": [set_iou_by_concatenation, set_iou_by_the_package],
    "01.1": [[[23, 4], [14, 2], [23, 8]], np.array([(23, 4), (14, 2), (23, 8)]), torch.tensor([[23, 4], [14, 2], [23, 8]])],
    "01.2": [
        layer_by_search,
        lambda a, s, b, t: next((k, t // s, (b - a) // s // (k - 1)) for k in (7, 5, 3) if (b - a) // s % (k - 1) == 0),
    ],
    "01.3": [field_from_the_end, field_by_tracing],
    "01.4": [lambda layers: 3.0 ** np.arange(layers), dilations_by_search],
    "01.5": [[843, 843, 971, 1027], np.array([715 + 4 * 32] * 2 + [427 + 17 * 2 * 16 + more for more in (0, 2 * (4 + 8 + 16))])],
    "03.1": [[64, 16, 57, 44], (8**2, (8 // 2) ** 2, 100 - 44 + 1, 44), torch.tensor([64, 16, 8 + 7 * 7, 44])],
    "03.2": [rarefied_by_loop, rarefied_by_transposed_convolution],
    "03.3": [stitched_by_loop, stitched_by_permuting],
    "03.4": [rates_by_loop, lambda layers: np.cumprod([1, *(s for _, s in layers)])[:-1]],
    "03.5": [saving_by_units, lambda costs, strides: max(strides) ** 2 * np.sum(costs) / np.dot(costs, np.square(strides))],
    "02.1": [
        [[1, 1], [3, 3], [5, 9], [14, 9]],
        np.array([(h // 32 - 6, w // 32 - 6) for h, w in ((224, 224), (288, 288), (375, 500), (640, 480))]),
    ],
    "02.2": [kernel_by_counting, kernel_from_outputs, lambda weight, c, h, w: weight.numpy().reshape(-1, c, h, w)],
    "02.3": [crops_by_unfold, crops_by_windows],
    "02.4": [saving_by_pixels, lambda n, conv, fc, crop, stride: (conv + fc) / (conv * ((crop + (n - 1) * stride) / crop / n) ** 2 + fc)],
    "02.5": [
        inner_units_by_pixels,
        lambda units, pixels, size, stride, padding: np.arange(-(-padding // stride), min(units, (pixels - size + padding) // stride + 1)),
    ],
    "04.1": [[13, 14, 14, 224], np.array([13.0, 14, 14, 224]), lambda: torch.tensor([2 * 7 - 1, 2 * 7, 2 * 7, 32 * 7])],
    "04.2": [output_padding_by_search, lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) % s],
    "04.3": [transposed_by_loop, transposed_by_matrix, transposed_by_gradient],
    "04.4": [upsampled_by_division, lambda scores, f: F.interpolate(scores, scale_factor=f, mode="bilinear", align_corners=False)],
    "04.5": [composite_by_gradient, composite_from_above],
    "05.1": [lambda pad: pad - 81, offset_by_grid],
    "05.2": [sum_by_loop, sum_by_narrow],
    "05.3": [kernel_by_loop, kernel_by_convolution],
    "05.4": [lambda loss, kept: (loss * kept).sum() / kept.sum(), lambda loss, kept: np.mean(loss.numpy()[kept.numpy()])],
    "05.5": [[28, 5, 58, 8, 41], np.array([12 * 2 + 4, 38 - 5 - 28, 27 * 2 + 4, 75 - 9 - 58, 57 * 8 + 16 - 31 - 400]), (28, 5, 58, 8, 41)],
    "06.1": [
        [516, 1 / 64, 5529600, 7],
        np.array([700 - 184, 0.25**3, 2 * 64 * 180 * 240, 2**3 - 1]),
        lambda: torch.tensor([516, 0.015625, 5529600, 7]),
    ],
    "06.2": [unpooled_by_loop, unpooled_by_torch],
    "06.3": [unet_output_by_rule, unet_output_by_net],
    "06.4": [border_term_by_loop, border_term_by_topk],
    "06.5": [maximum_by_loop, maximum_by_padding],
    "07.1": [[33, 4500, 25, 81, 380], np.array([1 + 2 * 16, 5 * 9 * 100, 5 * 5, 9 * 9, 404 - 8 - 16]), (33, 4500, 25, 81, 380)],
    "07.2": [dilated_by_pairs, dilated_by_numpy],
    "07.3": [identity_by_loop, identity_by_blocks],
    "07.4": [lambda dilations: len(places_read(dilations) & {place + 1 for place in places_read(dilations)}), shared_by_numpy],
    "07.5": [cure_by_places, lambda dilations: cure_by(filled_without_holes, dilations)],
    "08.1": [[3**12, 12 * 11 // 2, 5 + 1, 3 * 11**2], np.array([531441.0, 66, 6, 363]), (531441, 66, 6, 363)],
    "08.2": [energy_by_pairs, energy_by_matrix],
    "08.3": [update_by_loop, update_by_subtraction],
    "08.4": [bilateral_of_features, bilateral_as_product],
    "08.5": [vote_by_counter, vote_by_table],
    "09.1": [[25, 900, 4, 33, 9], np.array([3 + 2 * 11, 9 * 10 * 10, 2 * 2, 33, (10 - 2) // 1 + 1]), (25, 900, 4, 33, 9)],
    "09.2": [poly_by_torch, lambda step, total, start, end, power: end + (start - end) * ((total - step) / total) ** power],
    "09.3": [valid_by_convolution, valid_by_counting],
    "09.4": [aspp_by_sum, aspp_by_shifts],
    "09.5": [starts_by_loop, lambda size, window, step: sorted({min(i, max(size - window, 0)) for i in range(0, size, step)})],
    "10.1": [[36864, 69632, 21, 256, 6], np.array([64**2 * 9, 2 * 256 * 64 + 64**2 * 9, 21, 64 + 6 * 32, math.comb(4, 2)])],
    "10.2": [multiply_adds_by_loop, multiply_adds_by_torch],
    "10.3": [rates_by_trunk, rates_by_stages],
    "10.4": [channels_by_layers, channels_by_recursion],
    "10.5": [paths_by_counting, lambda n, deleted: np.array([2.0**-deleted, 0.5 * (n - deleted)])],
    "11.1": [
        [45.4, 13.3, 280, 0.48, 0.0625],
        np.array([30_000 * 16 / 10_582, 30_000 * 16 / 36_000, 4 * 40 * 2 * 7 / 8, (1 - 60 / 195) ** 2, 0.25**2]).round(4),
    ],
    "11.2": [loss_by_pixels, loss_by_weights],
    "11.3": [factor_by_config, factor_by_cases],
    "11.4": [statistics_by_moments, statistics_two_by_two],
    "11.5": [pieces_by_trying, pieces_by_counting],
}


@pytest.mark.parametrize(("exercise_id", "answer"), [(key, answer) for key, answers in RIGHT.items() for answer in answers])
def test_right_answers_pass(exercise_id: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise_id, answer)
    assert capsys.readouterr().out == f"{exercise_id} · right\n"


def test_every_exercise_has_two_right_answers_here() -> None:
    assert RIGHT.keys() == EXERCISES.keys() == WRONG.keys()
    assert min(len(answers) for answers in RIGHT.values()) >= 2
    assert min(len(answers) for answers in WRONG.values()) >= 3


def test_every_notebook_has_four_exercises() -> None:
    for notebook in NOTEBOOKS:
        assert sum(key.startswith(f"{notebook}.") for key in EXERCISES) >= 4
    assert all(key == exercise.id for key, exercise in EXERCISES.items())


# --- typical wrong answers, and words of the sentence that is due ---------------------------------------------------------------


def confusion_with_void(preds, labels, num_classes):
    return confusion_by_bincount(preds, labels.where(labels < 255, 0), num_classes)


def confusion_from_the_end(preds, labels, num_classes):
    """-1 as an index is the last class."""
    counts = torch.zeros(num_classes, num_classes)
    for pred, label in zip(preds.flatten(), labels.flatten(), strict=True):
        if label != 255:
            counts[label, pred] += 1
    return counts


def iou_of_each(counts, left_out=()):
    iou = counts.diag() / (counts.sum(0) + counts.sum(1) - counts.diag())
    return iou[[k for k in range(len(iou)) if k not in left_out]]


def mean_iou_of_the_rest(counts, left_out):
    kept = [k for k in range(len(counts)) if k not in left_out]
    return mean_iou_by_loop(counts[kept][:, kept])


def mean_of_images(pairs, num_classes):
    return sum(set_iou_by_the_package([pair], num_classes) for pair in pairs) / len(pairs)


def mean_accuracy_of_images(pairs, num_classes):
    return np.mean([(preds == labels)[labels < 255].float().mean().item() for preds, labels in pairs])


def pixel_accuracy_of_the_set(pairs, num_classes):
    counts = torch.stack([confusion_by_bincount(preds, labels, num_classes) for preds, labels in pairs]).sum(0)
    return counts.diag().sum() / counts.sum()


def calculator_of_01_3(layers):
    """The code that the exercise gives to be mended."""
    size, stride, padding = 1, 1, 0
    for k, s, p, d in layers:
        stride *= s
        size += d * (k - 1) * stride
        padding += p
    return size, stride, padding


def half_mended_01_3(layers):
    """The line of the size moved up, the padding's stride still the one after the layer."""
    size, stride, padding = 1, 1, 0
    for k, s, p, d in layers:
        size += d * (k - 1) * stride
        stride *= s
        padding += p * stride
    return size, stride, padding


def field_with(rule):
    """A field by a wrong rule: (size, stride before the layer, k, s, d) -> the new size."""

    def answer(layers):
        size, stride, padding = 1, 1, 0
        for k, s, p, d in layers:
            size, stride, padding = rule(size, stride, k, s, d), stride * s, padding + p * stride
        return [size, stride, padding]

    return answer


def sum_of_corners(upsampled, finer, offset):
    height, width = (min(a, b) for a, b in zip(upsampled.shape[2:], finer.shape[2:], strict=True))
    return upsampled[..., :height, :width] + finer[..., :height, :width]


def sum_of_middles(upsampled, finer, offset):
    return sum_by_narrow(upsampled, finer, (finer.shape[2] - upsampled.shape[2]) // 2)


def sum_after_resizing(upsampled, finer, offset):
    return upsampled + F.interpolate(finer, size=upsampled.shape[2:], mode="bilinear")


def kernel_off_centre(size):
    """The filler of Caffe: the centre follows from the factor as if every size were 2 · factor - factor % 2."""
    f = -(-size // 2)
    c = (2 * f - 1 - f % 2) / (2 * f)
    tent = np.array([1 - abs(i / f - c) for i in range(size)])
    return np.outer(tent, tent)


def kernel_down_to_zero(size):
    tent = 1 - np.abs(np.linspace(-1, 1, size)) if size > 1 else np.ones(1)
    return np.outer(tent, tent)


def side_by_side(passes, f):
    return torch.cat([torch.cat(list(passes[row * f : (row + 1) * f]), 1) for row in range(f)])


def own_strides_too(layers):
    return np.cumprod([s for _, s in layers])


def pools_left_alone(layers):
    return [1 if k == 2 else rate for (k, _), rate in zip(layers, rates_by_loop(layers), strict=True)]


def kernel_of_channels_last(weight, channels, height, width):
    return np.moveaxis(weight.numpy().reshape(-1, height, width, channels), 3, 1)


def crops_below_before_beside(image, labels, size, stride):
    return crops_by_windows(image.transpose(1, 2), labels.T, size, stride).transpose(2, 3)


def kernels_laid_over_each_other(y, w, stride):
    made = torch.zeros((len(y) - 1) * stride + len(w))
    for i, value in enumerate(y):
        made[i * stride : i * stride + len(w)] = value * w
    return made


def upsampling_of_04_4(scores, factor):
    """The code that the exercise gives to be mended."""
    kernel = bilinear_kernel(2 * factor, scores.dtype)[None, None]
    return F.conv_transpose2d(scores, kernel, stride=factor, padding=factor // 2)


def upsampling_of_04_4_with_a_border(scores, factor):
    return upsampling_of_04_4(F.pad(scores, (1, 1, 1, 1), mode="replicate"), factor)[..., factor:-factor, factor:-factor]


def composite_with_one_stride(kernels, strides):
    """Right for two layers: each is spread by the stride of the one below, and by nothing else."""
    made = kernels[0]
    for kernel, stride in zip(kernels[1:], strides[:-1], strict=True):
        made = torch.tensor(transposed_by_loop(kernel, made, stride))
    return made


def composite_of_swapped(kernels, strides):
    made = kernels[0]
    for position, kernel in enumerate(kernels[1:], start=1):
        made = torch.tensor(transposed_by_loop(made, kernel, math.prod(strides[:position])))
    return made


def same_pairs(labels, kernel):
    return sum(float(kernel[i, j]) for i in range(len(labels)) for j in range(i) if labels[i] == labels[j])


def update_exponent(probs, unary, kernel):
    return (kernel @ probs - kernel.diagonal()[:, None] * probs - unary).numpy()


def voted_by(preds, cells, rule):
    """By a rule for the labels of each cell, all 255 left out."""
    labels = {cell: preds[(cells == cell) & (preds < 255)].tolist() for cell in set(cells.flatten().tolist())}
    return [[rule(labels[cell]) if labels[cell] else 255 for cell in row] for row in cells.tolist()]


def vote_of_all(preds, cells):
    rows = [[preds[cells == cell].bincount().argmax() for cell in row] for row in cells.tolist()]
    return np.array(rows)


def vote_without_void_cells(preds, cells):
    table = F.one_hot(preds, 256).flatten(0, 1).new_zeros(int(cells.max()) + 1, 256)
    table.index_put_((cells.flatten(), preds.flatten()), torch.ones_like(preds).flatten(), accumulate=True)
    return table[:, :255].argmax(1)[cells]


def taps_counted_from_one(x, filters, rates):
    """The sum over k = 1 … K of x[i + rk]."""
    N, _, height, width = x.shape
    made = torch.zeros(N, len(filters[0]), height, width)
    for (weight, r), row, column in product(zip(filters, rates, strict=True), range(3), range(3)):
        moved = F.pad(x, (0, 3 * r, 0, 3 * r))[..., r * (row + 1) :, r * (column + 1) :][..., :height, :width]
        made += torch.einsum("kc,nchw->nkhw", weight[:, :, row, column], moved)
    return made


WRONG: dict[str, list[tuple[Any, str]]] = {
    "00.1": [
        (0.9, "pixel accuracy"),
        (0.2, "mean accuracy"),
        (0.81, "frequency weighted"),
        (0.225, "divide by 5"),
        (18, "not per cent"),
        (0.5, "Write down the confusion matrix"),
    ],
    "00.2": [
        (lambda preds, labels, k: confusion_by_bincount(preds, labels, k).T, "transposed"),
        (confusion_with_void, "void: drop them"),
        (confusion_from_the_end, "the last class"),
        (lambda preds, labels, k: confusion_by_bincount(preds, labels, k) / (labels < 255).sum(), "do not divide"),
        (lambda preds, labels, k: confusion_by_bincount(preds, labels, k)[:-1], "shape"),
    ],
    "00.3": [
        (lambda n, left_out: (n.diag() / (n.sum(0) + n.sum(1))).nanmean(), "subtract n_ii once"),
        (lambda n, left_out: (n.diag() / n.sum(1)).nanmean(), "mean accuracy"),
        (lambda n, left_out: iou_of_each(n, left_out).nan_to_num(0).mean(), "leave it out of the mean, it is not 0"),
        (lambda n, left_out: iou_of_each(n)[n.sum(1) > 0].mean(), "its IU is 0 and counts"),
        (lambda n, left_out: iou_of_each(n, left_out).mean(), "nan"),
        (iou_of_each, "take their mean"),
        (lambda n, left_out: mean_iou_by_loop(n), "have no part in it"),
        (mean_iou_of_the_rest, "stays in the matrix"),
    ],
    "00.4": [
        (mean_of_images, "A mean over images is another score"),
        (mean_accuracy_of_images, "mean of pixel accuracies"),
        (pixel_accuracy_of_the_set, "pixel accuracy of the whole set"),
    ],
    "01.1": [
        ([[29, 4], [15, 2], [37, 8]], "multiplied too early"),
        ([[23, 4], [14, 2], [31, 8]], "does not spread its own taps"),
        ([[23, 4], [14, 2], [46, 8]], "takes every second unit"),
        ([[23, 4], [23, 2], [23, 8]], "half as far apart"),
        ([[10, 4], [10, 2], [10, 8]], "a stride of pixels apart"),
        ([[14, 4], [14, 2], [14, 8]], "double at each pool"),
        ([[4, 23], [2, 14], [8, 23]], "the size comes first"),
        ([23, 4, 14, 2, 23, 8], "shape"),
        ([[23, 4], [14, 2], [24, 8]], "Go layer by layer"),
    ],
    "01.2": [
        (lambda a, s, b, t: (3, t // s, (b - a) // s // 2), "a larger kernel needs less dilation"),
        (lambda a, s, b, t: layer_by_search(a, 1, b, t // s), "divide the gap by the stride before you look"),
        (lambda a, s, b, t: [3, t // s, (b - a) // s // 3] if s == 1 else [7, t // s, 1], "k - 1 steps"),
        (lambda a, s, b, t: layer_by_search(a, t, b, t) * torch.tensor([1, 0, 1]) + torch.tensor([0, t // s, 0]), "not by the wanted one"),
        (lambda a, s, b, t: layer_by_search(a, s, b, t) * torch.tensor([1, s, 1]), "Strides multiply"),
        (lambda a, s, b, t: layer_by_search(a, s, b, t)[[0, 2, 1]], "another order"),
        (lambda a, s, b, t: (b - a, t), "shape"),
    ],
    "01.3": [
        (calculator_of_01_3, "two faults"),
        (lambda layers: (calculator_of_01_3(layers)[0], *field_from_the_end(layers)[1:]), "multiplied too early"),
        (field_with(lambda size, stride, k, s, d: size + (k - 1) * stride), "Dilation is left out"),
        (lambda layers: (*field_from_the_end(layers)[:2], sum(layer[2] for layer in layers)), "units of the map that is padded"),
        (lambda layers: (field_from_the_end(layers)[0] + 1, *field_from_the_end(layers)[1:]), "start at size 1"),
        (lambda layers: (field_from_the_end(layers)[0] - 1, *field_from_the_end(layers)[1:]), "not at 0"),
        (field_with(lambda size, stride, k, s, d: size + d * k * stride), "k - 1 steps, not k"),
        (half_mended_01_3, "Half done"),
        (field_with(lambda size, stride, k, s, d: size * s if s > 1 else size + d * (k - 1)), "double at each pool"),
        (lambda layers: field_from_the_end(layers)[:2], "shape"),
    ],
    "01.4": [
        (lambda layers: [1, 2, 4, 8][:layers], "reached in several ways"),
        (lambda layers: list(range(1, layers + 1)), "reached in several ways"),
        (lambda layers: [2] * layers, "every second pixel is never read"),
        (lambda layers: [1] * layers, "the smallest field of all"),
        (lambda layers: [4**i for i in range(layers)], "nothing reaches 2"),
        (lambda layers: dilations_by_search(layers)[::-1], "from small to large"),
        (lambda layers: [1, 3, 8, 20][:layers], "Does one come twice"),
    ],
    "01.5": [
        ([719, 719, 971, 1027], "4 steps of the stride"),
        ([875, 875, 971, 1027], "not 5"),
        ([907 + 4 * 32, 907 + 4 * 32, 971, 1027], "has none"),
        ([843, 715 + 4 * 64, 971, 1027], "own stride moves its units apart"),
        ([843, 843, 427 + 17 * 16, 427 + 17 * 16 + 56], "17 blocks more"),
        ([843, 843, 971, 971], "The weights are the same"),
        ([843, 843, 971, 971 - 56], "The other way round"),
        ([843, 843, 971, 971 + 28], "two steps, one to each side"),
        ([843, 843, 1027, 971], "are exchanged"),
        ([843, 843, 900, 900], "A layer adds (k - 1)"),
    ],
    "03.1": [
        ([8, 4, 57, 44], "every pair of shifts is a pass"),
        ([64, 4, 57, 44], "along each of its two axes"),
        ([64, 16, 64, 44], "most passes have 7"),
        ([64, 16, 100, 44], "the field has to fit"),
        ([64, 16, 56, 44], "Both ends count"),
        ([64, 16, 57, 51], "no unit sees more than before"),
        ([64, 16, 57], "shape"),
    ],
    "03.2": [
        (lambda kernel, down, across: rarefied_by_loop(kernel, down + 1, across + 1), "s - 1 zeros"),
        (lambda kernel, down, across: torch.kron(kernel, torch.eye(down)[:1].T @ torch.eye(across)[:1]), "No zeros behind the last tap"),
        (lambda kernel, down, across: torch.kron(kernel, torch.eye(down)[-1:].T @ torch.eye(across)[-1:]), "as if i and j began at 1"),
        (lambda kernel, down, across: torch.kron(kernel, torch.ones(down, across)), "Between the taps there are zeros"),
        (lambda kernel, down, across: rarefied_by_loop(kernel, across, down), "exchanged"),
        (lambda kernel, down, across: rarefied_by_loop(kernel, down, down), "is not used"),
    ],
    "03.3": [
        (lambda passes, f: stitched_by_loop(passes.transpose(1, 2), f).T, "exchanged"),
        (side_by_side, "like tiles"),
        (lambda passes, f: passes.reshape(f * passes.shape[1], -1), "A bare reshape"),
        (lambda passes, f: torch.kron(passes[0], torch.ones(f, f)), "one pass enlarged"),
    ],
    "03.4": [
        (own_strides_too, "not its own taps"),
        (pools_left_alone, "Pools have windows too"),
        (lambda layers: [1, *(s for _, s in layers)][:-1], "not the next one alone"),
        (lambda layers: [min(rate, 2) for rate in rates_by_loop(layers)], "Removed strides multiply"),
        (lambda layers: [s for _, s in layers], "These are the strides"),
    ],
    "03.5": [
        (lambda costs, strides: strides[-1] * np.sum(costs) / np.dot(costs, strides), "two axes"),
        (lambda costs, strides: 1 / saving_by_units(costs, strides), "The other way round"),
        (lambda costs, strides: strides[-1] ** 2, "late layers cost more"),
        (lambda costs, strides: 1, "repeat the early ones"),
        (lambda costs, strides: strides[-1], "S² times as many units as before"),
    ],
    "02.1": [
        ([[7, 7], [9, 9], [11, 15], [20, 15]], "the maps of pool5"),
        ([[1, 1], [3, 3], [6, 10], [14, 9]], "round up"),
        ([[0, 0], [2, 2], [4, 8], [13, 8]], "not the steps between them"),
        ([[1, 1], [1, 1], [1, 1], [1, 1]], "a convolution slides"),
        ([[1, 1], [3, 3], [9, 5], [9, 14]], "Rows come first"),
        ([1, 2, 5, 10], "shape"),
        ([[1, 1], [3, 3], [5, 9], [20, 15]], "Halve the side five times"),
    ],
    "02.2": [
        (kernel_of_channels_last, "the colleague's code"),
        (lambda weight, c, h, w: weight.view(-1, c, w, h).mT, "column by column"),
        (lambda weight, c, h, w: kernel_by_counting(weight, c, h, w)[:, :, ::-1, ::-1], "upside down"),
        (lambda weight, c, h, w: weight.view(-1, c * h * w, 1, 1), "That is a 1 × 1 kernel"),
        (lambda weight, c, h, w: weight.view(c, -1, h, w)[0], "shape"),
    ],
    "02.3": [
        (crops_below_before_beside, "in the wrong order"),
        (lambda image, labels, *how: crops_by_unfold(image[:, :-1, :-1], labels[:-1, :-1], *how), "last row or column of crops is missing"),
        (lambda image, labels, size, stride: crops_by_windows(image, labels, size, size), "lie side by side"),
        (lambda image, labels, size, stride: crops_by_windows(image, labels, size, 1), "a crop at every pixel"),
        (lambda image, labels, size, stride: crops_by_windows(image, 0 * labels, size, stride), "no label to learn from"),
        (lambda image, labels, size, stride: crops_by_unfold(image, labels.roll([size // 2] * 2, (0, 1)), size, stride), "a crop's corner"),
        (lambda image, labels, size, stride: image.unfold(1, size, stride).unfold(2, size, stride), "shape"),
    ],
    "02.4": [
        (lambda n, conv, fc, crop, stride: n**2 * (conv + fc) / (conv * (1 + n * stride / crop) ** 2 + fc * n**2), "n - 1 steps"),
        (lambda n, conv, fc, crop, stride: n * n, "costs more than one over a crop"),
        (lambda n, conv, fc, crop, stride: n**2 * (conv + fc) / (conv * (1 + (n - 1) * stride / crop) ** 2 + fc), "run once in your pass"),
        (lambda n, conv, fc, crop, stride: n**2 / (1 + (n - 1) * stride / crop) ** 2, "Only convolutions are shared"),
        (lambda n, conv, fc, crop, stride: n**2 * (conv + fc) / (conv * (1 + (n - 1) * stride / crop) + fc * n**2), "square of the side"),
        (lambda n, conv, fc, crop, stride: saving_by_pixels(n, conv, fc, crop, stride) ** -1, "Upside down"),
    ],
    "02.5": [
        (lambda units, pixels, size, stride, padding: inner_units_by_pixels(units, pixels + 1, size, stride, padding), "One too many"),
        (lambda units, pixels, size, stride, padding: list(range(-(-padding // stride), units)), "at the end as well"),
        (lambda units, pixels, size, stride, padding: inner_units_by_pixels(units, pixels, size, stride, 0), "begins before the image"),
        (lambda units, pixels, size, stride, padding: list(range(units)), "All units are there"),
        (lambda *case: len(inner_units_by_pixels(*case)), "shape"),
    ],
    "04.1": [
        ([14, 14, 14, 224], "only where k - 2p"),
        ([15, 16, 16, 256], "between 7 units lie 6 strides"),
        ([17, 18, 18, 288], "its transpose cuts off"),
        ([13, 14, 15, 224], "added once"),
        ([4, 3, 4, 1], "From the first to the last unit"),
    ],
    "04.2": [
        (lambda n, k, s, p, d: 0, "the smallest of the sizes"),
        (lambda n, k, s, p, d: n % s, "take the window's span off first"),
        (lambda n, k, s, p, d: s - 1, "the largest value there is"),
        (lambda n, k, s, p, d: (n - d * (k - 1) - 1) % s, "The padding is left out"),
        (lambda n, k, s, p, d: (n + 2 * p - k) % s, "The dilation is left out"),
        (lambda n, k, s, p, d: (d * (k - 1) + 1 - n - 2 * p) % s, "missing for one more window"),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) % s, "the floor's remainder"),
    ],
    "04.3": [
        (lambda y, w, s: transposed_by_loop(y, w.flip(0), s), "laid down as it is"),
        (kernels_laid_over_each_other, "use += in place of ="),
        (lambda y, w, s: transposed_by_matrix(y, w, 1), "The stride is not used"),
        (lambda y, w, s: transposed_by_loop(y, w, s)[: s * len(y)], "beyond n · stride"),
        (
            lambda y, w, s: (
                np.array(transposed_by_loop(y, w, s)) / np.maximum(transposed_by_loop(torch.ones_like(y), torch.ones_like(w), s), 1)
            ),
            "Nothing is divided",
        ),
        (lambda y, w, s: F.conv1d(y[None, None], w[None, None], padding=len(w))[0, 0], "shape"),
    ],
    "04.4": [
        (upsampling_of_04_4, "still too dark"),
        (upsampling_of_04_4_with_a_border, "Take 2f - 1"),
        (lambda scores, f: F.interpolate(scores, scale_factor=f, mode="bilinear", align_corners=True), "the corners are pinned"),
        (lambda scores, f: scores.repeat_interleave(f, 2).repeat_interleave(f, 3), "Each unit is repeated"),
        (lambda scores, f: upsampled_by_division(scores, f) / f**2, "sums to factor²"),
    ],
    "04.5": [
        (lambda kernels, strides: composite_from_above(kernels, [1] * len(kernels)), "The strides are left out"),
        (lambda kernels, strides: composite_from_above(kernels, [*strides[1:], 1]), "wrong"),
        (composite_with_one_stride, "Strides multiply"),
        (composite_of_swapped, "swapped"),
        (lambda kernels, strides: composite_from_above(kernels, strides)[::-1], "the wrong way round"),
        (lambda kernels, strides: torch.cat(kernels), "shape"),
    ],
    "05.1": [
        (lambda pad: 19, "copied literal"),
        (lambda pad: 19 + (100 - pad), "The sign"),
        (lambda pad: 19 + (pad - 100) // 2, "not by half of one"),
        (lambda pad: 22 + (pad - 100), "is not centred on the image"),
        (lambda pad: 44 + pad - 100, "both ends together"),
        (lambda pad: 31 + pad - 100, "the offset of FCN-8s"),
        (lambda pad: pad - 80, "Follow the centre of unit 0"),
    ],
    "05.2": [
        (sum_of_corners, "cut at their corners"),
        (sum_of_middles, "cut in its middle"),
        (sum_after_resizing, "Resizing moves every unit"),
    ],
    "05.3": [
        (kernel_off_centre, "Caffe's own bilinear filler"),
        (kernel_down_to_zero, "falls to 0 one step outside"),
        (lambda size: np.array(kernel_by_loop(size)) / np.sum(kernel_by_loop(size)), "does not sum to 1"),
        (lambda size: np.diag(kernel_by_loop(size)), "diagonal"),
    ],
    "05.4": [
        (lambda loss, kept: (loss * kept).mean(), "still count in the divisor"),
        (lambda loss, kept: loss.mean(), "the mask is not used"),
        (lambda loss, kept: loss[~kept].mean(), "you average the others"),
        (lambda loss, kept: loss[kept].sum(), "A sum grows"),
    ],
    "05.5": [
        ([26, 5, 58, 8, 41], "12 strides between them"),
        ([28, 10, 58, 8, 41], "what pool4's map has too much"),
        ([28, 5, 78, 8, 41], "as large as the smaller map"),
        ([28, 5, 56, 8, 41], "doubling alone"),
        ([28, 5, 58, 17, 41], "what pool3's map has too much"),
        ([28, 5, 58, 8, 72], "both ends together"),
        ([28, 5, 58, 8, 31], "not centred on the image"),
        ([28, 5, 58, 8, 40], "The first that is wrong: number 5."),
    ],
    "06.1": [
        ([608, 1 / 64, 5529600, 7], "on each of the two sides"),
        ([516, 1 / 8, 5529600, 7], "one of four units"),
        ([516, 1 / 64, 22118400, 7], "belongs to a window"),
        ([516, 1 / 64, 5529600, 8], "are 7 apart"),
        ([700, 1 / 64, 5529600, 7], "184 pixels are lost"),
    ],
    "06.2": [
        (unpooled_to_even, "may be odd"),
        (unpooled_as_columns, "you read it as 2 · column + row"),
        (lambda values, switches, height, width: np.kron(values.numpy(), [[1, 0], [0, 0]]), "first corner"),
        (lambda values, switches, height, width: np.kron(values.numpy(), np.ones((2, 2))), "fills its window"),
        (lambda values, switches, height, width: torch.zeros(height, width), "Make zeros of"),
    ],
    "06.3": [
        (lambda size, levels: size - 4 - 12 * (2 ** (levels - 1) - 1), "Where a pool meets an odd size"),
        (lambda size, levels: size if unet_output_by_rule(size, levels) else 0, "the size with padding"),
        (lambda size, levels: size - 184 if unet_output_by_rule(size, levels) else 0, "184 holds for five levels"),
    ],
    "06.4": [
        (lambda distances, w0, sigma: w0 * torch.exp(-(distances.sort(0).values[:2] ** 2).sum(0) / (2 * sigma**2)), "not each of them"),
        (lambda distances, w0, sigma: border_term_by_topk(distances[:2], w0, sigma), "sort each pixel's distances"),
        (lambda distances, w0, sigma: border_term_by_topk(distances, w0, sigma / 2**0.5), "is missing"),
        (lambda distances, w0, sigma: border_term_by_topk(distances, 1.0, sigma), "divide by 2"),
        (lambda distances, w0, sigma: w0 * torch.exp(-(distances.sort(0).values[:2].sum(0) ** 2) / (2 * sigma**2)), "no second one"),
    ],
    "06.5": [
        (
            lambda scores, corners, height, width: maximum_by_loop(scores.flip(0)[:1], corners.flip(0)[:1], height, width),
            "Begin with zeros",
        ),
        (lambda scores, corners, height, width: -maximum_by_loop(-scores, corners, height, width), "Begin with zeros"),
        (lambda scores, corners, height, width: maximum_by_loop(scores.abs(), corners, height, width), "Begin with zeros"),
    ],
    "07.1": [
        ([17, 4500, 25, 81, 380], "on both sides"),
        ([2**6 - 1, 4500, 25, 81, 380], "8 is the last"),
        ([33, 450, 25, 81, 380], "reads all input channels"),
        ([33, 4500, 169, 81, 380], "five an axis"),
        ([33, 4500, 81, 81, 380], "several lead to the same input"),
        ([33, 4500, 25, 49, 380], "one on each side"),
        ([33, 4500, 25, 81, 404], "its pools still look"),
        ([33, 4500, 25, 81, 404 - 2 * 24], "one step, not two"),
        ([33, 4500, 25, 81, 402], "is not one pixel"),
        ([33, 4550, 25, 81, 380], "9 · 10 · 10 weights"),
    ],
    "07.2": [
        (lambda signal, kernel, d: F.conv1d(signal[None], kernel[None, None], dilation=d)[0], "That is the correlation"),
        (lambda signal, kernel, d: np.flip(dilated_by_numpy(signal, kernel, d)), "turn the kernel instead"),
        (lambda signal, kernel, d: dilated_by_pairs(signal, kernel, 1), "the dilation is not used"),
        (lambda signal, kernel, d: 2 * signal[: len(signal) - d * (len(kernel) - 1)], "the kernel turned round"),
    ],
    "07.3": [
        (lambda before, after: (identity_by_loop(before, after) > 0).int(), "The weights must be"),
        (lambda before, after: identity_by_loop(after, before).T, "divides by the channels of the output"),
        (lambda before, after: identity_by_loop(before, after).T, "Rows are output channels"),
        (identity_of_equal_shares, "section 5's formula"),
        (lambda before, after: (identity_by_loop(before, after) > 0) * len(after) / sum(after), "is for classes of equal width"),
        (identity_in_turn, "dealt out in turn"),
        (lambda before, after: np.eye(sum(after), sum(before)), "each channel of a class reads all"),
    ],
    "07.4": [
        (lambda dilations: 2 * sum(dilations), "how far the two windows overlap"),
        (lambda dilations: len(places_read(dilations)) - 1, "without holes only"),
        (lambda dilations: len(places_read(dilations)), "what one of the two reads"),
        (lambda dilations: 0, "count what both sets hold"),
    ],
    "07.5": [
        (lambda dilations: [] if filled_without_holes(dilations) else [1], "fills holes at most 2 wide"),
        (lambda dilations: [max(dilations) // 2**i for i in range(1, max(dilations).bit_length())], "three taps divide a gap by three"),
        (lambda dilations: sorted(cure_by_places(dilations) or []), "from large to small"),
        (lambda dilations: [2] if dilations == [2, 2, 2] else [1], "Try lists of 0, 1, 2"),
    ],
    "08.1": [
        ([36, 66, 6, 363], "not 3 · 12"),
        ([531441, 132, 6, 363], "every pair twice"),
        ([531441, 78, 6, 363], "a pair with itself"),
        ([531441, 66, 32, 363], "one more than dimensions"),
        ([531441, 66, 6, 121], "each of the two kernels"),
        ([531441, 66, 6], "shape"),
        ([12**3, 66, 6, 363], "one choice a pixel"),
    ],
    "08.2": [
        (lambda labels, unary, kernel: 2 * energy_by_pairs(labels, unary, kernel) - unary[range(len(labels)), labels].sum(), "in it twice"),
        (lambda labels, unary, kernel: energy_by_pairs(labels, unary, 0 * kernel) + same_pairs(labels, kernel), "charges those that agree"),
        (lambda labels, unary, kernel: energy_by_pairs(labels, 0 * unary, kernel), "any constant labelling"),
        (lambda labels, unary, kernel: unary.amin(1).sum() + energy_by_pairs(labels, 0 * unary, kernel), "cheapest one"),
    ],
    "08.3": [
        (lambda probs, unary, kernel: update_by_subtraction(probs, 0 * unary, kernel), "come in again"),
        (lambda probs, unary, kernel: torch.softmax(kernel.mm(probs) - unary, dim=1), "also hears itself"),
        (lambda probs, unary, kernel: update_by_subtraction(probs, unary, -kernel), "The sign"),
        (
            lambda probs, unary, kernel: (
                np.exp(update_exponent(probs, unary, kernel)) / np.exp(update_exponent(probs, unary, kernel)).sum(0)
            ),
            "rows must sum to 1",
        ),
        (lambda probs, unary, kernel: torch.softmax(kernel @ probs, 1), "two slips"),
    ],
    "08.4": [
        (lambda a, b, theta_alpha, theta_beta: bilateral_of_features(a, b, theta_alpha, theta_beta) ** 2, "The 2 is missing"),
        (lambda a, b, alpha, beta: sum(bilateral_of_features(a, b, *thetas) for thetas in ((alpha, 1e9), (1e9, beta))), "multiply the two"),
        (
            lambda a, b, theta_alpha, theta_beta: bilateral_of_features(a, b, theta_alpha**0.5, theta_beta**0.5),
            "is squared in the exponent",
        ),
        (lambda a, b, theta_alpha, theta_beta: bilateral_of_features(a, b, theta_beta, theta_alpha), "are exchanged"),
    ],
    "08.5": [
        (lambda preds, cells: voted_by(preds, cells, lambda inside: round(float(np.mean(inside)))), "there is no mean"),
        (lambda preds, cells: voted_by(preds, cells, lambda inside: inside[0]), "One pixel decides"),
        (lambda preds, cells: voted_by(preds, cells, max), "no majority"),
        (lambda preds, cells: vote_by_table(preds, 0 * cells), "votes by itself"),
        (vote_of_all, "has won an election"),
        (lambda preds, cells: vote_by_table(preds, cells).where(preds < 255, 255), "takes its cell's label"),
        (vote_without_void_cells, "does not become class 0"),
    ],
    "09.1": [
        ([36, 900, 4, 33, 9], "two gaps"),
        ([12 * 2 + 4, 900, 4, 33, 9], "prints as 224"),
        ([25, 25 * 25 * 100, 4, 33, 9], "nothing stored"),
        ([25, 900, 9, 33, 9], "In a corner"),
        ([25, 900, 4, 17, 9], "no place has all nine"),
        ([25, 900, 4, 33, 10], "rounded up"),
        ([25, 900, 4, 33, 6], "nine windows fit"),
        ([25, 1000, 4, 33, 9], "are no weights"),
    ],
    "09.2": [
        (lambda step, total, start, end, power: poly_by_torch(step, total, start, 0, power) + end, "begins at start + end"),
        (lambda step, total, start, end, power: poly_by_torch(step, total, start, 0, power), "should be end"),
        (lambda step, total, start, end, power: poly_by_torch(step, total, start, end, power) - end, "never put it back"),
        (lambda step, total, start, end, power: start - (start - end) * (step / total) ** power, "not to step / total alone"),
        (lambda step, total, start, end, power: start - (start - end) * step / total, "a straight line"),
        (lambda step, total, start, end, power: start, "may be multiplied"),
    ],
    "09.3": [
        (lambda N, r, k: valid_by_counting(N, r, k) ** 0.5, "That is one axis"),
        (lambda N, r, k: (sum(N - r * abs(tap) for tap in range(-(k // 2), k // 2 + 1)) / k / N) ** 2, "not a negative number"),
        (lambda N, r, k: (max(N - (k - 1) * r, 0) / N) ** 2, "the others still count"),
        (lambda N, r, k: k * k * valid_by_convolution(N, r, k), "mean number of taps"),
        (lambda N, r, k: ((N + (k - 1) * max(N - r, 0)) / (k * N)) ** 2, "each counts by itself"),
        (lambda N, r, k: valid_by_counting(N, r, 3), "whatever k is"),
        (lambda N, r, k: 0.5, "the middle tap is on the map"),
    ],
    "09.4": [
        (lambda x, filters, rates: F.conv2d(x, filters[0], dilation=rates[0]), "by its own rate"),
        (lambda x, filters, rates: torch.cat([aspp_by_sum(x, [w], [r]) for w, r in zip(filters, rates, strict=True)], 1), "Stacking is"),
        (lambda x, filters, rates: aspp_by_shifts(x, filters, rates) / len(rates), "That is the mean"),
        (lambda x, filters, rates: aspp_by_shifts(x, filters, [1] * len(rates)), "lie side by side"),
        (taps_counted_from_one, "all taps lie to the right and below"),
        (lambda x, filters, rates: aspp_by_shifts(x, filters, rates[:1] * len(rates)), "the first one's rate"),
        (lambda x, filters, rates: sum(aspp_by_sum(x, [w], [r]).relu() for w, r in zip(filters, rates, strict=True)), "no ReLU"),
        (lambda x, filters, rates: -aspp_by_sum(x, filters, rates), "with its own weight"),
    ],
    "09.5": [
        (lambda size, window, step: [i for i in range(0, size, step) if i + window <= size] or [0], "in no window"),
        (lambda size, window, step: np.arange(0, size, step), "begin so late"),
        (lambda size, window, step: [step * i for i in range(1 + math.ceil(max(size - window, 0) / step))], "hangs over"),
        (lambda size, window, step: sorted({min(i, size - window) for i in range(0, size, step)}), "not before the image"),
        (lambda size, window, step: [*starts_by_loop(size, window, step), max(size - window, 0)], "there twice"),
    ],
    "10.1": [
        ([64**2, 69632, 21, 256, 6], "nine taps"),
        ([36864, 2 * 64 * 256, 21, 256, 6], "between them"),
        ([36864, 69632, 15, 256, 6], "not up to 5"),
        ([36864, 69632, 21, 6 * 32, 6], "came in are kept"),
        ([36864, 69632, 21, 256, 2**4], "number of all paths"),
        ([36864, 69632, 36, 256, 6], "reads l maps"),
    ],
    "10.2": [
        (lambda height, width, c_in, c_out, kernel, stride: 2 * height * width * c_in * c_out * kernel**2, "one multiply-add"),
        (lambda *case: 2 * multiply_adds_by_loop(*case), "one multiply-add"),
        (lambda height, width, c_in, c_out, kernel, stride: height * width * c_in * c_out * kernel**2, "the input's size"),
        (lambda *case: multiply_adds_by_loop(*case) // case[4], "is a square"),
        (lambda height, width, *rest: multiply_adds_by_loop(height - height % rest[3], width - width % rest[3], *rest), "round up"),
        (lambda height, width, c_in, c_out, kernel, stride: height * width * kernel**2, "pair of channels"),
    ],
    "10.3": [
        (lambda output_stride, convention: rates_by_trunk(output_stride, "stage"), "keeps the rate before"),
        (lambda output_stride, convention: rates_by_trunk(output_stride, "exact"), "has the stage's rate"),
        (lambda output_stride, convention: rates_by_trunk(output_stride, convention.replace("exact", "drn")), 'the convention "drn"'),
        (lambda output_stride, convention: np.ones((4, 2)), "what follows is dilated"),
        (lambda output_stride, convention: 2 * np.ones((4, 2)), "at least 1"),
    ],
    "10.4": [
        (lambda start, k, counts, theta: (start + k * np.cumsum(counts)).tolist(), "only the share theta"),
        (lambda *case: [math.floor(width * case[3]) for width in channels_by_layers(*case)], "behind the transitions"),
        (lambda start, k, counts, theta: k * np.array(counts), "stacked with what it adds"),
        (lambda start, k, counts, theta: start + k * np.array(counts), "not with `start`"),
        (lambda start, k, counts, theta: [start] * len(counts), "adds k channels a layer"),
    ],
    "10.5": [
        (lambda n, deleted: [(n - deleted) / n, (n - deleted) / 2], "halves the number"),
        (lambda n, deleted: [2.0**-deleted, n / 2], "they are shorter"),
        (lambda n, deleted: [2.0**-deleted, n - deleted], "the longest path"),
        (lambda n, deleted: [2.0 ** (n - deleted), (n - deleted) / 2], "divide by 2^n"),
        (lambda n, deleted: [0.0, 0.0], "takes away the half"),
    ],
    "11.1": [
        ([2.8, 13.3, 280, 0.48, 0.0625], "not one"),
        ([45.4, 0.8, 280, 0.48, 0.0625], "each needs 16"),
        ([45.4, 13.3, 2 * 4 * 40, 0.48, 0.0625], "limit for many"),
        ([45.4, 13.3, 4 * 40 * 7 / 8, 0.48, 0.0625], "handed round"),
        ([45.4, 13.3, 280, 135 / 195, 0.0625], "it is squared"),
        ([45.4, 13.3, 280, 0.48, 0.75**2], "a quarter is left"),
        ([45.4, 13.3, 280, 0.48, 0.25], "Images = steps"),
    ],
    "11.2": [
        (lambda totals, counts: np.mean(np.divide(totals, counts)), "nearly void piece"),
        (lambda totals, counts: np.sum(np.divide(totals, counts)), "means added up"),
        (lambda totals, counts: np.sum(totals), "the sum over all pixels"),
        (lambda totals, counts: np.mean(totals), "mean over pieces"),
        (lambda totals, counts: max(totals), "divide once"),
    ],
    "11.3": [
        (lambda step, steps, power, warmup: factor_by_cases(step, steps, power, 0), "warm-up is missing"),
        (
            lambda step, steps, power, warmup: factor_by_cases(step, steps, power, 0) * min(1, step / max(warmup, 0.1) + (not warmup)),
            "Step 0",
        ),
        (lambda step, steps, power, warmup: factor_by_cases(step, steps, power, 0) * ((step + 1) / warmup if warmup else 1), "stop at 1"),
        (
            lambda step, steps, power, warmup: (
                (step + 1) / warmup if step < warmup else factor_by_cases(step - warmup, steps - warmup, power, 0)
            ),
            "does not wait",
        ),
        (lambda step, steps, power, warmup: step / steps, "at most 1"),
    ],
    "11.4": [
        (lambda counts, means, variances: [np.average(means, weights=counts), np.average(variances, weights=counts)], "are missing"),
        (lambda counts, means, variances: [np.mean(means), np.mean(variances)], "distances of the means belong"),
        (lambda counts, means, variances: statistics_by_moments([1.0] * len(counts), means, variances), "counts for more"),
        (lambda *case: np.array(statistics_by_moments(*case)) ** [1, 0.5], "standard deviation"),
        (lambda counts, means, variances: [0.0, 1.0], "Weigh by the numbers"),
    ],
    "11.5": [
        (lambda batch, gpus, memory, fixed, each: pieces_by_trying(batch, gpus, memory, 0, each), "take `fixed` off"),
        (lambda batch, gpus, memory, fixed, each: pieces_by_trying(batch, 1, memory, fixed, each), "shared by the GPUs"),
        (lambda batch, gpus, memory, fixed, each: math.ceil(batch / gpus) // max(1, (memory - fixed) // each), "Round up"),
        (lambda batch, gpus, memory, fixed, each: (memory - fixed) // each, "fit at once"),
        (lambda batch, gpus, memory, fixed, each: 0, "0 where nothing fits"),
    ],
}


@pytest.mark.parametrize(("exercise_id", "answer", "words"), [(key, *wrong) for key, answers in WRONG.items() for wrong in answers])
def test_wrong_answers_get_their_sentence(exercise_id: str, answer: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise_id, answer)
    line = capsys.readouterr().out
    assert line.startswith(f"{exercise_id} · wrong: ")
    assert words in line
    assert line.count("\n") == 1
    if callable(answer):
        assert "Smallest case: " in line
        assert " gives " in line
        assert ", and should give " in line
    elif np.shape(answer):
        assert "shape" in line or "The first that is wrong: number " in line


MISTAKES = [(exercise, mistake) for exercise in EXERCISES.values() for mistake in exercise.mistakes]


@pytest.mark.parametrize(
    ("exercise", "mistake"), MISTAKES, ids=[f"{exercise.id}-{mistake.sentence[:20]}" for exercise, mistake in MISTAKES]
)
def test_no_mistake_hides_behind_another(exercise: Exercise, mistake: Mistake) -> None:
    """Each known mistake, given as the answer, gets its own sentence, and fails on no case by crashing."""
    for case in [*exercise.cases, *(case for seed in range(5) for case in drawn_cases(exercise, seed))]:
        mistake.answer(*case)
    verdict = review(exercise, mistake.answer)
    assert verdict.state == "wrong"
    assert verdict.text.startswith(mistake.sentence)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_sentences_are_sentences(exercise: Exercise) -> None:
    sentences = [exercise.otherwise, *(mistake.sentence for mistake in exercise.mistakes)]
    assert len(set(sentences)) == len(sentences) >= 4
    assert all(sentence[-1] in ".?" and len(sentence) > 20 for sentence in sentences)


# --- answers that are none ------------------------------------------------------------------------------------------------------


def stub_that_returns(*case):
    return ...


def stub_that_raises(*case):
    raise NotImplementedError


@pytest.mark.parametrize("exercise_id", EXERCISES)
@pytest.mark.parametrize("stub", [..., stub_that_returns, stub_that_raises], ids=["...", "returns ...", "raises"])
def test_an_untouched_stub_is_not_tried_yet(exercise_id: str, stub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise_id, stub)
    assert capsys.readouterr().out == f"{exercise_id} · not tried yet\n"


def crash(*case):
    return 1 / 0


NONE_AT_ALL = [None, lambda *case: None, "0.18", lambda *case: "text", lambda *case: object(), lambda *case: [[1, 2], [3]], crash]
NONE_AT_ALL += [lambda: 1, lambda *case: torch.zeros(7, 7, 7), lambda *case: float("nan"), {}, lambda *case: print]


@pytest.mark.parametrize("exercise_id", EXERCISES)
@pytest.mark.parametrize("answer", NONE_AT_ALL, ids=range(len(NONE_AT_ALL)))
def test_nothing_that_an_answer_does_stops_the_lesson(exercise_id: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise_id, answer)
    assert capsys.readouterr().out.startswith(f"{exercise_id} · wrong: ")


def test_a_crash_is_reported_with_its_case(capsys: pytest.CaptureFixture[str]) -> None:
    check("05.1", crash)
    line = capsys.readouterr().out
    assert "your code stops with ZeroDivisionError: division by zero" in line
    assert "pad = 100" in line


@pytest.mark.parametrize("exercise_id", [key for key, exercise in EXERCISES.items() if exercise.cases != ((),)])
def test_an_answer_that_writes_into_its_input_spoils_nothing(exercise_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    def scribble(part: Any) -> None:
        if isinstance(part, Tensor):
            part.zero_()
        elif isinstance(part, list | tuple):
            for inner in part:
                scribble(inner)

    right = RIGHT[exercise_id][0]

    def vandal(*case):
        result = right(*case)
        scribble(case)
        return result

    before = [repr(case) for case in EXERCISES[exercise_id].cases]
    for _ in range(2):
        check(exercise_id, vandal)
        assert capsys.readouterr().out == f"{exercise_id} · right\n"
    assert [repr(case) for case in EXERCISES[exercise_id].cases] == before


def made_up(reference: Callable[..., Any], *cases: tuple[Any, ...]) -> Exercise:
    return Exercise("99.1", reference, "Think again.", (Mistake(lambda n: -n, "The sign."),), cases)


def test_of_several_numbers_the_first_wrong_one_is_named() -> None:
    numbers, pairs = Exercise("99.1", lambda: [1, 2, 3], "Think again."), Exercise("99.2", lambda: [[1, 2], [3, 4]], "Think again.")
    assert review(numbers, [1, 7, 8]).text == "Think again. The first that is wrong: number 2."
    assert review(pairs, [[1, 2], [0, 4]]).text == "Think again. The first that is wrong: number 1 of pair 2."
    assert review(Exercise("99.3", lambda: 5, "Think again."), 6).text == "Think again."
    assert "shape" in review(numbers, [1, 7]).text


# --- random cases ---------------------------------------------------------------------------------------------------------------

DRAWING = [exercise for exercise in EXERCISES.values() if exercise.draw]


def test_every_function_meets_random_cases() -> None:
    """All but one, whose few inputs are all among its cases."""
    functions = {exercise.id for exercise in EXERCISES.values() if exercise.cases != ((),)}
    assert functions - {exercise.id for exercise in DRAWING} == {"10.3"}
    assert len(EXERCISES["10.3"].cases) == 4 * 2


@pytest.mark.parametrize("exercise", DRAWING, ids=[exercise.id for exercise in DRAWING])
def test_a_table_of_the_cases_is_no_answer(exercise: Exercise) -> None:
    table = {repr(case): exercise.reference(*case) for case in exercise.cases}
    by_heart = next(iter(table.values()))
    verdict = review(exercise, lambda *case: table.get(repr(case), by_heart))
    assert verdict.state == "wrong"
    assert " gives " in verdict.text


@pytest.mark.parametrize("exercise", DRAWING, ids=[exercise.id for exercise in DRAWING])
def test_the_reference_answers_whatever_is_drawn(exercise: Exercise) -> None:
    for seed in range(5):
        cases = drawn_cases(exercise, seed)
        assert len(cases) == DRAWN
        assert list(map(checking._size, cases)) == sorted(map(checking._size, cases))
        for case in cases:
            wanted = torch.as_tensor(exercise.reference(*case))
            assert wanted.isfinite().all()


def test_each_check_draws_anew_and_leaves_other_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    first, second = (drawn_cases(EXERCISES["04.3"]) for _ in range(2))
    assert repr(first) != repr(second)
    assert repr(drawn_cases(EXERCISES["04.3"], 3)) == repr(drawn_cases(EXERCISES["04.3"], 3))
    assert torch.equal(torch.get_rng_state(), before)


# --- the notebooks' own helpers -------------------------------------------------------------------------------------------------


@cache
def helpers_of(notebook: str) -> dict[str, Any]:
    """The functions that a notebook defines before its exercises, with what they need of other names to be called at all."""
    (path,) = FOLDER.glob(f"{notebook}_*.ipynb")
    names = {"torch": torch, "F": F, "nn": nn, "np": np, "math": math, "product": product, "K": 256}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and "exercises.check(" not in source:
            for node in ast.parse(source).body:
                if isinstance(node, ast.FunctionDef):
                    with suppress(NameError):  # a default that is computed in the notebook
                        exec(compile(ast.Module([node], []), path.name, "exec"), names)  # the course's own text
    return names


AS_THEY_STAND = {
    "00.2": "naive_confusion",
    "00.3": "lambda counts, left_out: mean_iou(counts, 'absent classes left out')",
    "01.3": "lambda layers: naive_fields([layer[:3] for layer in layers])[-1]",
    "02.3": "lambda image, labels, size, stride: cut(image[None], size, stride)",
    "03.2": "lambda kernel, down, across: naive_rarefied(kernel, down)",
    "04.5": "lambda w, s: F.conv_transpose1d(w[-1][None, None], w[0][None, None], stride=s[0])[0, 0]",
    "06.2": "naive_unpool",
    "06.4": "lambda distances, w0, sigma: w0 * torch.exp(-(distances.sort(0).values[:2].sum(0) ** 2) / (2 * sigma**2))",
    "07.3": "lambda before, after: naive_identity(sum(before), sum(after), len(after), 1)[:, :, 0, 0]",
    "08.5": "vote",
    "09.3": "lambda N, r, k: naive_valid(N, r).mean() / 9",
}
"""Answers that need no thought: a helper of the notebook, or a line of it, called as it is."""


@pytest.mark.parametrize("exercise_id", AS_THEY_STAND)
def test_what_stands_in_the_notebook_is_not_the_answer(exercise_id: str) -> None:
    verdict = review(EXERCISES[exercise_id], eval(AS_THEY_STAND[exercise_id], helpers_of(exercise_id[:2])))
    assert verdict.state == "wrong"
    assert "NameError" not in verdict.text


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_no_helper_of_a_notebook_is_an_answer(notebook: str) -> None:
    own = [exercise for exercise in EXERCISES.values() if exercise.id.startswith(notebook) and exercise.cases != ((),)]
    defined = {name: helper for name, helper in helpers_of(notebook).items() if inspect.isfunction(helper) and helper is not product}
    assert defined
    right = [(exercise.id, name) for exercise in own for name, helper in defined.items() if review(exercise, helper).state == "right"]
    assert right == []


# --- cases ----------------------------------------------------------------------------------------------------------------------


def test_the_smallest_failing_case_is_shown() -> None:
    """Cases go from small to large, and the first that fails is the one to think about."""
    exercise = made_up(lambda n: n * n, (0,), (1,), (2,), (3,))
    verdict = review(exercise, lambda n: n)
    assert verdict.text == "Think again. Smallest case: n = 2 gives 2, and should give 4."
    assert review(exercise, lambda n: -n).text.startswith("The sign. Smallest case: n = 1 gives -1, and should give 1.")
    assert review(exercise, lambda n: n**2).state == "right"


def test_the_last_case_counts_as_much_as_the_first() -> None:
    exercise = made_up(lambda n: n * n, (1,), (2,), (3,))
    assert review(exercise, lambda n: n * n if n < 3 else 8).state == "wrong"
    assert review(exercise, lambda n: n * n if n < 3 else crash()).state == "wrong"


def test_tolerance_is_for_rounding_alone() -> None:
    assert review(EXERCISES["00.1"], 0.18 + 1e-7).state == "right"
    assert review(EXERCISES["00.1"], 0.1801).state == "wrong"
    exercise = made_up(lambda n: torch.tensor([1.0, float("nan")]), (1,))
    assert review(exercise, lambda n: [1.0, float("nan")]).state == "right"
    assert review(exercise, lambda n: [1.0, 0.0]).state == "wrong"
    assert review(exercise, lambda n: [[1.0, float("nan")]]).state == "wrong"  # another shape


def test_an_unknown_exercise() -> None:
    with pytest.raises(ValueError, match=r"there is no exercise '00\.9': there are 00\.1, 00\.2"):
        check("00.9", 1)


# --- hints ----------------------------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NAMES = {"torch": torch, "F": F, "np": np, "math": math, "sum": sum, "len": len, "range": range, "max": max, "min": min}
WITH_HINTS = [exercise for exercise in EXERCISES.values() if exercise.hints]


def numbers_of(value: Any) -> set[float]:
    """The different numbers of an answer."""
    return set(torch.as_tensor(np.asarray(value, dtype=float)).flatten().tolist())


def gives_away(exercise: Exercise, hint: str) -> str | None:
    """What in the hint is the answer, or nearly: its number, most of its numbers, or code that returns it."""
    if "return" in hint or "lambda" in hint:
        return "code"
    if exercise.cases == ((),):
        named = {float(number.replace(",", "")) for number in NUMBER.findall(hint) if number.count(".") < 2}
        wanted = numbers_of(exercise.reference())
        return "numbers" if len(named & wanted) > (0 if len(wanted) == 1 else len(wanted) / 2) else None
    names = ", ".join(inspect.signature(exercise.reference).parameters)
    for piece in re.findall(r"`([^`]+)`", hint):
        try:
            answer = eval(f"lambda {names}: ({piece})", dict(NAMES))  # hints are the course's own text
        except SyntaxError:
            continue
        if review(exercise, answer).state == "right":
            return piece
    return None


def test_every_exercise_has_three_hints() -> None:
    assert [exercise.id for exercise in EXERCISES.values() if len(exercise.hints) != 3] == []


@pytest.mark.parametrize("exercise", WITH_HINTS, ids=[exercise.id for exercise in WITH_HINTS])
def test_hints_help_and_give_nothing_away(exercise: Exercise) -> None:
    sentences = {exercise.otherwise, *(mistake.sentence for mistake in exercise.mistakes), *exercise.hints}
    assert len(sentences) == 1 + len(exercise.mistakes) + len(exercise.hints) <= 1 + len(exercise.mistakes) + 3
    for hint in exercise.hints:
        assert 20 < len(hint) <= 240
        assert hint[-1] in ".?"
        assert "\n" not in hint
        assert gives_away(exercise, hint) is None


@pytest.mark.parametrize(
    ("reference", "cases", "hint"),
    [
        (lambda: 0.18, ((),), "It is 0.18."),
        (lambda: [64, 16, 57, 44], ((),), "64 passes, 16, and then 57."),
        (lambda: [1000, 7], ((),), "1,000 and then 7."),
        (lambda n: n * n, ((1,), (3,)), "Try `n ** 2`."),
        (lambda n: n * n, ((1,), (3,)), "Write return n times n."),
        (lambda values: sum(values), (([1, 2],),), "Use `sum(values)` here."),
    ],
    ids=["a number", "most numbers", "with commas", "code", "return", "a call"],
)
def test_a_hint_with_the_answer_is_found(reference: Callable[..., Any], cases: tuple[tuple[Any, ...], ...], hint: str) -> None:
    exercise = Exercise("99.1", reference, "Think again.", cases=cases)
    assert gives_away(exercise, hint)
    assert gives_away(exercise, "Section 2 says how: begin with the `n` and one other number, 5.") is None
