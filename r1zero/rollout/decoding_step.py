"""One decoding step: from each row's last token to the logits of its next.

Any causal LM does it by its own forward pass. For models built as Llama is, the same arithmetic is written out here for
one token a row, without what longer inputs need: on a CPU that takes a quarter less time for 16 rows of the embedded
model and a tenth less for 256. Linear layers are called as they are unless they are small, so adapters and casts work;
hooks on layers, attention and MLPs do not run.

Axes: R rows in flight, C hidden size, H heads (of keys and values once G is there), G queries that share a head,
S columns of the cache, D head size, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    LlamaForCausalLM,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from r1zero.rollout.kv_cache import CACHE_ARGUMENT, RowCache, has_plain_cache

# Ids and positions (R,), which columns rows may see (R, S) or None for all, and the cache, to logits (R, V).
DecodingStep = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, RowCache], torch.Tensor]
Projection = Callable[[torch.Tensor], torch.Tensor]

# Layers of Llama; Qwen's have biases, or norms of queries and keys.
LLAMA_SHAPED = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)
# Small weights that read the same input are copied side by side for one product: 3 to 8% of a step of the embedded
# model. Larger ones are not worth a copy.
MAX_JOINED_BYTES = 1 << 20


def decoding_step(model: PreTrainedModel) -> DecodingStep:
    """The step of ``model`` with its weights as they are now, and its adapters."""
    unwrap: Any = getattr(model, "get_base_model", None)  # of peft's wrapper
    base = unwrap() if unwrap else model
    attention = base.config._attn_implementation
    if type(base) in LLAMA_SHAPED and attention in ("sdpa", "eager") and has_plain_cache(base):
        return LlamaStep(base)
    return OwnStep(model)


class OwnStep:
    """The model's own forward pass.

    Args:
        model: A causal LM with a plain key-value cache.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        heads = getattr(model.config, "num_attention_heads", 1)
        self.groups_queries = getattr(model.config, "num_key_value_heads", heads) != heads

    def __call__(
        self, ids_R: torch.Tensor, position_R: torch.Tensor, mask_RS: torch.Tensor | None, cache: RowCache
    ) -> torch.Tensor:
        """Logits (R, V)."""
        # Given a mask, transformers computes the query heads that share keys in one product: on a CPU twice as fast as
        # torch's own grouping, which it uses without a mask.
        if mask_RS is None and self.groups_queries:
            mask_RS = cache.attention_mask()
        if mask_RS is not None and self.model.config._attn_implementation == "sdpa":
            mask_RS = mask_RS[:, None, None]  # in the form that attention takes, so that the model need not build it
        outputs = self.model(
            input_ids=ids_R[:, None],
            attention_mask=mask_RS,
            position_ids=position_R[:, None],
            **{CACHE_ARGUMENT: cache},
            use_cache=True,
        )
        return outputs.logits[:, -1]


@dataclass(frozen=True)
class LlamaLayer:
    """A layer's parts, looked up once.

    Attributes:
        norms: Before attention and before the MLP.
        head_norms: Of queries and of keys; None where there are none.
        project_qkv, project_gate_up: The layers that read the same input, as one product where that pays.
        num_heads: Of queries and of keys.
    """

    norms: tuple[Any, Any]
    head_norms: tuple[Any, Any] | None
    project_qkv: Projection
    project_out: Projection
    project_gate_up: Projection
    project_down: Projection
    activation: Projection
    num_heads: tuple[int, int]
    head_dim: int
    scale: float

    @classmethod
    def of(cls, layer: Any) -> "LlamaLayer":
        """The parts of a layer of one of ``LLAMA_SHAPED``."""
        attention, mlp = layer.self_attn, layer.mlp
        q, k = attention.q_proj, attention.k_proj
        return cls(
            norms=(layer.input_layernorm, layer.post_attention_layernorm),
            head_norms=(attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None,
            project_qkv=joined(q, k, attention.v_proj),
            project_out=attention.o_proj,
            project_gate_up=joined(mlp.gate_proj, mlp.up_proj),
            project_down=mlp.down_proj,
            activation=mlp.act_fn,
            num_heads=(q.out_features // attention.head_dim, k.out_features // attention.head_dim),
            head_dim=attention.head_dim,
            scale=attention.scaling,
        )


class LlamaStep:
    """The forward pass of ``LLAMA_SHAPED``, for one token a row.

    Args:
        model: One of them.
    """

    def __init__(self, model: Any) -> None:
        self.base, self.lm_head = model.model, model.lm_head
        self.layers = [LlamaLayer.of(layer) for layer in self.base.layers]

    def __call__(
        self, ids_R: torch.Tensor, position_R: torch.Tensor, mask_RS: torch.Tensor | None, cache: RowCache
    ) -> torch.Tensor:
        """Logits (R, V)."""
        x_RC = self.base.embed_tokens(ids_R)
        cos_R1D, sin_R1D = self.base.rotary_emb(x_RC, position_R[:, None])
        rotation = cos_R1D, signed(sin_R1D)
        mask_R11S = None if mask_RS is None else mask_RS[:, None, None]
        for layer, kv_layer in zip(self.layers, cache.row_layers, strict=True):
            heads = layer.project_qkv(rms_norm(x_RC, layer.norms[0])).view(len(ids_R), -1, layer.head_dim)
            num_q, num_kv = layer.num_heads
            qk_RHD, v_RHD = heads.split([num_q + num_kv, num_kv], dim=1)
            if layer.head_norms:
                parts = zip(qk_RHD.split([num_q, num_kv], dim=1), layer.head_norms, strict=True)
                qk_RHD = torch.cat([rms_norm(part, norm) for part, norm in parts], dim=1)
            q_RHD, k_RHD = rotated(qk_RHD, *rotation).split([num_q, num_kv], dim=1)
            k_RHSD, v_RHSD = kv_layer.update(k_RHD[:, :, None], v_RHD[:, :, None])
            mixed_RHGD = attend(q_RHD.unflatten(1, (num_kv, -1)), k_RHSD, v_RHSD, mask_R11S, layer.scale)
            x_RC = x_RC + layer.project_out(mixed_RHGD.reshape(len(ids_R), -1))
            gate, up = layer.project_gate_up(rms_norm(x_RC, layer.norms[1])).chunk(2, dim=-1)
            x_RC = x_RC + layer.project_down(layer.activation(gate) * up)
        logits_RV: torch.Tensor = self.lm_head(rms_norm(x_RC, self.base.norm))
        return logits_RV


def joined(*projections: Any) -> Projection:
    """All ``projections`` of one input, side by side along its last axis."""
    plain = all(type(projection) is nn.Linear for projection in projections)
    weights = [projection.weight for projection in projections] if plain else []
    small = sum(weight.numel() * weight.element_size() for weight in weights) <= MAX_JOINED_BYTES
    # Autocast keeps the cast of a parameter for the next tokens, but would cast the joined weight at every token.
    if not plain or not small or torch.is_autocast_enabled(weights[0].device.type):
        return lambda x: torch.cat([projection(x) for projection in projections], dim=-1)
    weight = torch.cat(weights)
    biases = [projection.bias for projection in projections]
    bias = None if biases[0] is None else torch.cat(biases)
    return lambda x: functional.linear(x, weight, bias)


def rms_norm(x: torch.Tensor, norm: Any) -> torch.Tensor:
    """What the module ``norm`` computes."""
    # Where not all is float32 the module itself is called, since it rounds in places of its own.
    if x.dtype is not torch.float32 or norm.weight.dtype is not torch.float32:
        return torch.as_tensor(norm(x))
    return functional.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def signed(sin_R1D: torch.Tensor) -> torch.Tensor:
    """The sines with the signs that ``rotated`` multiplies by, so that it need not negate half of its input."""
    first, second = sin_R1D.chunk(2, dim=-1)
    return torch.cat([-first, second], dim=-1)


def rotated(x_RHD: torch.Tensor, cos_R1D: torch.Tensor, signed_sin_R1D: torch.Tensor) -> torch.Tensor:
    """``x`` with its position encoded; RoPE (arXiv:2104.09864, eq. 34), the halves of D being pairs."""
    return x_RHD * cos_R1D + x_RHD.roll(x_RHD.size(-1) // 2, dims=-1) * signed_sin_R1D


def attend(
    q_RHGD: torch.Tensor, k_RHSD: torch.Tensor, v_RHSD: torch.Tensor, mask_R11S: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """What torch's ``scaled_dot_product_attention`` computes; the G queries of a key-value head see the same keys.

    On a CPU two plain products are faster for many short rows: 5% of a rollout of 256 rows of the embedded model.
    """
    if k_RHSD.device.type != "cpu" or k_RHSD.dtype is not torch.float32:
        return functional.scaled_dot_product_attention(q_RHGD.to(k_RHSD.dtype), k_RHSD, v_RHSD, mask_R11S, scale=scale)
    scores_RHGS = (q_RHGD * scale) @ k_RHSD.transpose(2, 3)
    if mask_R11S is not None:
        scores_RHGS = scores_RHGS.masked_fill(~mask_R11S, -torch.inf)
    return scores_RHGS.softmax(dim=-1) @ v_RHSD
