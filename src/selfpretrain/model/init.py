"""Where every weight starts. One table, one generator, parameters in the order of the model.

| parameter                   | start                                              | source                          |
|-----------------------------|----------------------------------------------------|---------------------------------|
| weight and bias of a layer  | uniform within +-1/sqrt(fan-in)                    | torch's default, as Amos et al. |
| symbol embedding            | normal, standard deviation 1                       | torch's default                 |
| learned positions, cls      | normal, standard deviation .02                     | BERT (Devlin et al. 2019)       |
| norms                       | weight 1, bias 0                                   | Ba et al. (2016)                |
| query, key: ``tied``        | query = key, drawn as any layer                    | variant of Amos et al.'s code   |
| query, key: ``mimetic``     | 1.5 I + uniform noise of deviation .02; biases 0   | after Trockman and Kolter 2023  |

Amos et al.'s code ties all four attention projections by accident; ``tied`` here ties query and key, which is what
makes the starting scores positive semi-definite.
"""

import math

import torch
from torch import nn

from selfpretrain.config import QKInit
from selfpretrain.model.attention import Attention

MIMETIC_GAIN = 1.5
"""Scale of the identity in mimetic query and key weights (ours). It leaves ``scratch`` at chance in the demo, see
docs/results.md."""
SMALL_STD = 0.02


@torch.no_grad()
def initialise(model: nn.Module, qk_init: QKInit, generator: torch.Generator) -> None:
    """Set every parameter of ``model`` from one generator.

    The draws do not depend on ``qk_init``: models that differ in it alone share all their other weights.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.in_features)
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, 1.0, generator=generator)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        else:  # bare parameters: learned positions and the cls vector
            for parameter in module.parameters(recurse=False):
                parameter.normal_(0.0, SMALL_STD, generator=generator)
    for attention in (m for m in model.modules() if isinstance(m, Attention)):
        if qk_init == "tied":
            attention.key.load_state_dict(attention.query.state_dict())
        elif qk_init == "mimetic":
            for projection in (attention.query, attention.key):
                # Reuse the drawn noise, rescaled from a uniform's deviation bound/sqrt(3).
                projection.weight.mul_(SMALL_STD * math.sqrt(3.0 * projection.in_features))
                projection.weight.diagonal().add_(MIMETIC_GAIN)
                projection.bias.zero_()
