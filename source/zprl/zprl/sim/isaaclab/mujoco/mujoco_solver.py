# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Newton's MuJoCo solver with MuJoCo's own CPU engine in place of MuJoCo-Warp."""

# mujoco's compiled modules describe themselves to no type checker.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable
from importlib.metadata import version

import mujoco
import numpy as np
import warp as wp
from mujoco.rollout import Rollout
from newton import BodyFlags, Contacts, Control, JointType, Model, ModelFlags, State
from newton.solvers import SolverMuJoCo

from zprl.sim.isaaclab.mujoco.kinematic_bodies import KinematicBodies
from zprl.sim.isaaclab.mujoco.model_properties import read_joint_places
from zprl.sim.isaaclab.mujoco.world_models import WorldModels, free_positions
from zprl.utils.errors import ZprlError
from zprl.utils.processes import num_cores

logger = logging.getLogger(__name__)

LARGEST_VALUE = 1e10
"""MuJoCo takes a position, velocity or acceleration beyond this for diverged (its ``mjMAXVAL``)."""

_State = mujoco.mjtState


class MujocoSolver(SolverMuJoCo):
    """Steps all worlds with MuJoCo's CPU engine, on several threads.

    Newton still builds the model and converts between its state and MuJoCo's coordinates; the arrays in between belong
    to MuJoCo-Warp and lie in the CPU's memory, where NumPy sees them without a copy. Every world starts every call from
    its state alone, so neither the number of threads nor the other worlds change a single bit of the result.

    MuJoCo by itself would put a diverged world back to its initial state, unseen by the task. Here it becomes NaN, as
    with MuJoCo-Warp, until the task resets it; :attr:`num_diverged` counts these worlds.

    Args:
        model: Newton's model, on the CPU.
        threads: Number of threads, or 0 for one per core; several processes of a training share the cores.
        **options: Options of :class:`newton.solvers.SolverMuJoCo`.
    """

    def __init__(self, model: Model, threads: int = 0, **options: object) -> None:
        super().__init__(model, **options)  # type: ignore[arg-type]
        if threads < 0:
            raise ZprlError(f"physics=mujoco needs 0 threads (one per core) or more, not {threads}.")
        self.num_threads = threads or num_cores()
        self.num_diverged = 0
        # A velocity target of a ball joint is turned with the joint's orientation, so it changes within a step.
        self.inputs_are_constant = int(JointType.BALL) not in model.joint_type.numpy()  # type: ignore[union-attr]

        template = self.mj_model
        template.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        self._layout = _Layout(template)
        # Beside positions and velocities, nothing else of a world goes on from one step to the next.
        self.has_activations = template.na > 0
        self._changes = 0
        bodies, flags = self.mjc_body_to_newton.numpy()[0], self.model.body_flags.numpy()  # type: ignore[union-attr]
        self._kinematic = KinematicBodies(template, (bodies >= 0) & (flags[bodies] & int(BodyFlags.KINEMATIC) != 0))
        # Nothing that MuJoCo-Warp would derive into fields which also hold what a user sets.
        self._derives_alike = (
            not self._kinematic
            and template.neq == template.ntendon == 0
            and not (self.mjw_model.actuator_biasprm.numpy()[..., 2] > 0.0).any()  # a damping ratio
            and len(self.mjw_model.dof_invweight0) == self.mjw_data.nworld
        )
        self._models = WorldModels(template, self.mjw_data.nworld)
        self._update_models()
        self._data = [mujoco.MjData(template) for _ in range(self.num_threads)]
        self._rollout = Rollout(nthread=self.num_threads if self.num_threads > 1 else 0)
        self._buffers: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._views: dict[str, tuple[wp.array, np.ndarray]] = {}
        # Otherwise MuJoCo appends each warning to a file in the working directory.
        mujoco.set_mju_user_warning(logger.debug)

    def advance(self, state: State, control: Control, dt: float, steps: int) -> None:
        """Take several steps under the same command, forces and mocap poses.

        Args:
            state: Newton's state, replaced by the one after the steps.
            control: Newton's command.
            dt: Duration of a step [s].
            steps: Number of steps.
        """
        with wp.ScopedDevice(self.model.device):
            self._take_over_changes()
            self._apply_mjc_control(self.model, state, control, self.mjw_data)
            self._update_mjc_data(self.mjw_data, self.model, state)
            self._step_worlds(dt, steps)
            self._update_newton_state(self.model, state, self.mjw_data, state_prev=state)
        self._step += steps

    def step(self, state_in: State, state_out: State, control: Control, contacts: Contacts, dt: float) -> None:
        """Take one step; see :class:`newton.solvers.SolverMuJoCo`."""
        if state_out is not state_in:
            state_out.assign(state_in)
        self.advance(state_out, control, dt, steps=1)

    def notify_model_changed(self, flags: ModelFlags | int) -> None:
        """Take over changed masses, frictions, gains and the like; see :class:`newton.solvers.SolverMuJoCo`.

        They are taken over at the next step, together: Isaac Lab reports each kind of change by itself, and deriving
        what depends on them is dear.
        """
        if hasattr(self, "_models"):
            self._changes |= int(flags)
        else:  # Newton calls this during construction too.
            super().notify_model_changed(flags)

    def _take_over_changes(self) -> None:
        if self._changes:
            changes, self._changes = self._changes, 0
            # Moving the root of a fixture reads as a change of joints, but ends in a mocap pose, which is an input.
            only_joints = changes == int(ModelFlags.JOINT_PROPERTIES)
            before = read_joint_places(self.mjw_model) if only_joints else []
            super().notify_model_changed(changes)
            if not only_joints or not _same(before, read_joint_places(self.mjw_model)):
                self._update_models()

    def _update_models(self) -> None:
        self._models.update(self.mjw_model)
        if self._kinematic:  # the mean inertia must not see their lock
            self._models.take_mean_inertia(self.mjw_model)

    def _set_const_0_with_physical_meaninertia(self) -> None:
        """Derive inertias at the reference posture, as a part of taking over changes.

        MuJoCo-Warp would do so for all worlds, with hundreds of small launches; MuJoCo does so where something changed.
        """
        if hasattr(self, "_models") and self._derives_alike:
            self._models.derive(self.mjw_model)
        else:
            super()._set_const_0_with_physical_meaninertia()

    def _step_worlds(self, dt: float, steps: int) -> None:
        """Take steps from the state in MuJoCo-Warp's arrays, and leave the new state there."""
        layout, origins = self._layout, self._models.origins
        coordinates = {name: self._view(name) for name in layout.state}
        inputs = layout.inputs if any(self._view(name).any() for name in _FORCES) else layout.forceless
        initial, control, states = self._buffers_for(steps, inputs)
        initial[:, layout.time] = 0.0
        for name, values in coordinates.items():
            initial[:, layout.state[name]] = values
        for name, part in inputs.parts.items():
            control[:, :, part] = self._view(name).reshape(len(initial), 1, -1)
        if origins is not None:
            layout.move(initial, -origins)
            inputs.move(control, -origins)

        healthy = _healthy(initial) & _healthy(control[:, 0])
        if not healthy.all():
            initial[~healthy] = layout.rest_state
            control[~healthy] = inputs.rest
        final = self._roll_out(initial, control, states, inputs.spec, dt)
        healthy &= _healthy(final)
        if not healthy.all():
            self._report_diverged(~healthy & np.isfinite(coordinates["qpos"]).all(axis=1))
            final[~healthy] = np.nan
        if origins is not None:
            layout.move(final, origins)
        for name, values in coordinates.items():
            values[:] = final[:, layout.state[name]]

    def _view(self, name: str) -> np.ndarray:
        """Return one of MuJoCo-Warp's arrays as NumPy's, over the same memory."""
        array: wp.array = getattr(self.mjw_data, name)
        if name not in self._views or self._views[name][0] is not array:
            self._views[name] = (array, array.numpy())
        return self._views[name][1]

    def _buffers_for(self, steps: int, inputs: _Inputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the initial states, the controls of all steps and the states after them, all of all worlds."""
        key = (steps, inputs.spec)
        if key not in self._buffers:
            worlds, size = self.mjw_data.nworld, self._layout.state_size
            shapes = ((worlds, size), (worlds, steps, inputs.size), (worlds, steps, size))
            self._buffers[key] = (np.zeros(shapes[0]), np.zeros(shapes[1]), np.zeros(shapes[2]))
        return self._buffers[key]

    def _roll_out(
        self, initial: np.ndarray, control: np.ndarray, states: np.ndarray, spec: int, dt: float
    ) -> np.ndarray:
        """Return the worlds' states after the steps, shape (worlds, state_size)."""
        steps, models = control.shape[1], self._models.of_worlds(dt)
        moving = self._kinematic.moving(initial)
        if not moving.any():
            return self._take_steps(models, initial, control, states, spec, dt)
        now = initial.copy()
        for worlds, stride in ((np.flatnonzero(~moving), steps), (np.flatnonzero(moving), 1)):
            for start in range(0, steps if len(worlds) else 0, stride):
                part, after = control[worlds, start : start + stride], np.empty_like(states[worlds, :stride])
                theirs = [models[world] for world in worlds]
                now[worlds] = self._take_steps(theirs, now[worlds], part, after, spec, dt)
                now[:, self._layout.time] = 0.0
                self._kinematic.hold(now, initial)
        return now

    def _take_steps(
        self, models: list, initial: np.ndarray, control: np.ndarray, states: np.ndarray, spec: int, dt: float
    ) -> np.ndarray:
        """Return the states of worlds after the steps, shape (worlds, state_size)."""
        steps = control.shape[1]
        self._call(models, initial, control, states, spec)
        final = states[:, -1]
        # The engine holds a world still from its first warning on. Of a world that has not diverged, it means that a
        # buffer was full or an inertia singular, where MuJoCo-Warp goes on, so this does too.
        late = np.rint(steps - final[:, self._layout.time] / dt).astype(int)
        if late.any():
            for world in np.flatnonzero((late > 0) & _healthy(final)):
                for step in range(steps - late[world], steps):
                    now, after = final[world : world + 1].copy(), states[world : world + 1, :1]
                    self._call([models[world]], now, control[world : world + 1, step : step + 1].copy(), after, spec)
                    final[world] = after[0, 0]
        return final

    def _call(self, models: list, initial: np.ndarray, control: np.ndarray, states: np.ndarray, spec: int) -> None:
        self._rollout.rollout(
            models,
            self._data,
            initial,
            control,
            control_spec=spec,
            skip_checks=True,
            nstep=control.shape[1],
            state=states,
        )

    def _report_diverged(self, new: np.ndarray) -> None:
        """Count worlds that diverged in this call, and say so when the count doubles."""
        before, self.num_diverged = self.num_diverged, self.num_diverged + int(new.sum())
        if self.num_diverged.bit_length() > before.bit_length():
            logger.warning(
                "MuJoCo: %d world(s) diverged so far, last world %d; a diverged world is NaN until the task resets it.",
                self.num_diverged,
                np.flatnonzero(new)[-1],
            )


_FORCES = ("qfrc_applied", "xfrc_applied")
"""Inputs that the engine takes for zero where they are not given."""

_INPUTS = {
    "ctrl": _State.mjSTATE_CTRL,
    "qfrc_applied": _State.mjSTATE_QFRC_APPLIED,
    "xfrc_applied": _State.mjSTATE_XFRC_APPLIED,
    "eq_active": _State.mjSTATE_EQ_ACTIVE,
    "mocap_pos": _State.mjSTATE_MOCAP_POS,
    "mocap_quat": _State.mjSTATE_MOCAP_QUAT,
}


class _Layout:
    """Where each quantity lies in the engine's vectors, which are MuJoCo's mjtState in bit order.

    Most of the inputs of a scene are the forces on its bodies, which hardly anybody applies, so there are two layouts
    of the inputs: of all, and of those that are not forces.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.time = 0
        ends = np.cumsum([1, model.nq, model.nv, model.na])
        self.state = {
            name: slice(start, end)
            for name, start, end in zip(("qpos", "qvel", "act"), ends[:-1], ends[1:], strict=True)
        }
        self.state_size = mujoco.mj_stateSize(model, int(_State.mjSTATE_FULLPHYSICS))
        if self.state_size != ends[-1]:
            raise ZprlError(
                "physics=mujoco supports no MuJoCo plugins and no actuator delays; choose physics=newton_mjwarp."
            )
        self.rest_state = np.empty(self.state_size)
        mujoco.mj_getState(model, mujoco.MjData(model), self.rest_state, int(_State.mjSTATE_FULLPHYSICS))
        self.inputs = _Inputs(model, _INPUTS)
        self.forceless = _Inputs(model, [name for name in _INPUTS if name not in _FORCES])
        self._free_positions = ends[0] + free_positions(model)

    def move(self, state: np.ndarray, offset: np.ndarray) -> None:
        """Move all positions that are given in world coordinates.

        Args:
            state: State vectors, shape (worlds, state_size), changed in place.
            offset: Offset of each world [m], shape (worlds, 3).
        """
        for columns in self._free_positions:
            state[:, columns] += offset


class _Inputs:
    """Where each of some inputs lies in vectors of them.

    Args:
        model: The model.
        names: The inputs, of which the model may lack some.
    """

    def __init__(self, model: mujoco.MjModel, names: Iterable[str]) -> None:
        self.parts: dict[str, slice] = {}
        self.spec, self.size = 0, 0
        for name in names:
            size = mujoco.mj_stateSize(model, int(_INPUTS[name]))
            if size:
                self.parts[name] = slice(self.size, self.size + size)
                self.spec |= int(_INPUTS[name])
                self.size += size
        self.rest = np.empty(self.size)
        mujoco.mj_getState(model, mujoco.MjData(model), self.rest, self.spec)

    def move(self, control: np.ndarray, offset: np.ndarray) -> None:
        """Move all positions that are given in world coordinates.

        Args:
            control: Vectors of inputs, shape (worlds, steps, size), changed in place.
            offset: Offset of each world [m], shape (worlds, 3).
        """
        if "mocap_pos" in self.parts:
            part = control[:, :, self.parts["mocap_pos"]]
            part += np.tile(offset, part.shape[-1] // 3)[:, None]


def check_installed_versions() -> None:
    """Check that Newton's solver is the one that :class:`MujocoSolver` fits into.

    Raises:
        ZprlError: If a function that it relies on is missing or takes other arguments.
    """
    for name, arguments in _SEAM.items():
        function = getattr(SolverMuJoCo, name, None)
        if function is None or list(inspect.signature(function).parameters) != arguments.split():
            raise ZprlError(
                f"physics=mujoco does not fit newton {version('newton')} with mujoco {version('mujoco')}, whose"
                f" SolverMuJoCo.{name} has changed; install the versions in constraints.txt or choose"
                " physics=newton_mjwarp."
            )


_SEAM = {
    "_apply_mjc_control": "self model state control mj_data",
    "_update_mjc_data": "self mj_data model state world_mask",
    "_update_newton_state": "self model state mj_data state_prev",
    "_set_const_0_with_physical_meaninertia": "self",
    "notify_model_changed": "self flags",
    "step": "self state_in state_out control contacts dt",
}
"""Private functions of Newton's solver, and their arguments."""


def _same(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, before, after))


def _healthy(vectors: np.ndarray) -> np.ndarray:
    """Return which rows are finite and within MuJoCo's range; a comparison with NaN is false."""
    sizes = np.abs(vectors)
    if sizes.max(initial=0.0) < LARGEST_VALUE:  # the usual case, in a tenth of the time
        return np.ones(len(vectors), bool)
    return (sizes < LARGEST_VALUE).all(axis=1)
