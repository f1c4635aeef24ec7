"""Exercises of notebook 08: dense CRFs."""

from itertools import combinations

import torch
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes


def _energy(labels: Tensor, unary: Tensor, kernel: Tensor) -> float:
    """Potts: each pair once."""
    total = sum(float(unary[i, label]) for i, label in enumerate(labels.tolist()))
    return total + sum(float(kernel[i, j]) for i, j in combinations(range(len(labels)), 2) if labels[i] != labels[j])


def _pairs(labels: Tensor, kernel: Tensor) -> Tensor:
    return (labels[:, None] != labels) * kernel


def _unary_part(labels: Tensor, unary: Tensor) -> Tensor:
    return unary.gather(1, labels[:, None]).sum()


def _tie(number: int, generator: torch.Generator) -> Tensor:
    """Symmetric weights between so many pixels, with a self term of 1."""
    upper = torch.rand(number, number, generator=generator).triu(1)
    return upper + upper.T + torch.eye(number)


def _labelled() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    cases: list[Case] = [
        (torch.tensor([0, 1]), torch.tensor([[0.5, 2.0], [1.0, 0.25]]), torch.tensor([[1.0, 0.5], [0.5, 1.0]])),
        (
            torch.tensor([1, 1, 0]),
            torch.tensor([[3.0, 1.0], [3.0, 1.0], [0.0, 2.0]]),
            torch.tensor([[1, 0.5, 0.2], [0.5, 1, 0.1], [0.2, 0.1, 1]]),
        ),
    ]
    for number, num_classes in ((5, 3), (9, 4)):
        labels = torch.randint(num_classes, (number,), generator=generator)
        cases.append((labels, torch.rand(number, num_classes, generator=generator), _tie(number, generator)))
    return cases


def _drawn_tie(number: int, generator: torch.Generator) -> Tensor:
    """Symmetric weights in quarters, with a self term of 1."""
    upper = wholes(generator, 0, 8, number, number).triu(1) / 4
    return upper + upper.T + torch.eye(number)


def _drawn_labelled(generator: torch.Generator) -> Case:
    number, num_classes = whole(generator, 2, 6), whole(generator, 2, 4)
    labels = torch.randint(num_classes, (number,), generator=generator)
    return labels, wholes(generator, 0, 16, number, num_classes) / 4, _drawn_tie(number, generator)


def _update(probs: Tensor, unary: Tensor, kernel: Tensor) -> Tensor:
    """Mean field for Potts, all pixels at once, without the self term."""
    return (-unary + (kernel - torch.diag(kernel.diagonal())) @ probs).softmax(1)


def _beliefs() -> list[Case]:
    generator = torch.Generator().manual_seed(1)
    cases: list[Case] = [
        (torch.tensor([[0.6, 0.4], [0.1, 0.9]]), torch.tensor([[0.5, 0.9], [2.3, 0.1]]), torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    ]
    for number, num_classes in ((3, 2), (6, 4)):
        logits = torch.randn(number, num_classes, generator=generator)
        cases.append((logits.softmax(1), -logits.log_softmax(1) * 1.5, _tie(number, generator)))
    return cases


def _drawn_beliefs(generator: torch.Generator) -> Case:
    number, num_classes = whole(generator, 2, 6), whole(generator, 2, 4)
    probs, unary = (wholes(generator, 0, 9, number, num_classes) / 4 for _ in range(2))
    return probs.softmax(1), unary, _drawn_tie(number, generator)


def _squares(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances of place and of colour."""
    difference = (first - second).square()
    return difference[:2].sum(), difference[2:].sum()


def _bilateral(first: Tensor, second: Tensor, theta_alpha: float, theta_beta: float) -> Tensor:
    place, colour = _squares(first, second)
    return torch.exp(-place / (2 * theta_alpha**2) - colour / (2 * theta_beta**2))


def _summed(first: Tensor, second: Tensor, theta_alpha: float, theta_beta: float) -> Tensor:
    place, colour = _squares(first, second)
    return torch.exp(-place / (2 * theta_alpha**2)) + torch.exp(-colour / (2 * theta_beta**2))


def _without_half(first: Tensor, second: Tensor, theta_alpha: float, theta_beta: float) -> Tensor:
    place, colour = _squares(first, second)
    return torch.exp(-place / theta_alpha**2 - colour / theta_beta**2)


def _not_squared(first: Tensor, second: Tensor, theta_alpha: float, theta_beta: float) -> Tensor:
    place, colour = _squares(first, second)
    return torch.exp(-place / (2 * theta_alpha) - colour / (2 * theta_beta))


def _pixels() -> list[Case]:
    generator = torch.Generator().manual_seed(2)
    cases: list[Case] = [
        (torch.tensor([0.0, 0, 100, 100, 100]), torch.tensor([3.0, 4, 100, 100, 100]), 5.0, 13.0),
        (torch.tensor([0.0, 0, 100, 100, 100]), torch.tensor([3.0, 4, 110, 95, 100]), 5.0, 10.0),
    ]
    for theta_alpha, theta_beta in ((80.0, 13.0), (30.0, 50.0)):
        first, second = (torch.rand(5, generator=generator) * torch.tensor([40.0, 40, 60, 60, 60]) for _ in range(2))
        cases.append((first, second, theta_alpha, theta_beta))
    return cases


def _drawn_pixels(generator: torch.Generator) -> Case:
    """Near enough for a weight that is not 0."""
    first, second = (wholes(generator, 0, 9, 5) for _ in range(2))
    return first, second, float(whole(generator, 4, 20)), float(whole(generator, 4, 20))


def _voted(preds: Tensor, cells: Tensor) -> Tensor:
    """Each cell takes the label that most of its pixels have, of equal ones the lowest; 255 is no vote."""
    return _by_each(preds, cells, "vote")


def _by_each(preds: Tensor, cells: Tensor, rule: str) -> Tensor:
    voted = preds.clone()
    for cell in cells.unique():
        inside = preds[(cells == cell) & (preds != 255)]
        if len(inside):
            values = {"vote": inside.bincount().argmax(), "mean": inside.float().mean().round().long(), "first": inside[0]}
            voted[cells == cell] = {**values, "largest": inside.max()}[rule]
    return voted


def _with_void_votes(preds: Tensor, cells: Tensor) -> Tensor:
    """The mistake of counting 255 as a label."""
    voted = preds.clone()
    for cell in cells.unique():
        voted[cells == cell] = preds[cells == cell].bincount().argmax()
    return voted


def _void_kept(preds: Tensor, cells: Tensor) -> Tensor:
    """The mistake of leaving void pixels as they are."""
    return _voted(preds, cells).where(preds != 255, 255)


def _void_cells_to_zero(preds: Tensor, cells: Tensor) -> Tensor:
    """The mistake of the largest of no counts."""
    empty = [cell for cell in cells.unique() if (preds[cells == cell] == 255).all()]
    return _voted(preds, cells).masked_fill(torch.isin(cells, torch.tensor(empty, dtype=cells.dtype)), 0)


def _maps() -> list[Case]:
    generator = torch.Generator().manual_seed(3)
    return [
        (torch.tensor([[2, 0, 2]]), torch.tensor([[0, 0, 0]])),
        (torch.tensor([[0, 3, 3, 1, 1], [3, 0, 0, 0, 1]]), torch.tensor([[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]])),
        (torch.tensor([[1, 255, 255, 1, 255]]), torch.tensor([[0, 0, 0, 0, 0]])),
        (torch.tensor([[2, 255, 255]]), torch.tensor([[0, 1, 1]])),
        (torch.tensor([[4, 255, 255, 255]]), torch.tensor([[0, 0, 0, 1]])),
        (torch.randint(5, (8, 9), generator=generator), torch.randint(6, (8, 9), generator=generator)),
    ]


def _drawn_map(generator: torch.Generator) -> Case:
    shape = (whole(generator, 1, 5), whole(generator, 2, 6))
    preds, cells = (torch.randint(4, shape, generator=generator) for _ in range(2))
    return preds.masked_fill(wholes(generator, 0, 2, *shape) == 0, 255), cells


EXERCISES = (
    Exercise(
        "08.1",
        reference=lambda: [531441, 66, 6, 363],
        otherwise="Labellings: one choice a pixel. Pairs: each once. Corners: of a simplex. Parameters: three square matrices.",
        mistakes=(
            Mistake(lambda: [36, 66, 6, 363], "12 pixels choose independently of each other: 3 · 3 · … · 3, not 3 · 12."),
            Mistake(lambda: [531441, 132, 6, 363], "132 counts every pair twice, as (i, j) and as (j, i)."),
            Mistake(lambda: [531441, 78, 6, 363], "78 counts each pixel as a pair with itself."),
            Mistake(lambda: [531441, 66, 32, 363], "32 corners has the cube in five dimensions; a simplex has one more than dimensions."),
            Mistake(lambda: [531441, 66, 6, 121], "There is a matrix of 11 × 11 for each of the two kernels, and the compatibility."),
        ),
        hints=(
            (
                "(a) and (b): section 4. (c): section 6; how many features has a pixel in the bilateral kernel? "
                "(d): section 11 counts the same for 21 classes."
            ),
            (
                "(a) Each pixel chooses without regard to the others. (b) Each pixel with each other one, and no pair twice: "
                "5 pixels have 10 pairs. (c) In the plane, the simplex is a triangle."
            ),
            (
                "(a) Labels to the power of pixels. (b) N (N − 1) / 2. (c) The features are the dimensions; "
                "a simplex has one corner more. (d) A matrix for each kernel and one for the compatibility."
            ),
        ),
    ),
    Exercise(
        "08.2",
        reference=_energy,
        cases=_labelled(),
        draw=_drawn_labelled,
        tolerance=1e-5,
        otherwise="E is the unary energy of each pixel's label, plus kernel[i, j] for each pair i < j whose labels differ.",
        mistakes=(
            Mistake(
                lambda labels, unary, kernel: _unary_part(labels, unary) + _pairs(labels, kernel).sum(),
                "That is the sum over i ≠ j: each pair is in it twice.",
            ),
            Mistake(
                lambda labels, unary, kernel: _unary_part(labels, unary) + ((labels[:, None] == labels) * kernel).triu(1).sum(),
                "Potts charges the pairs whose labels differ; yours charges those that agree.",
            ),
            Mistake(
                lambda labels, unary, kernel: _pairs(labels, kernel).triu(1).sum(),
                "The unary energies are missing: without them any constant labelling is best.",
            ),
            Mistake(
                lambda labels, unary, kernel: unary.min(1).values.sum() + _pairs(labels, kernel).triu(1).sum(),
                "Take the unary energy of the label that the pixel has, not of its cheapest one.",
            ),
        ),
        hints=(
            "Section 4: E has two sums. The first looks at one pixel at a time, the second at pairs. Which pairs does Potts charge?",
            (
                "From row i of `unary` take the entry of the label that pixel i has. "
                "Then make an (N, N) mask of the pairs whose labels differ: in it, each pair occurs twice."
            ),
            (
                "`labels[:, None] != labels` is the mask; its diagonal is empty by itself. "
                "Sum the kernel over it, undo the double count, and add the unary entries that you picked."
            ),
        ),
    ),
    Exercise(
        "08.3",
        reference=_update,
        cases=_beliefs(),
        draw=_drawn_beliefs,
        tolerance=1e-5,
        otherwise="Q_i(l) ∝ exp(-U_i(l) + Σ_{j≠i} k_ij Q_j(l)): add the messages to -U, and normalise over the labels.",
        mistakes=(
            Mistake(
                lambda probs, unary, kernel: ((kernel - torch.diag(kernel.diagonal())) @ probs).softmax(1),
                "That is the colleague's second slip: what the net has said must come in again in every iteration.",
            ),
            Mistake(
                lambda probs, unary, kernel: (-unary + kernel @ probs).softmax(1),
                "Here a pixel also hears itself: the sum leaves j = i out, so the diagonal must go.",
            ),
            Mistake(
                lambda probs, unary, kernel: (-unary - (kernel - torch.diag(kernel.diagonal())) @ probs).softmax(1),
                "The sign: where the neighbours believe in a label, it becomes more probable.",
            ),
            Mistake(
                lambda probs, unary, kernel: (-unary + (kernel - torch.diag(kernel.diagonal())) @ probs).softmax(0),
                "Normalise over the labels of each pixel, not over the pixels: rows must sum to 1.",
            ),
            Mistake(lambda probs, unary, kernel: (kernel @ probs).softmax(1), "These are the colleague's numbers: two slips are in them."),
        ),
        hints=(
            (
                "Compare the line with the boxed update of section 4, term by term. Which term is missing? "
                "And which j does the sum leave out?"
            ),
            (
                "The net's word belongs in every iteration, inside the softmax. "
                "And on the diagonal of the kernel stands what a pixel says to itself."
            ),
            (
                "Softmax over the labels of −U plus a matrix product. (The constant of 1 − Q does nothing, "
                "so the messages have a plus.) The kernel in that product needs zeros on its diagonal."
            ),
        ),
    ),
    Exercise(
        "08.4",
        reference=_bilateral,
        cases=_pixels(),
        draw=_drawn_pixels,
        tolerance=1e-5,
        otherwise="exp(-½ · (squared distance of the places / θα² + squared distance of the colours / θβ²)).",
        mistakes=(
            Mistake(_without_half, "The 2 is missing: a Gaussian is exp(-d² / (2 θ²))."),
            Mistake(_summed, "Near and similar must hold together: multiply the two Gaussians, or add inside the exponent."),
            Mistake(_not_squared, "θ is a standard deviation and is squared in the exponent, or the units do not cancel."),
            Mistake(
                lambda first, second, theta_alpha, theta_beta: _bilateral(first, second, theta_beta, theta_alpha),
                "θα goes with the place and θβ with the colour; yours are exchanged.",
            ),
        ),
        hints=(
            (
                "The first kernel of section 5, without its weight: near and similar at once. "
                "Which of the five numbers are the place, which the colour?"
            ),
            (
                "Divide each number by its own θ: then this is one Gaussian of five features. "
                "Two pixels that are one θ apart in a single feature have the weight exp(−½) = 0.61."
            ),
            (
                "Put the five scales into one tensor. The exponent is −½ times a sum over five squares: of each difference, "
                "divided by its scale before it is squared."
            ),
        ),
    ),
    Exercise(
        "08.5",
        reference=_voted,
        cases=_maps(),
        draw=_drawn_map,
        otherwise="For each cell: count the labels of its pixels, 255 left out, and give all of them the most frequent one.",
        mistakes=(
            Mistake(lambda preds, cells: _by_each(preds, cells, "mean"), "Labels are names: between 0 and 2 there is no mean. Count them."),
            Mistake(lambda preds, cells: _by_each(preds, cells, "first"), "One pixel decides for its cell; let all of them vote."),
            Mistake(lambda preds, cells: _by_each(preds, cells, "largest"), "The largest number is no majority."),
            Mistake(_with_void_votes, "255 has won an election: it means that there is no answer, so it has no vote."),
            Mistake(
                lambda preds, cells: torch.full_like(preds, int(preds.flatten().bincount().argmax())),
                "That is the vote of the whole image: each cell votes by itself.",
            ),
            Mistake(_void_kept, "A pixel of 255 has no vote, but takes its cell's label as the others do."),
            Mistake(_void_cells_to_zero, "A cell without any vote elects nobody: it stays 255, and does not become class 0."),
        ),
        hints=(
            "Section 2 lets superpixels vote. A label is a name, so nothing can be averaged: what can be counted, and what must not be?",
            (
                "Cell by cell: a mask of its pixels, how often each label occurs under it where it is not 255, "
                "and the winner written to every pixel of the mask, if there is one. Write into a copy."
            ),
            (
                "`cells.unique()` gives the cells. `bincount` counts the labels under a mask, from 0 upwards, "
                "and `argmax` takes the first of equal counts: that settles a tie as it is asked for."
            ),
        ),
    ),
)
