# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Encoders of images."""

import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zprl.deploy.archives import check_torch_export
from zprl.deploy.formats.onnx_model import replace_missing
from zprl.policies import FlowPolicyCfg, PretrainCfg, load_policy, save_policy, train_policy
from zprl.policies.flow.cfg import IMAGE_EMBEDDING, RESNET_EMBEDDING, ImageEncoderCfg
from zprl.policies.flow.encoders.cameras import crop_of
from zprl.policies.flow.encoders.resnet import SpatialLearnedEmbeddings
from zprl.policies.flow.policy import STATE, FlowPolicy
from zprl.utils.errors import ZprlError
from zprl.utils.tensor_files import load_tensors, save_tensors

from ..fakes import base_of

BOTH = pytest.mark.parametrize("name", [IMAGE_EMBEDDING, RESNET_EMBEDDING])
SIZES = {"horizon": 2, "execute_steps": 1, "embed_dim": 8, "embed_hidden_dims": (16,), "latent_dim": 3}
SIZES |= {"vib_hidden_dims": (8,), "velocity_hidden_dim": 8, "velocity_num_blocks": 1, "time_embed_dim": 4}


def make_policy(name=IMAGE_EMBEDDING, shapes=None, **images):
    """A policy of a state of two numbers and, by default, an image."""
    shapes = {"camera": (16, 24, 3)} if shapes is None else shapes
    cfg = FlowPolicyCfg(
        **SIZES, observation_groups=("policy", *shapes), embedding_class=name, images=ImageEncoderCfg(**images)
    )
    torch.manual_seed(0)
    return FlowPolicy(cfg, 2, 2, shapes).eval().requires_grad_(False)


def make_inputs(policy, n=3):
    generator = torch.Generator().manual_seed(1)
    inputs = {STATE: torch.randn(n, 2, generator=generator)}
    for name, shape in policy.image_shapes.items():
        if shape[-1] == 1:
            inputs[name] = 3.0 * torch.rand(n, *shape, generator=generator)
        else:
            inputs[name] = torch.randint(256, (n, *shape), generator=generator, dtype=torch.uint8)
    return inputs


@pytest.mark.parametrize(
    ("crop", "shape", "expected"),
    [
        (0.875, (64, 64, 3), (56, 56)),
        (0.9, (84, 84, 3), (76, 76)),
        (76, (84, 96, 3), (76, 76)),
        (0.5, (2, 64, 48, 1), (32, 24)),
        (1.0, (64, 48, 3), (64, 48)),
        (0.01, (8, 8, 3), (1, 1)),
    ],
)
def test_a_crop_is_a_share_or_pixels(crop, shape, expected):
    assert crop_of(ImageEncoderCfg(crop=crop), "camera", shape) == expected


@BOTH
def test_acting_looks_at_the_middle(name):
    policy = make_policy(name, crop=0.5)
    inputs = make_inputs(policy)
    middle = inputs["camera"][:, 4:12, 6:18]
    e = policy.embed(inputs)
    assert torch.equal(policy.embed({**inputs, "camera": middle}), e)
    inputs["camera"][:, :4] = inputs["camera"][:, :, 18:] = 7
    assert torch.equal(policy.embed(inputs), e)
    inputs["camera"][:, 5, 7] ^= 255
    assert (policy.embed(inputs) != e).any(dim=1).all()


@BOTH
def test_a_row_does_not_depend_on_the_batch_and_steps_and_cameras_make_a_difference(name):
    shapes = {"front": (2, 16, 16, 3), "depth": (16, 16, 1)}
    policy = make_policy(name, shapes)
    inputs = make_inputs(policy)
    e = policy.embed(inputs)
    for i in range(3):
        alone = policy.embed({key: value[i : i + 1] for key, value in inputs.items()})
        torch.testing.assert_close(alone, e[i : i + 1], atol=1e-5, rtol=1e-5)
    for change in ({"front": inputs["front"].flip(1)}, {"depth": inputs["depth"].flip(1)}, {STATE: -inputs[STATE]}):
        assert not torch.allclose(policy.embed({**inputs, **change}), e, atol=1e-4)
    assert not any("BatchNorm" in type(module).__name__ for module in policy.modules())


@BOTH
def test_many_worlds_are_encoded_a_few_at_a_time(name):
    """On a CPU, by a base policy; and a world's embedding is what it is alone, but for roundings."""
    policy, sizes = make_policy(name, {"camera": (16, 16, 3)}), []
    inputs = make_inputs(policy, 130)
    policy.embedding.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    e = base_of(policy).encode({"policy": inputs[STATE], "camera": inputs["camera"]}).embedding
    assert max(sizes) <= 64 and sum(sizes) == len(e) == 130
    for i in (0, 63, 64, 129):
        alone = policy.embed({key: value[i : i + 1] for key, value in inputs.items()})
        torch.testing.assert_close(e[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_what_the_networks_see_is_between_minus_one_and_one():
    policy = make_policy(shapes={"camera": (8, 8, 3), "depth": (8, 8, 1)}, crop=1.0, depth_range=(0.5, 1.5))
    seen = {}
    embedding: Any = policy.embedding
    for name, camera in embedding.cameras.items():
        camera.register_forward_pre_hook(
            lambda module, inputs, name=name: seen.update({name: inputs[0][0, 0, :, 0, 0]})
        )
    inputs = make_inputs(policy, 1)
    inputs["camera"][0, 0, 0] = torch.tensor([0, 255, 51], dtype=torch.uint8)
    for depth, expected in ((0.1, -1.0), (0.75, -0.5), (1.5, 1.0), (9.0, 1.0), (torch.inf, 1.0)):
        inputs["depth"][0, 0, 0] = depth
        policy.embed(inputs)
        assert seen["depth"].tolist() == pytest.approx([expected])
    assert seen["camera"].tolist() == pytest.approx([-1.0, 1.0, -0.6])


@BOTH
def test_what_a_policy_does_not_see_is_refused_in_one_sentence(name):
    policy = make_policy(name, {"front": (16, 16, 3), "depth": (16, 16, 1)})
    inputs = make_inputs(policy)
    for change, words in (
        ({"front": inputs["front"].float() / 255.0}, "the image front of 3 channels holds float32; colours are uint8"),
        ({"depth": inputs["depth"].to(torch.int16)}, "the image depth of 1 channels holds int16"),
        ({"front": inputs["front"][:, :12]}, r"the image front has the shape \(12, 16, 3\), .* sees \(16, 16, 3\)\.$"),
        ({"front": inputs["front"].movedim(-1, 1)}, r"the shape \(3, 16, 16\)"),
    ):
        with pytest.raises(ZprlError, match=words) as error:
            policy.embed({**inputs, **change})
        assert "\n" not in str(error.value)
    with pytest.raises(ZprlError, match=r"policy\.images\.crop is 17 pixels, .* front has 16 x 16; lower it\.$"):
        make_policy(name, {"front": (16, 16, 3)}, crop=17)
    with pytest.raises(ZprlError, match=r"FlowPolicyCfg\.images\.crop must be a number above 0"):
        make_policy(name, crop=0.0)


class Embedding(nn.Module):
    """A policy's embedding with one argument per input."""

    def __init__(self, policy):
        super().__init__()
        self.policy, self.names = policy, tuple(make_inputs(policy))

    def forward(self, *inputs):
        return self.policy.embed(dict(zip(self.names, inputs, strict=True)))


@BOTH
def test_an_encoder_can_be_exported_with_a_free_batch(name):
    policy = make_policy(name, {"front": (2, 12, 12, 3), "depth": (12, 12, 1)}, channels=(4, 4))
    module, expected = Embedding(policy), policy.embed(make_inputs(policy, 5))
    two, five = (tuple(make_inputs(policy, n).values()) for n in (2, 5))
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, two, dynamic_shapes=(tuple({0: batch} for _ in two),))
    torch.testing.assert_close(program.module()(*five), expected)
    file = io.BytesIO()
    program._guards_code = []
    torch.export.save(program, file)
    check_torch_export(file.getvalue(), Path("policy.pt2"))  # it holds nothing that a bundle must not
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what depends on shapes that do not change
        traced = torch.jit.trace(module, two, check_trace=False)
    torch.testing.assert_close(traced(*five), expected)  # type: ignore[operator]


def test_onnx_runtime_gets_the_parts_of_a_resnet_in_double_precision():
    from onnxruntime import InferenceSession, SessionOptions  # type: ignore[import-not-found]

    torch.manual_seed(0)
    norm, pooling = nn.GroupNorm(2, 6), SpatialLearnedEmbeddings(6, 2, 3, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    convolution = nn.Conv2d(3, 6, 3, stride=2, padding=1)
    network = nn.Sequential(convolution, norm, nn.ReLU(), nn.MaxPool2d(3, 2, 1), pooling, nn.LayerNorm(12), nn.Tanh())
    network = network.double().eval().requires_grad_(False)
    x = torch.randn(5, 3, 7, 12, dtype=torch.float64)
    expected = network(x)
    replace_missing(network)
    torch.testing.assert_close(network(x), expected, atol=1e-6, rtol=1e-6)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = torch.onnx.export(
            network,
            (x[:2],),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None
    options = SessionOptions()
    options.log_severity_level = 3
    session = InferenceSession(exported.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-6, rtol=1e-6)


@BOTH
def test_a_policy_that_sees_survives_its_file(name, tmp_path):
    policy = make_policy(name, {"front": (2, 12, 12, 3)}, crop=9, depth_range=(0.1, 0.7))
    save_policy(tmp_path / "base.safetensors", policy)
    loaded, _ = load_policy(tmp_path / "base.safetensors")
    inputs = make_inputs(policy)
    assert loaded.cfg.images == policy.cfg.images
    assert torch.equal(loaded.act(inputs), policy.act(inputs))


def test_a_file_with_the_encoder_of_old_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "base.safetensors"
    save_policy(path, make_policy())
    content = load_tensors(path, "zprl-base-policy", "base policy")
    del content["cfg"]["images"]
    save_tensors(path, content, "zprl-base-policy", 1)
    with pytest.raises(ZprlError, match=r"has an encoder of images that this ZPRL does not know any more; train it"):
        load_policy(path)


def train(path="", name=RESNET_EMBEDDING, shapes=None, **settings):
    shapes = {"front": (12, 12, 3), "depth": (12, 12, 1)} if shapes is None else shapes
    policy = make_policy(name, shapes)
    obs = make_inputs(policy, 4)
    obs["policy"] = obs.pop(STATE)
    cfg = PretrainCfg(num_steps=1, batch_size=2, encoder_weights=str(path), **settings)
    return train_policy([obs], [torch.randn(4, 2)], policy.cfg, cfg, image_shapes=shapes).policy


def test_a_resnet_begins_with_the_convolutions_of_a_file(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(1)
    weights = resnet18().state_dict()
    save_file(weights, tmp_path / "weights.safetensors")
    embedding: Any = train(tmp_path / "weights.safetensors", learning_rate=1e-12).embedding
    front, depth = (embedding.cameras[name].backbone for name in ("front", "depth"))
    for name in ("conv1.weight", "layer1.0.conv1.weight", "layer4.1.conv2.weight", "layer2.0.downsample.0.weight"):
        torch.testing.assert_close(front.state_dict()[name], weights[name])
    assert not torch.allclose(depth.layer1[0].conv1.weight, weights["layer1.0.conv1.weight"])

    for change, words in (
        (
            {"layer3.0.conv1.weight": torch.zeros(2, 2)},
            r"holds the shape \(2, 2\) as layer3\.0\.conv1\.weight, and \(256",
        ),
        ({"conv1.weight": None}, r"is not of a ResNet18: it holds nothing as conv1\.weight"),
        ({"layer4.0.conv1.weight": weights["layer4.0.conv1.weight"] * torch.nan}, "NaN"),
    ):
        path = tmp_path / "changed.safetensors"
        save_file({key: value for key, value in {**weights, **change}.items() if value is not None}, path)
        with pytest.raises(ZprlError, match=words):
            train(path)
    with pytest.raises(ZprlError, match="begins cameras of three colours, and the policy has none"):
        train(tmp_path / "weights.safetensors", shapes={"depth": (12, 12, 1)})
    with pytest.raises(ZprlError, match=r"encoder_weights begins the encoder .*ResNetEmbedding.*set policy\.embedding"):
        train(tmp_path / "weights.safetensors", IMAGE_EMBEDDING)


def test_weights_that_could_run_code_are_not_read(tmp_path):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(ZprlError, match=r"the encoder weights .*weights\.pth are no safetensors file .*convert"):
        train(tmp_path / "weights.pth")
    with pytest.raises(ZprlError, match=r"encoder weights .*nowhere.* does not exist"):
        train(tmp_path / "nowhere")
