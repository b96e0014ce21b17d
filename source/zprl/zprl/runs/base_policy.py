# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A task's base policy: found, or trained on demonstrations that are found or collected."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.data import Demonstrations, load_demonstrations
from zprl.envs.task_env import TaskEnv
from zprl.envs.windows import windowed_spec, with_windows
from zprl.policies import (
    Experience,
    FlowPolicy,
    ImportedPolicy,
    load_policy,
    make_base_policy,
    save_policy,
    spec_of,
    train_policy,
)
from zprl.policies.imported.policy import imported_file
from zprl.rl.checkpoint import SteeringCheckpoint
from zprl.runs import paths
from zprl.runs.foreign_data import import_dataset
from zprl.runs.imported import bound
from zprl.spec import TaskSpec
from zprl.utils.configclass import class_to_dict
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump, checksum, naming_errors
from zprl.utils.outputs import check_files
from zprl.utils.progress import Progress

if TYPE_CHECKING:
    from zprl.evaluation.statistics import SuccessRate
    from zprl.rl.runner_cfg import EvaluationCfg, ZprlRunnerCfg
    from zprl.runs.session import TaskSession

TRIAL_SEED_OFFSET = 500_000
"""What is added to the seed of evaluations where a policy is judged while it is being made."""


def find_or_collect(session: TaskSession, dataset_file: Path | None) -> Path:
    """Return the data set to learn from, collecting it if it is not there, inside :meth:`TaskSession.launched`.

    Args:
        session: The task.
        dataset_file: Data set of the user's own, of whatever form, or None for the one of the settings.

    Raises:
        ZprlError: If it cannot be read, belongs to another task, or does not fit the task.
    """
    path = dataset_path(session) if dataset_file is None else import_dataset(session, dataset_file)
    if dataset_file is None and not path.is_file():
        check_files({"the data set": path})
        collect(session, path)
        return path
    demos = _of_task(load_demonstrations(path), session.task)
    how = "given" if dataset_file else "found"
    print(f"demonstrations: {how} {path}, {demos.num_successes} of {demos.num_demos} succeed")
    return path


def dataset_path(session: TaskSession) -> Path:
    """Return the data set of a session's settings, whether it exists or not."""
    from zprl.tasks.experts import expert_cfg_of

    expert_cfg = expert_cfg_of(session.task)
    return paths.demonstrations_path(session.task, session.agent_cfg.demonstrations, session.env_cfg, expert_cfg)


def collect(
    session: TaskSession, path: Path, expert_cfg: Any = None, num_demos: int | None = None, kept: bool = True
) -> dict[str, Any]:
    """Collect the demonstrations of a session's settings into a file, inside :meth:`TaskSession.launched`.

    Args:
        session: The task.
        path: File to write.
        expert_cfg: The expert, or None for the task's own.
        num_demos: Number of episodes, or None for that of the settings.
        kept: Whether the file stays, so that it is said where it is.

    Returns:
        What :func:`zprl.sim.isaaclab.recording.collect_demonstrations` does.
    """
    from zprl.runs.simulators import recording_of
    from zprl.tasks.experts import make_expert

    recording: Any = recording_of(session.env_cfg)

    demos, start = session.agent_cfg.demonstrations, time.perf_counter()
    count = num_demos or demos.num_demos

    def configure(cfg: Any) -> None:
        cfg.seed = demos.seed
        recording.record_into_memory(cfg, session.task)

    with (
        session.environment(recording.worlds_for(count), configure) as env,
        Progress(count, f"collecting {demos.quality} demonstrations", "episode") as progress,
    ):
        simulated: Any = env
        expert = make_expert(session.task, simulated.unwrapped, demos.quality, demos.seed, expert_cfg)
        result = recording.collect_demonstrations(env, expert, path, count, demos.quality, demos.seed, progress.advance)
    print(
        f"demonstrations: {result['successes']} of {count} succeed, {result['env_steps']:,} env steps in "
        f"{time.perf_counter() - start:.0f} s{_place(path, kept)}"
    )
    return result


def find_or_train(session: TaskSession, dataset: Path) -> Path:
    """Return the base policy of a session's settings, training it on a data set if it is not there."""
    path = paths.base_policy_path(session.task, session.agent_cfg, dataset)
    if path.is_file():
        print(f"base policy: found {path}")
    else:
        check_files({"the base policy": path})
        pretrain_in_simulation(session, dataset, path)
    return path


def pretrain_in_simulation(session: TaskSession, dataset: Path, path: Path, kept: bool = True) -> None:
    """Train the base policy of a session's settings, inside :meth:`TaskSession.launched`; see :func:`pretrain`.

    Where ``pretrain.eval_interval`` asks for it, the policy is evaluated in the task on the way.
    """
    cfg, env = session.agent_cfg, contextlib.nullcontext(None)
    if cfg.pretrain.eval_interval:
        env = session.environment(min(session.env_cfg.scene.num_envs, cfg.pretrain.eval_episodes))
    with env as evaluated:
        pretrain(session.task, cfg, dataset, path, session.device, kept, evaluated)


def pretrain(
    task: str,
    cfg: ZprlRunnerCfg,
    dataset: Path,
    path: Path,
    device: str = "cpu",
    kept: bool = True,
    env: TaskEnv | None = None,
) -> None:
    """Train a base policy on a data set and save it.

    Args:
        task: Task id.
        cfg: Settings, of which ``policy`` and ``pretrain`` count.
        dataset: The data set.
        path: File to write.
        device: Device to train on.
        kept: Whether the file stays, so that it is said where it is.
        env: Where ``pretrain.eval_interval`` has the policy evaluated; needed by that alone.

    Raises:
        ZprlError: If the data set is of another task or cannot be read, training diverges, or there is no
            environment to evaluate in.
    """
    from torch.utils.tensorboard import SummaryWriter

    demos, sha256 = _of_task(load_demonstrations(dataset), task), checksum(dataset)
    spec, start = demos.spec.seen_by(cfg.policy.observation_groups), time.perf_counter()
    if env is not None:
        env.spec.require_match(spec, f"the data set {dataset}")
    elif cfg.pretrain.eval_interval:
        raise ZprlError(
            "pretrain.eval_interval evaluates the policy in its task, and there is no environment; set it to 0."
        )
    observations = [episode.observations for episode in demos.episodes]
    actions = [episode.actions for episode in demos.episodes]
    steps, rest = cfg.pretrain.num_steps, cfg.pretrain.bottleneck_steps
    with Progress(steps + rest, "training the base policy", "step") as progress:

        def advance(step: int, total: int, metrics: dict[str, float]) -> None:
            success = f", success {100 * metrics['success']:.0f}%" if "success" in metrics else ""
            progress.advance(step - progress.done, f"flow {metrics['flow']:.3f}, KL {metrics['kl']:.2f}{success}")

        def evaluate(policy: FlowPolicy) -> dict[str, float]:
            assert env is not None
            # Of scales that no residual is drawn with.
            meta = {"spec": spec.to_dict(), "latent_statistics": {"latent_mean_rms": 1.0, "embedding_rms": 1.0}}
            return {"success": trial_success(env, policy, meta, cfg.evaluation, cfg.pretrain.eval_episodes).rate}

        try:
            policy, history, latent = train_policy(
                observations,
                actions,
                cfg.policy,
                cfg.pretrain,
                demos.spec.action_limits(),
                device,
                advance,
                {group.name: group.shape for group in demos.spec.groups if group.is_image},
                [group for group in demos.spec.privileged if group.name not in cfg.policy.observation_groups],
                evaluate if env is not None else None,
            )
        except ValueError as error:
            raise ZprlError(f"the base policy cannot be trained on {dataset}: {error}") from error
    latents = latent["latent_mean_average_per_dim"], latent["latent_mean_deviation_per_dim"]
    met = Experience.of(observations, actions, demos.num_steps, *latents)
    meta = {
        "spec": spec.to_dict(),
        "latent_statistics": latent,
        "dataset": str(dataset),
        "demonstrations": {"sha256": sha256, "num_demos": demos.num_demos, "experience": met.to_dict()},
        "pretrain": class_to_dict(cfg.pretrain),
        "history": history,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_policy(path, policy, meta)
    # TensorBoard shows this training instead of an earlier one of the same file.
    with naming_errors(path.parent), SummaryWriter(str(path.parent), purge_step=0) as writer:
        for entry in history:
            for name, value in entry.items():
                if name != "step":
                    writer.add_scalar(f"Pretrain/{name}", value, int(entry["step"]))
    last = history[-1]
    print(
        f"base policy: {steps} steps{f' and {rest} of the bottleneck alone' if rest else ''} in "
        f"{time.perf_counter() - start:.0f} s, flow loss "
        f"{last['flow']:.3f} plain and {last['flow_bottleneck']:.3f} through the bottleneck, RMS(z) "
        f"{latent['latent_mean_rms']:.2f}{_probed(last)}{_place(path, kept)}"
    )


def load_base(
    session: TaskSession, source: Path | SteeringCheckpoint, spec: TaskSpec | None = None
) -> tuple[FlowPolicy | ImportedPolicy, dict[str, Any]]:
    """Load a base policy with a session's inference settings, which a checkpoint's own become.

    Args:
        session: The task.
        source: The base policy's file, or a checkpoint that steers it.
        spec: Spec that it must match, or None to skip the check, which one that was imported needs.

    Returns:
        The policy, on the CPU, and what was saved with it.

    Raises:
        ZprlError: If it cannot be read or does not match.
    """
    if isinstance(source, SteeringCheckpoint):
        if spec is not None:
            windowed_spec(spec, source.acting_spec).require_match(source.acting_spec, f"the checkpoint {source.path}")
        return session.take_over_policy(source), source.policy_meta
    if (file := imported_file(source)) is not None:
        if spec is None:
            raise ZprlError(f"{file} is a policy of another framework, which this command cannot take.")
        policy, meta = bound(session, file, spec)
        theirs = spec_of(meta, f"the policy {file}")
        windowed_spec(spec, theirs).require_match(theirs, f"the policy {file}")
        session.apply_inference_settings(policy)
        return policy, meta
    policy, meta = load_policy(source)
    if spec is not None:
        spec.require_match(spec_of(meta, f"the base policy {source}"), f"the base policy {source}")
    session.apply_inference_settings(policy)
    return policy, meta


def trial_success(
    env: TaskEnv, policy: FlowPolicy | ImportedPolicy, meta: Mapping[str, Any], cfg: EvaluationCfg, episodes: int
) -> SuccessRate:
    """Return how often a base policy that is being made succeeds through its bottleneck.

    The episodes are not those of any evaluation that is reported, so that nothing is chosen by those.

    Args:
        env: Environment, whose state is overwritten.
        policy: The policy, in evaluation mode.
        meta: What is saved with it.
        cfg: Settings of the evaluations that are reported.
        episodes: Number of episodes.
    """
    from zprl.evaluation.rollout import Evaluator
    from zprl.evaluation.statistics import success_rate
    from zprl.steering import ChunkPolicy

    base = make_base_policy(policy, meta, env.device)
    chunks = ChunkPolicy(base, base.act, base.mixes_rows("latent"))
    results = Evaluator(env, base.execute_steps).run(chunks, episodes, cfg.seed + TRIAL_SEED_OFFSET, base.noise_shape)
    return success_rate(results.successes)


def check_bottleneck(
    env: TaskEnv, policy: FlowPolicy | ImportedPolicy, meta: dict[str, Any], cfg: EvaluationCfg, path: Path
) -> dict[str, Any]:
    """Compare a base policy, ``path``, with and without its bottleneck on the evaluation's initial states.

    Of an imported policy the decoded latent is compared, however its bottleneck is going to be used. The result is
    saved beside the file, as JSON.
    """
    from zprl.evaluation.rollout import Evaluator, bottleneck_gap

    mode = ""
    if isinstance(policy, ImportedPolicy):
        mode, policy.mode = policy.mode, "decode"
    base = make_base_policy(policy, meta, env.device)
    env = with_windows(env, base.spec)
    gap = bottleneck_gap(Evaluator(env, base.execute_steps), base, cfg.episodes, cfg.seed)
    atomic_json_dump({**gap, "seed": cfg.seed, "initial_noise": base.initial_noise}, path.with_suffix(".json"))
    cost, low, high = (100 * gap[name] for name in ("gap", "gap_low", "gap_high"))
    verdict = f"costs {cost:.1f} points [{low:.1f}, {high:.1f}]"
    if low > 5.0:
        verdict += ", clearly MORE than 5"
    print(
        f"base policy: succeeds in {100 * gap['bottleneck']['rate']:.1f}% through the bottleneck, "
        f"{100 * gap['plain']['rate']:.1f}% without it (the bottleneck {verdict}; {cfg.episodes} episodes, initial "
        f"noise {base.initial_noise})"
    )
    if isinstance(policy, ImportedPolicy):
        policy.mode = mode
        if mode == "residual":
            print("base policy: agent.imported.mode is residual, so that it costs nothing: u = 0 is the policy itself")
    return gap


def _probed(entry: dict[str, float]) -> str:
    """Return what an entry of a training's history says of privileged features, or ""."""
    errors: dict[str, dict[str, float]] = {}
    for name, value in entry.items():
        if name.startswith("probe/"):
            _, feature, source = name.split("/")
            errors.setdefault(feature, {})[source] = value
    parts = [
        f"{feature} {by['embedding']:.3g} from e, {by['latent']:.3g} from z, {by['state']:.3g} from the state alone"
        for feature, by in errors.items()
    ]
    return f"; RMS errors of linear read-outs: {'; '.join(parts)}" if parts else ""


def _place(path: Path, kept: bool) -> str:
    return f", written to {path}" if kept else ""


def _of_task(demos: Demonstrations, task: str) -> Demonstrations:
    if demos.task != task:
        raise ZprlError(f"the data set {demos.path} belongs to task {demos.task}, not to {task}.")
    return demos
