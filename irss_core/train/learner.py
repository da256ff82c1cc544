"""Learner: one network with its optimiser, from a loss to changed weights, and its state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from irss_core.errors import InputError
from irss_core.train.config import TrainConfig

_BETAS = (0.9, 0.999)
_AVERAGES = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of each weight
_MAX_SKIPPED = 50  # steps in a row whose gradients are not finite
_FIRST_SCALE = 2.0**12  # of an fp16 loss: it finds its own level, from here with few steps lost

Network = TypeVar("Network", bound=nn.Module)


class Learner:
    """AdamW on one network, its gradients clipped; in fp16 the loss is scaled up, for small gradients to survive."""

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        highest_rate: float,
        config: TrainConfig,
        rate_shares: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """``rate_shares``: what parts of the network, by the beginning of their names, learn at, of the rate."""
        self.name, self.network = name, network
        self._highest_rate, self._clip_norm = highest_rate, config.clip_norm
        self._named = dict(network.named_parameters())
        self._parameters = list(self._named.values())
        groups = [
            {"params": [each], "share": next((rate_shares[part] for part in rate_shares if key.startswith(part)), 1.0)}
            for key, each in self._named.items()
        ]
        self._optimizer = torch.optim.AdamW(groups, highest_rate, _BETAS, weight_decay=config.weight_decay)
        device = self._parameters[0].device
        self._scaler = torch.amp.GradScaler(device.type, init_scale=_FIRST_SCALE, enabled=config.precision == "fp16")
        self._skipped = 0

    def backward(self, loss: Tensor, *, retain_graph: bool = False) -> None:
        """Find the gradients of this network's weights, and of no other's in the same graph."""
        scaled: Tensor = self._scaler.scale(loss)
        torch.autograd.backward(scaled, inputs=self._parameters, retain_graph=retain_graph)

    def apply(self, rate_share: float) -> float:
        """Change the weights by the gradients found, and return their norm before clipping.

        A step whose gradients are not finite is left out.

        Raises:
            InputError: too many such steps in a row.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = self._highest_rate * rate_share * group["share"]
        self._scaler.unscale_(self._optimizer)
        norm = float(nn.utils.clip_grad_norm_(self._parameters, self._clip_norm))
        finite = math.isfinite(norm)
        if finite or self._scaler.is_enabled():
            self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._skipped = 0 if finite else self._skipped + 1
        if self._skipped >= _MAX_SKIPPED:
            raise InputError(
                f"The gradients of the {self.name} have not been finite for {_MAX_SKIPPED} iterations: the training "
                "has failed. Begin again with a lower learning rate, or with precision bf16 or fp32."
            )
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights and the optimiser's averages by name."""
        found = {f"{self.name}/{name}": each.detach() for name, each in self.network.state_dict().items()}
        for name, parameter in self._named.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                found[f"{self.name}.{key}/{name}"] = value
        return found

    def numbers(self) -> dict[str, Any]:
        """Return what else the next step depends on, as values for JSON."""
        return {"skipped": self._skipped, "scaler": self._scaler.state_dict()}

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go back to what ``tensors`` and ``numbers`` said.

        Raises:
            KeyError, RuntimeError: they are of another network.
        """
        self.network.load_state_dict({name: tensors[f"{self.name}/{name}"] for name in self.network.state_dict()})
        state = self._optimizer.state_dict()
        state["state"] = {  # weights that no loss has reached have none
            index: {key: tensors[f"{self.name}.{key}/{name}"].clone() for key in _AVERAGES}
            for index, name in enumerate(self._named)
            if f"{self.name}.step/{name}" in tensors
        }
        self._optimizer.load_state_dict(state)
        if self._scaler.is_enabled() and numbers["scaler"]:
            self._scaler.load_state_dict(dict(numbers["scaler"]))
        self._skipped = int(numbers["skipped"])


def placed(network: Network, device: torch.device) -> Network:
    """Return the network on the device, its weights in fp32 and channels last."""
    return network.to(device=device, dtype=torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
