"""CRF as RNN: its parameters, its equality with DenseCRF, and training through it."""

import pytest
import torch
from torch import nn

from edu_seg.crf import DenseCRF, GaussianFilter, bilateral_features, gaussian_matrix, spatial_features
from edu_seg.datasets.transforms import IMAGENET_MEAN, IMAGENET_STD
from edu_seg.losses import CrossEntropy
from edu_seg.models.crf_rnn import CRFRNN, crf_rnn, guidance, paper_crf


def test_the_papers_parameters() -> None:
    assert sum(p.numel() for p in paper_crf(21).parameters()) == 1323


def test_the_photograph_comes_back() -> None:
    photograph = torch.randint(0, 256, (2, 3, 5, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor(IMAGENET_MEAN)[:, None, None], torch.tensor(IMAGENET_STD)[:, None, None]
    assert torch.equal(guidance((photograph / 255 - mean) / std), photograph)


def test_equal_to_dense_crf_at_fixed_weights() -> None:
    torch.manual_seed(0)
    net, images = nn.Conv2d(3, 4, 1), torch.randn(2, 3, 6, 7)
    plain = DenseCRF(160, 3, 3, 5.0, 3.0, normalisation="after")
    model = CRFRNN(net, paper_crf(4)).eval()
    torch.testing.assert_close(model(images).softmax(1), plain(net(images), guidance(images)), rtol=1e-4, atol=1e-5)


def test_an_iteration_of_the_released_layer() -> None:
    """Filter, divide by the sum at the pixel that hears, weigh by matrices, add up, transform, subtract from the unary."""
    draw = torch.Generator().manual_seed(0)
    crf, logits = paper_crf(3), torch.randn(1, 3, 4, 5, generator=draw)
    image = torch.randint(0, 9, (1, 3, 4, 5), dtype=torch.uint8, generator=draw)
    crf.make_filter = GaussianFilter
    for parameter in crf.parameters():
        nn.init.normal_(parameter, generator=draw)
    probs, heard = logits[0].flatten(1).softmax(0), []
    for features, weight in ((bilateral_features(image[0], 160, 3), crf.weights[0]), (spatial_features(image[0], 3), crf.weights[1])):
        kernel = gaussian_matrix(features)
        heard.append(weight @ (kernel @ probs.T / kernel.sum(1)[:, None]).T)
    expected = logits[0].flatten(1) - crf.get_parameter("compatibility") @ (heard[0] + heard[1])
    refined = crf.refine(logits, image, num_iterations=1)[0].flatten(1)
    torch.testing.assert_close(refined.log_softmax(0), expected.log_softmax(0), rtol=1e-4, atol=1e-4)


def test_trains_end_to_end() -> None:
    torch.manual_seed(0)
    model = crf_rnn(3, unary=nn.Conv2d(3, 3, 1)).train()
    images, labels = torch.randn(1, 3, 5, 5), torch.randint(0, 3, (1, 5, 5))
    optimiser, losses = torch.optim.Adam(model.parameters(), lr=0.2), []
    for _ in range(6):
        loss = CrossEntropy()(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_fewer_iterations_in_training() -> None:
    torch.manual_seed(0)
    model, images = CRFRNN(nn.Conv2d(3, 3, 1), paper_crf(3)), torch.randn(1, 3, 6, 6)
    five = model.crf.refine(model.unary(images), guidance(images), num_iterations=5)
    torch.testing.assert_close(model(images), five)
    assert (model.eval()(images) - five).abs().max() > 1e-6


def test_bad_options_are_named() -> None:
    with pytest.raises(ValueError, match="no FCN is called 'unet'"):
        crf_rnn(3, unary="unet")
    with pytest.raises(ValueError, match="takes no options, got backbone"):
        crf_rnn(3, unary=nn.Identity(), backbone="vgg_small")
    with pytest.raises(ValueError, match="training_iterations = 0"):
        CRFRNN(nn.Identity(), paper_crf(3), training_iterations=0)
