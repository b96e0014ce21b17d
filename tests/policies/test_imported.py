# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Policies of other frameworks: what was recorded of LeRobot's acts as LeRobot does, and nothing in its file can run.

``imported_fixture`` is a tiny DiffusionPolicy with actions of LeRobot's own calls, see ``make_imported_fixture.py``.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.imported_policies import linear_policy
from torch import nn

from zprl.policies import ImportedBasePolicy, make_base_policy
from zprl.policies.base import window_group
from zprl.policies.imported.bottleneck import ImportedBottleneck, ImportedBottleneckCfg, train_bottleneck
from zprl.policies.imported.lerobot import Library
from zprl.policies.imported.policy import imported_file, load_imported, save_imported
from zprl.policies.imported.program import Program, record
from zprl.policies.imported.sampler import DdimSampler
from zprl.spec import ActionTerm, Group, TaskSpec
from zprl.steering import (
    ActionResidual,
    ActionResidualCfg,
    InitialNoise,
    InitialNoiseCfg,
    LatentResidual,
    LatentResidualCfg,
    StepResidual,
    StepResidualCfg,
)
from zprl.utils.errors import ZprlError
from zprl.utils.tensor_files import load_tensors, save_tensors

FIXTURE = Path(__file__).parent / "imported_fixture"
FILE = FIXTURE / "base.safetensors"
STATE = Group.vector("policy", [("arm", 3), ("grip", 1), ("thing", 3)])
WINDOW = window_group(STATE, 2)
SPEC = TaskSpec("Toy-v0", (WINDOW,), (ActionTerm.uniform("joints", 2),), 0.05)
COLUMNS = {
    "observation.state": [["policy_window", "arm"], ["policy_window", "grip"]],
    "observation.environment_state": [["policy_window", "thing"]],
}


@pytest.fixture(scope="module")
def answers():
    return {name: torch.tensor(value) for name, value in json.loads((FIXTURE / "answers.json").read_text()).items()}


def load():
    return load_imported(FILE)[0]


def base(bottleneck=None, mode="residual", **settings):
    policy = load()
    policy.mode = mode
    for name, value in settings.items():
        setattr(policy, name, value)
    values = None if bottleneck is None else bottleneck.to_dict()
    return make_base_policy(policy, {"spec": SPEC.to_dict(), "columns": COLUMNS, "bottleneck": values})


def observed(before, now):
    """Return windows of the features, each a pair of (N, D), as the task observes them: feature by feature."""
    parts = [torch.cat([a, b], dim=1) for a, b in zip(before, now, strict=True)]
    return {"policy_window": torch.cat(parts, dim=1)}


def seen(answers, step):
    """Return arm, grip and thing at a step of the recorded episode."""
    state = answers["state"][step]
    return state[:, :3], state[:, 3:], answers["environment"][step]


OBS = {"policy_window": torch.randn(5, 14, generator=torch.Generator().manual_seed(3))}


# -- against LeRobot ---------------------------------------------------------------------------------------------------


def test_it_acts_as_lerobots_own_select_action_over_an_episode_of_three_worlds(answers):
    policy, expected = base(), answers["actions"].transpose(0, 1)  # (worlds, steps, A)
    assert policy.execute_steps == 4
    for chunk, step in enumerate((0, 4, 8)):
        obs = observed(seen(answers, max(step - 1, 0)), seen(answers, step))
        acted = policy.act(policy.encode(obs, answers["noise"][chunk]))[:, :4]
        part = expected[:, step : step + 4]
        torch.testing.assert_close(acted[:, : part.shape[1]], part, rtol=0, atol=1e-6)
    assert expected.std() > 0.05  # they are no constants


def test_an_act_does_as_well_and_has_no_noise():
    policy, _ = load_imported(FIXTURE / "act" / "base.safetensors")
    given = {name: torch.tensor(v) for name, v in json.loads((FIXTURE / "act" / "answers.json").read_text()).items()}
    columns = {key: [["policy", term] for _, term in places] for key, places in COLUMNS.items()}
    spec = dataclasses.replace(SPEC, groups=(STATE,))
    made = make_base_policy(policy, {"spec": spec.to_dict(), "columns": columns, "bottleneck": None})
    expected = given["actions"].transpose(0, 1)
    for step in (0, 4, 8):
        acted = made.act(made.encode({"policy": torch.cat(seen(given, step), dim=1)}))
        part = expected[:, step : step + 4]
        torch.testing.assert_close(acted[:, : part.shape[1]][:, :4], part, rtol=0, atol=1e-6)
    assert expected.std() > 0.05
    assert [*made.knobs] == ["actions"] and made.chunk_shape == (6, 2)
    with pytest.raises(ZprlError, match="by its noise, and this one"):
        InitialNoise(InitialNoiseCfg(), made)
    e = torch.randn(7, policy.interface.embedding_size, requires_grad=True)
    chunk = torch.rand(7, 6, 2) - 0.5
    (gradient,) = torch.autograd.grad(policy.imitation_loss(e, chunk), e)
    assert gradient.abs().max() > 0.0
    with torch.no_grad():
        own = policy.generate(e, torch.zeros(7, 6, 2))
        assert policy.imitation_loss(e, own) < 1e-6 < policy.imitation_loss(e, chunk)


def test_another_history_or_another_noise_is_another_chunk(answers):
    policy, now = base(), seen(answers, 4)
    chunks = [
        policy.act(policy.encode(observed(before, now), noise))
        for before, noise in (
            (seen(answers, 3), answers["noise"][0]),
            (now, answers["noise"][0]),
            (seen(answers, 3), answers["noise"][1]),
        )
    ]
    assert (chunks[0] - chunks[1]).abs().max() > 1e-3
    assert (chunks[0] - chunks[2]).abs().max() > 1e-3


def test_what_it_was_compared_with_stands_in_the_file():
    policy = load()
    assert policy.parity["rows"] == 64
    assert max(policy.parity["largest_errors"].values()) <= 1e-5 * policy.parity["largest_action"]
    assert (policy.source["framework"], policy.source["version"]) == ("lerobot", "0.6.1")
    assert policy.interface.features == {
        "observation.state": ["arm", "grip"],
        "observation.environment_state": ["thing"],
    }


def test_importing_and_loading_need_neither_the_simulator_nor_what_only_it_brings():
    """The environment in which a policy is imported has LeRobot and PyTorch, the one in which it acts no LeRobot."""
    program = (
        "import sys\n"
        "for name in ('lerobot', 'diffusers', 'isaaclab', 'rsl_rl', 'tensordict', 'h5py', 'hydra', 'gymnasium'):\n"
        "    sys.modules[name] = None\n"
        "import zprl.commands.import_base, zprl.policies.imported.lerobot\n"
        "from zprl.policies.imported.policy import load_imported\n"
        f"print(load_imported({str(FILE)!r})[0].source['framework'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "lerobot", done.stderr[-500:]


class Framework:
    """Stands for LeRobot: the known policy behind a queue of observations and one of actions."""

    def __init__(self, gain, bias=0.0, forgets=False):
        self.gain, self.bias, self.forgets = gain, bias, forgets
        self.reset()

    def reset(self):
        self.seen, self.actions = [], []

    def predict_action_chunk(self, batch, noise):
        values = torch.cat([batch["observation.state"], batch["observation.environment_state"]], dim=-1)
        return (0.5 * values.flatten(1) @ self.gain + self.bias)[:, None].expand(-1, 4, -1)

    def select_action(self, batch, noise):
        self.seen = [*(self.seen or [batch])[-1:], batch]
        if not self.actions:
            before, now = [batch, batch] if self.forgets else self.seen
            window = {key: torch.stack([before[key], now[key]], dim=1) for key in batch}
            self.actions = list(self.predict_action_chunk(window, noise).unbind(dim=1))
        return self.actions.pop(0)


@pytest.mark.parametrize("change", [{}, {"bias": 1e-4}, {"forgets": True}])
def test_an_import_that_acts_otherwise_than_the_framework_fails(change):
    def fail(problem):
        raise ZprlError(f"the checkpoint {problem}.")

    gain = 0.1 * torch.randn(14, 2, generator=torch.Generator().manual_seed(5))
    library = Library.__new__(Library)
    library.checkpoint = SimpleNamespace(fail=fail)  # type: ignore[assignment]
    library.family = SimpleNamespace(given=lambda window: window, takes_noise=True)  # type: ignore[assignment]
    library.policy, library.pre, library.post = Framework(gain, **change), dict, lambda actions: actions
    library.transforms = {key: {"mode": "IDENTITY"} for key in COLUMNS}
    policy = linear_policy(gain, (4, 3))
    if change:
        with pytest.raises(ZprlError, match="acts otherwise as recorded than in LeRobot, by up to"):
            library.compare(policy)
    else:
        found = library.compare(policy)
        assert found["rows"] == 64 and max(found["largest_errors"].values()) < 1e-6 < found["largest_action"]


# -- programs ----------------------------------------------------------------------------------------------------------


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(3, 8), nn.GroupNorm(2, 8), nn.Conv1d(4, 2, 3, padding=1)

    def forward(self, x, y):
        h = nn.functional.mish(self.norm(self.first(x)))
        left, right = h.view(x.shape[0], 4, 2).chunk(2, dim=-1)
        return self.second(torch.cat([left, right * y[:, :, None]], dim=-1)).flatten(1)


def recorded():
    torch.manual_seed(0)
    network = Network()
    return network, record(network, [torch.randn(3, 3), torch.randn(3, 4)], "a network")


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_program_computes_the_same_bits_for_any_batch_and_passes_gradients(rows):
    network, program = recorded()
    x, y = torch.randn(rows, 3, requires_grad=True), torch.randn(rows, 4)
    expected = network(x, y)
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    found = Program(program.content)(x, y)
    assert torch.equal(found, expected)
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], gradient)
    assert not list(program.parameters())


@pytest.mark.parametrize(
    "name", ["aten.from_file.default", "os.system", "torch.ops.aten.add.Tensor", "aten.add_.Tensor", "getattr", ""]
)
def test_a_program_calls_nothing_but_what_computes(name):
    content = recorded()[1].content
    content["lines"][0][0] = name
    with pytest.raises(ValueError, match="none of the operators that compute"):
        Program(content)


@pytest.mark.parametrize(
    "argument", [["of", 10_000], ["of", -1], ["of", True], ["eval", "1"], ["dtype", "os"], ["is", {}]]
)
def test_a_program_refuses_arguments_that_are_none(argument):
    content = recorded()[1].content
    content["lines"][0][1] = [argument]
    if argument == ["of", True]:
        content["lines"][0][1] = [["of", 1.5]]
    with pytest.raises(ValueError, match="argument"):
        Program(content)


def test_a_program_cannot_read_what_comes_later():
    content = recorded()[1].content
    content["lines"][0][1] = [["of", content["inputs"] + len(content["tensors"])]]  # its own result
    with pytest.raises(ValueError, match="argument"):
        Program(content)


def test_a_module_that_does_nothing_is_a_program_of_no_lines():
    program = record(nn.Identity(), [torch.zeros(2, 3)], "nothing")
    x = torch.randn(5, 3)
    assert program.content["lines"] == [] and torch.equal(program(x), x)


def test_a_module_that_draws_random_numbers_is_not_recorded():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    with pytest.raises(ZprlError, match=r"a policy uses the operator aten\.randn_like\.default"):
        record(Noisy(), [torch.zeros(2, 3)], "a policy")


# -- the sampler -------------------------------------------------------------------------------------------------------


def test_a_perfect_denoiser_leads_to_the_data():
    """Of data that is one point, the noise that is in x is known; DDIM then ends there from any start."""
    alphas, target = torch.linspace(0.999, 0.01, 20), torch.tensor([[[0.3, -0.7]]])
    times = (19, 12, 5, 0)
    before = torch.stack([alphas[12], alphas[5], alphas[0], torch.tensor(1.0)])

    def denoise(x, time, condition):
        alpha = alphas[time].view(-1, 1, 1)
        return (x - alpha.sqrt() * target) / (1 - alpha).sqrt()

    start = torch.randn(4, 1, 2)
    sampler = DdimSampler(alphas, times, before, "epsilon", 1.0)
    torch.testing.assert_close(sampler.sample(denoise, start, start), target.expand(4, 1, 2), rtol=0, atol=1e-5)
    generator = torch.Generator().manual_seed(0)
    assert sampler.loss(denoise, target.expand(64, 1, 2), start, generator) < 1e-8
    assert sampler.loss(lambda x, t, c: 0 * x, target.expand(4096, 1, 2), start, generator).item() == pytest.approx(
        1, abs=0.1
    )


@pytest.mark.parametrize("change", [{"times": (20,)}, {"predicts": "velocity"}, {"before": torch.ones(3)}])
def test_a_sampler_that_does_not_fit_is_refused(change):
    values = {"alphas": torch.rand(20), "times": (1,), "before": torch.ones(1), "predicts": "epsilon", "clip": None}
    with pytest.raises(ValueError, match=r"sampler|denoiser"):
        DdimSampler(**{**values, **change})


# -- steering ----------------------------------------------------------------------------------------------------------


def bottleneck(seed=0):
    torch.manual_seed(seed)
    made = ImportedBottleneck(14, 4, (16,))
    made.statistics = dict.fromkeys(("latent_mean_rms", "latent_std_rms", "embedding_rms", "recon_error_rms"), 0.5)
    return made


@pytest.mark.parametrize(
    ("kind", "cfg"),
    [
        (InitialNoise, InitialNoiseCfg()),
        (InitialNoise, InitialNoiseCfg(repeat=False)),
        (ActionResidual, ActionResidualCfg()),
        (StepResidual, StepResidualCfg()),
        (LatentResidual, LatentResidualCfg()),
    ],
)
@pytest.mark.parametrize("noise", ["zero", "fixed"])
def test_no_output_is_the_imported_policy_to_the_last_bit_and_another_is_not(kind, cfg, noise):
    plain, made = base(initial_noise=noise), base(bottleneck(), initial_noise=noise)
    alone = plain.act(plain.encode(OBS))
    steering = kind(cfg, made)
    count = steering.execute_steps
    unchanged = steering.act(steering.policy.encode(OBS), torch.zeros(5, steering.num_dims))
    steering.policy.begin_episodes()
    changed = steering.act(steering.policy.encode(OBS), torch.ones(5, steering.num_dims))
    assert torch.equal(unchanged[:, :count], alone[:, :count])
    assert (changed[:, :count] - alone[:, :count]).abs().max() > 1e-4


def test_the_two_modes_of_a_bottleneck():
    made, residual, decode = bottleneck(), base(bottleneck()), base(bottleneck(), mode="decode")
    plan = residual.encode(OBS)
    z, other = plan.latent, plan.latent + 0.3
    expected = residual.act(plan, embedding=plan.embedding + made.decode(other) - made.decode(z))
    torch.testing.assert_close(residual.act(plan, latent=other), expected, rtol=0, atol=1e-6)
    assert torch.equal(decode.act(plan, latent=other), residual.act(plan, embedding=made.decode(other)))
    assert torch.equal(decode.act(decode.encode(OBS)), residual.act(plan, embedding=made.decode(z)))
    assert (decode.act(plan) - residual.act(plan)).abs().max() > 1e-4


def test_without_a_bottleneck_there_is_no_latent():
    with pytest.raises(ZprlError, match=r"by its latent, and this one \(ImportedBasePolicy\) has none"):
        LatentResidual(LatentResidualCfg(), base())


def test_training_a_bottleneck_lowers_its_loss_and_leaves_the_policy_alone():
    policy = load()
    before = {name: value.clone() for name, value in policy.named_buffers()}
    generator = torch.Generator().manual_seed(0)
    embeddings, chunks = torch.randn(256, 14, generator=generator), torch.rand(256, 8, 2, generator=generator) - 0.5
    log = []
    cfg = ImportedBottleneckCfg(latent_dim=8, hidden_dims=(32,), num_steps=150, recon=1.0, learning_rate=5e-3)
    made = train_bottleneck(policy, embeddings, chunks, cfg, lambda step, metrics: log.append(metrics))
    assert [*log[0]] == ["imitation", "kl", "recon"] and log[-1]["recon"] < 0.8 * log[0]["recon"]
    assert 0.0 < made.statistics["recon_error_rms"] < made.statistics["embedding_rms"]
    assert all(torch.equal(value, before[name]) for name, value in policy.named_buffers())
    again = train_bottleneck(policy, embeddings, chunks, cfg)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"execute_steps": 8}, "plans 7 actions"),
        ({"initial_noise": "some"}, "zero, fixed"),
        ({"mode": "x"}, "residual, decode"),
    ],
)
def test_it_refuses_to_act_as_it_cannot(settings, words):
    with pytest.raises(ZprlError, match=words):
        base(**settings)


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_comes_back_as_it_was(tmp_path):
    policy, noise = load(), torch.randn(5, 8, 2)
    save_imported(tmp_path / "again.safetensors", policy, {"note": 1})
    again, meta = load_imported(tmp_path / "again.safetensors")
    windows = [torch.randn(5, 2, 4), torch.randn(5, 2, 3)]
    assert meta == {"note": 1} and again.interface == policy.interface
    assert torch.equal(again.generate(again.embed(windows), noise), policy.generate(policy.embed(windows), noise))


@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_a_flipped_bit_is_noticed(place, tmp_path):
    data = bytearray(FILE.read_bytes())
    data[{"start": 200, "middle": len(data) // 2, "end": len(data) - 1}[place]] ^= 1
    (tmp_path / "base.safetensors").write_bytes(data)
    with pytest.raises(ZprlError, match="checksum does not match"):
        load_imported(tmp_path / "base.safetensors")


def spoilt(change):
    content = load_tensors(FILE, "zprl-imported-base", "imported base policy")
    change(content)
    return content


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["programs"]["embed"]["lines"][0].__setitem__(0, "os.system"),
        lambda c: c["programs"].pop("denoise"),
        lambda c: c["programs"].__setitem__("denoise", c["programs"]["embed"]),
        lambda c: c["interface"].__setitem__("history", 3),
        lambda c: c["interface"].__setitem__("execute_steps", 8),
        lambda c: c["interface"].pop("frequency"),
        lambda c: c["sampler"].__setitem__("kind", "ddpm"),
        lambda c: c.__setitem__("fixed_noise", torch.zeros(8, 3)),
    ],
)
def test_a_file_that_somebody_changed_is_refused_in_a_sentence(change, tmp_path):
    save_tensors(tmp_path / "base.safetensors", spoilt(change), "zprl-imported-base", 1)
    with pytest.raises(
        ZprlError, match=r"^the imported base policy .* is malformed \(.*\); import it again\.$"
    ) as refusal:
        load_imported(tmp_path / "base.safetensors")
    assert "\n" not in str(refusal.value)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    content = spoilt(lambda c: c["programs"]["denoise"]["tensors"].__setitem__(3, torch.full((4,), torch.nan)))
    save_tensors(tmp_path / "base.safetensors", content, "zprl-imported-base", 1)
    with pytest.raises(ZprlError, match="NaN or infinity in programs/denoise/tensors/3"):
        load_imported(tmp_path / "base.safetensors")


def test_it_is_known_by_what_it_says_and_not_by_its_name(tmp_path):
    other, mine = tmp_path / "base.safetensors", tmp_path / "mine.safetensors"
    save_tensors(other, {"a": torch.zeros(2)}, "zprl-base-policy", 1)
    mine.write_bytes(FILE.read_bytes())
    (tmp_path / "text").write_text("no file of this project")
    assert imported_file(FIXTURE) == FILE and imported_file(mine) == mine
    found = [imported_file(path) for path in (other, tmp_path / "text", tmp_path / "missing", FIXTURE / "checkpoint")]
    assert found == [None] * 4


def test_it_is_a_base_policy():
    made = base()
    assert isinstance(made, ImportedBasePolicy)
    assert (made.horizon, made.chunk_shape, made.start_shape) == (7, (7, 2), (8, 2))
    assert made.noise_shape is None and base(initial_noise="sampled").noise_shape == (8, 2)
