"""Four ways to make the same optimiser steps: ours, Hugging Face's Trainer, a plain loop, and the bare products.

Each function takes a ``Size`` and a phase and returns ``Steps``, which makes some steps and says how long they took.
The first three train an encoder of the same depth, width, heads and feed-forward width on the same rows, with fused
AdamW and the same gradient clipping. The floor only multiplies the matrices and computes the attention that such a step
cannot do without, forward and backward.
"""

import importlib.util
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfpretrain.comparison.request import Request
from selfpretrain.config import PhaseName
from selfpretrain.data.task import Split, Task
from selfpretrain.errors import RequestError
from selfpretrain.train.loop import ADAM_BETAS, TrainState, make_optimizers, update
from selfpretrain.train.training import Training
from selfpretrain.train.work import prepared

RIVALS = ("transformers", "accelerate")
"""Packages to be measured against."""
Steps = Callable[[int], float]
"""Makes so many optimiser steps; gives the seconds that they took."""
WARM_STEPS = 2
"""Steps of the Trainer before the clock starts, at every call (ours)."""
EVALUATED_ROWS = 256
"""Rows at a time in an evaluation by the Trainer (ours)."""
IGNORED = -100
"""The class of positions that count in no loss, in torch and in transformers."""


@dataclass(frozen=True)
class Size:
    """A model and data at which steps are timed.

    Attributes:
        is_ragged: whether the sequences have different lengths.
    """

    name: str
    request: Request
    is_ragged: bool = False

    @property
    def task(self) -> Task:
        return self.request.task

    def training(self, phase: PhaseName) -> Training:
        """A training without validations."""
        make = self.request.pretraining if phase == "pretrain" else self.request.labels
        training = make(0, self.request.config.train.lr[0])
        return replace(training, plan=replace(training.plan, steps=2**40, evaluate_every=2**40))

    @property
    def vocabulary(self) -> int:
        """Symbols, the one for padding and the one for what is masked."""
        return self.task.inputs.symbols + 2


def rows_of(split: Split) -> list[dict[str, Any]]:
    """The symbols of every sequence and its class."""
    sequences = (x[:length].astype(np.int64) for x, length in zip(split.x, split.lengths, strict=True))
    return [{"input_ids": x, "label": int(y)} for x, y in zip(sequences, split.y, strict=True)]


def collate(
    rows: list[dict[str, Any]], vocabulary: int, mask_ratio: float | None, *, padded: bool
) -> dict[str, Tensor]:
    """A batch for the Trainer or the plain loop, padded to its longest sequence.

    Args:
        mask_ratio: share of positions to hide and to predict; None: the class is asked for.
    """
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), longest), vocabulary - 2)
    for number, row in enumerate(rows):
        ids[number, : len(row["input_ids"])] = torch.from_numpy(row["input_ids"])
    real = ids != vocabulary - 2
    batch = {"input_ids": ids, "attention_mask": real.long()} if padded else {"input_ids": ids}
    if mask_ratio is None:
        return {**batch, "labels": torch.tensor([row["label"] for row in rows])}
    hidden = (torch.rand(ids.shape) < mask_ratio) & real
    return {**batch, "labels": ids.masked_fill(~hidden, IGNORED), "input_ids": ids.masked_fill(hidden, vocabulary - 1)}


def ours(size: Size, phase: PhaseName) -> Steps:
    """The training loop of this package, batches and masks included."""
    training = size.training(phase)
    model, objective, feed, forward = prepared(training, size.task)
    state = TrainState(make_optimizers(model, training.plan))

    def steps(n: int) -> float:
        begun = time.perf_counter()
        for _ in range(n):
            loss, _ = update(model, objective, feed.batch(state.step), training, state, forward)
            state.step += 1
        loss.item()  # waits for an accelerator
        return time.perf_counter() - begun

    return steps


def hugging_face(
    size: Size, training: Training, folder: str, *, steps: int, evaluate_every: int | None = None, **more: Any
) -> Any:
    """Hugging Face's Trainer with BERT of the same size: fused AdamW, fused attention, no logs, no dropout.

    Args:
        folder: where it writes.
        evaluate_every: steps between evaluations on the validation split; None: there are none.
        **more: arguments of the Trainer.
    """
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        BertForSequenceClassification,
        PrinterCallback,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    is_masked, model, plan = training.phase == "pretrain", size.request.model, training.plan
    mask_ratio = size.request.config.objective.mask_ratio if is_masked else None
    set_seed(training.seed)
    bert = BertConfig(
        vocab_size=size.vocabulary,
        hidden_size=model.width,
        num_hidden_layers=model.depth,
        num_attention_heads=model.heads,
        intermediate_size=model.hidden_width,
        max_position_embeddings=size.task.inputs.length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=len(size.task.classes),
        pad_token_id=size.vocabulary - 2,
        attn_implementation="sdpa",
    )
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=plan.batch_size,
        per_device_eval_batch_size=EVALUATED_ROWS,
        learning_rate=plan.lr,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        max_grad_norm=training.clip or 0.0,
        weight_decay=plan.weight_decay,
        eval_strategy="no" if evaluate_every is None else "steps",
        eval_steps=evaluate_every,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        label_names=["labels"],
        train_sampling_strategy="group_by_length" if size.is_ragged else "random",
    )
    made = Trainer(
        model=BertForMaskedLM(bert) if is_masked else BertForSequenceClassification(bert),
        args=arguments,
        train_dataset=rows_of(size.task.train),
        eval_dataset=None if evaluate_every is None else rows_of(size.task.val),
        data_collator=lambda some: collate(some, size.vocabulary, mask_ratio, padded=size.is_ragged),
        **more,
    )
    made.remove_callback(PrinterCallback)
    return made


def trainer(size: Size, phase: PhaseName) -> Steps:
    """The Trainer, timed from the end of its warm-up to the end of its last step."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        begun = ended = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == WARM_STEPS:
                self.begun = time.perf_counter()
            self.ended = time.perf_counter()

    def steps(n: int) -> float:
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            made = hugging_face(size, size.training(phase), folder, steps=n + WARM_STEPS, callbacks=[clock])
            made.train()
        return clock.ended - clock.begun

    return steps


class PlainModel(nn.Module):
    """``torch.nn.TransformerEncoder`` with an embedding, learnt positions and a head."""

    def __init__(self, size: Size, outputs: int) -> None:
        super().__init__()
        config = size.request.model
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.hidden_width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.embedding = nn.Embedding(size.vocabulary, config.width)
        self.positions = nn.Parameter(torch.zeros(size.task.inputs.length, config.width))
        self.encoder = nn.TransformerEncoder(
            layer, config.depth, nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        self.head = nn.Linear(config.width, outputs)

    def forward(self, ids: Tensor, padding: Tensor | None) -> Tensor:
        """Hidden states (B, T, D)."""
        h = self.embedding(ids) + self.positions[: ids.shape[1]]
        encoded: Tensor = self.encoder(h, src_key_padding_mask=padding)
        return encoded


def plain(size: Size, phase: PhaseName) -> Steps:
    """A loop as one writes it by hand; the head of self-pretraining sees hidden positions alone."""
    training, config = size.training(phase), size.request.config
    mask_ratio = config.objective.mask_ratio if phase == "pretrain" else None
    torch.manual_seed(0)
    model = PlainModel(size, size.vocabulary if phase == "pretrain" else len(size.task.classes))
    optimizer = torch.optim.AdamW(model.parameters(), training.plan.lr, betas=ADAM_BETAS, fused=True)
    rows = rows_of(size.task.train)

    def step() -> None:
        chosen = torch.randint(len(rows), (training.plan.batch_size,)).tolist()
        batch = collate([rows[row] for row in chosen], size.vocabulary, mask_ratio, padded=size.is_ragged)
        padding = batch["attention_mask"] == 0 if size.is_ragged else None
        h, labels = model(batch["input_ids"], padding), batch["labels"]
        if phase == "pretrain":
            h, labels = h[labels != IGNORED], labels[labels != IGNORED]
        elif padding is not None:
            h = h.masked_fill(padding[..., None], 0.0).sum(1) / (~padding).sum(1, keepdim=True)
        else:
            h = h.mean(1)
        optimizer.zero_grad()
        F.cross_entropy(model.head(h), labels).backward()  # type: ignore[no-untyped-call]
        if training.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimizer.step()

    def steps(n: int) -> float:
        begun = time.perf_counter()
        for _ in range(n):
            step()
        return time.perf_counter() - begun

    return steps


def floor(size: Size, phase: PhaseName) -> Steps:
    """Products and fused attention that a step needs: the last block of self-pretraining at masked positions alone.

    A product takes part three times: forward, and for the gradients of its input and of its weights. Sequences have
    their mean length.
    """
    config, training = size.request.model, size.training(phase)
    width, inner, batch = config.width, config.hidden_width, training.plan.batch_size
    length = round(float(size.task.train.lengths.mean()))
    shapes, attentions = [], []
    for layer in range(config.depth):
        is_partial = phase == "pretrain" and layer == config.depth - 1
        queries = round(length * size.request.config.objective.mask_ratio) if is_partial else length
        shapes += [(length, width, 2 * width), (queries, width, width), (queries, width, width)]
        shapes += [(queries, width, inner), (queries, inner, width)]
        attentions.append((queries, length))
    like: dict[str, Any] = {"device": training.device, "dtype": getattr(torch, training.precision)}
    products = [
        [torch.randn(rows_and_columns, **like) for rows_and_columns in ((batch * rows, a), (a, b), (batch * rows, b))]
        for rows, a, b in shapes
    ]
    heads = [
        [
            torch.randn(batch, config.heads, rows, width // config.heads, requires_grad=True, **like)
            for rows in (queries, keys, keys)
        ]
        for queries, keys in attentions
    ]

    def steps(n: int) -> float:
        begun = time.perf_counter()
        for _ in range(n):
            for x, weights, gradient in products:
                x @ weights, gradient @ weights.T, x.T @ gradient
            for query, key, value in heads:
                F.scaled_dot_product_attention(query, key, value).sum().backward()  # type: ignore[no-untyped-call]
        x[0, 0].item()  # waits for an accelerator
        return time.perf_counter() - begun

    return steps


CONTESTANTS: dict[str, Callable[[Size, PhaseName], Steps]] = {
    "selfpretrain": ours,
    "Trainer": trainer,
    "plain loop": plain,
    "floor": floor,
}


def require_rivals() -> None:
    """Refuse to measure without the packages to be measured against."""
    missing = [name for name in RIVALS if importlib.util.find_spec(name) is None]
    if missing:
        raise RequestError(f"bench needs {' and '.join(missing)}; pip install 'selfpretrain[bench]'")
