"""HTA-KL (arXiv 2504.20445): a divergence that looks at the head and at the tail of the teacher's distribution.

The head is what the teacher holds most probable, up to half of all probability; the forward divergence minds the head
above all, the reverse one the tail, and each counts by how far the student is off there. Abstract and digests of the
paper say so; the weights are those of the divergence that it takes up, AKL (arXiv 2404.02657).
The paper's own code is not public.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

HEAD = 0.5
"""Of the teacher's probability; AKL's mu."""


def hta_divergence(target_logits: Tensor, logits: Tensor, temperature: float, head: float = HEAD) -> Tensor:
    """w KL(target || logits) + (1 - w) KL(logits || target) at one temperature, times its square: (..., K) -> (...).

    Args:
        head: a class is of the head while those before it, from the most probable on, hold less than this share; so
            the most probable one always is.

    Returns:
        Divergences with w the head's part of |target - own| summed over classes, which carries no gradient.
    """
    target = F.log_softmax(target_logits / temperature, -1)
    own = F.log_softmax(logits / temperature, -1)
    gap = (target.exp() - own.exp()).detach().abs()
    in_head = (gap * head_of(target.exp(), head)).sum(-1)
    # equal distributions have no gap; both divergences are 0 then, whatever the weight
    weight = in_head / gap.sum(-1).clamp_min(1e-12)
    forward = (target.exp() * (target - own)).sum(-1)
    reverse = (own.exp() * (own - target)).sum(-1)
    return temperature**2 * (weight * forward + (1 - weight) * reverse)


def head_of(shares: Tensor, head: float = HEAD) -> Tensor:
    """Which classes are of the head, (..., K) of 0 and 1 in the shares' type; of equal ones the first is."""
    ranked, order = shares.sort(dim=-1, descending=True, stable=True)
    before = ranked.cumsum(-1) - ranked
    found: Tensor = (before < head).to(shares).gather(-1, order.argsort(-1))
    return found
