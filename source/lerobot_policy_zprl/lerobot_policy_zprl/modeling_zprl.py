# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An exported policy as LeRobot runs it."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Any, NoReturn

import numpy as np
import onnxruntime
import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor

from lerobot_policy_zprl.configuration_zprl import InputPart, ZprlConfig


class ZprlPolicy(PreTrainedPolicy):
    """A steered policy, from raw observations to chunks of raw actions.

    Args:
        config: Its configuration.
        arguments: What LeRobot says of data sets, which is not needed.
    """

    config_class = ZprlConfig  # type: ignore[assignment]
    name = "zprl"  # type: ignore[assignment]

    def __init__(self, config: ZprlConfig, **arguments: Any) -> None:
        super().__init__(config)
        self.config: ZprlConfig = config
        config.validate_features()
        self.register_buffer("onnx", torch.zeros(config.model_bytes, dtype=torch.uint8))
        self._session: onnxruntime.InferenceSession | None = None
        self._queue: deque[Tensor] = deque()

    def reset(self) -> None:
        """Forget the chunk: an episode begins."""
        self._queue.clear()

    @torch.no_grad()
    def select_action(self, batch: dict[str, Tensor], **arguments: Any) -> Tensor:
        """Return the next action (B, A); a chunk is planned where the last one has been executed."""
        self.eval()
        if not self._queue:
            chunk = self.predict_action_chunk(batch, **arguments)
            self._queue.extend(chunk[:, : self.config.execute_steps].transpose(0, 1))
        return self._queue.popleft()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Tensor], **arguments: Any) -> Tensor:
        """Return a chunk of actions (B, horizon, A).

        Raises:
            ValueError: If noise is given: the model begins where it was exported to begin.
        """
        if arguments.get("noise") is not None:
            raise ValueError("this policy begins its flow where it was exported to begin; it takes no noise.")
        inputs = {name: self._input(name, parts, batch) for name, parts in self.config.model_inputs.items()}
        (chunk,) = self._model().run(None, inputs)
        device = batch[next(iter(self.config.model_inputs.values()))[0].key].device
        return torch.from_numpy(chunk).to(device)

    def _input(self, name: str, parts: list[InputPart], batch: dict[str, Tensor]) -> np.ndarray:
        """Return one of the model's inputs: float32 (B, D), or bytes as a camera gives them, (B, height, width, C)."""
        if name not in self.config.image_inputs:
            values = [batch[part.key].flatten(1)[:, part.start : part.stop] for part in parts]
            return torch.cat(values, dim=1).to("cpu", torch.float32).numpy()
        image = batch[parts[0].key].movedim(-3, -1)  # LeRobot has channels first, in [0, 1]
        if image.dtype != torch.uint8:
            image = (image * 255.0).round().to(torch.uint8)
        return np.ascontiguousarray(image.cpu().numpy())

    def _model(self) -> onnxruntime.InferenceSession:
        """Return the model, which is checked and opened when it is needed first."""
        if self._session is None:
            content = self.onnx.cpu().numpy().tobytes()  # type: ignore[operator]
            if hashlib.sha256(content).hexdigest() != self.config.model_sha256:
                raise ValueError("model.safetensors does not hold the model that config.json names; export it again.")
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return self._session

    def get_optim_params(self) -> dict:
        """Nothing is trained here."""
        return {}

    def forward(self, batch: dict[str, Tensor]) -> NoReturn:
        """Refuse to be trained.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("policies of type zprl are trained by ZPRL; here they act.")
