"""A small DETR: a set of queries that each answer for one object or segment (Carion et al. 2020).

Queries carry boxes that every decoder layer refines (Liu et al. 2022, DAB-DETR); segments are dot
products of a query with the features of each pixel (Cheng et al. 2021, MaskFormer).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.backbones import Maps
from sightline.models.base import Batch, Model, Tensors
from sightline.models.blocks import resize
from sightline.models.inputs import Specs, first_layer, need_classes, only_input
from sightline.models.losses import batch_mean
from sightline.models.matching import generalised_iou, match, to_centres, to_corners
from sightline.models.necks import Fpn
from sightline.models.transformer import DecoderLayer, EncoderLayer, mlp, sine_places, token_places

NOTHING_WEIGHT = 0.1
LEAST_SCORE = 0.3
L1, GIOU, MASK, DICE = 5.0, 2.0, 5.0, 5.0
Stride = Literal[8, 16, 32]
Count = Annotated[int, Field(ge=1)]


class Detr(Model):
    """Backbone, encoder over tokens of one stride, decoder over queries, heads.

    Decoded, rows best first: `detect.boxes`, `.scores`, `.classes` with a row a query;
    `panoptic.segments` (B, H, W), each pixel the row whose score times mask is greatest, -1 where no
    row scores `LEAST_SCORE`, and rows of one stuff class are one; `embedding` (B, D).

    Args:
        signature: tasks `detect`, `panoptic` or both; `stuff` names the classes without instances.
        backbone: a preset or any timm name that offers maps.
        stride: of the tokens.
        width: of tokens and queries, a multiple of 4 and of `heads`.
        queries: objects answered for at most.
        layers: of the encoder and of the decoder.
        heads: of the attention.
    """

    stuff: Tensor

    def __init__(
        self,
        signature: Signature,
        backbone: str,
        *,
        stride: int,
        width: int,
        queries: int,
        layers: tuple[int, int],
        heads: int,
    ) -> None:
        super().__init__(signature)
        self.input, spec = next(iter(signature.inputs.items()))
        self.first = first_layer(spec)
        self.net = Maps(backbone, least=4, most=stride)
        if self.net.strides[-1] != stride:
            raise ModelError(f"backbone {backbone!r} has no maps of stride {stride}")
        self.project = nn.Conv2d(self.net.widths[-1], width, 1)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads) for _ in range(layers[0]))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads) for _ in range(layers[1]))
        self.queries = nn.Embedding(queries, width)
        self.anchors = nn.Parameter(start_anchors(queries))
        self.where = nn.Linear(width, width)
        self.classify = nn.Linear(width, len(signature.classes) + 1)
        # Boxes start at their anchors.
        self.refine = mlp(width, 4, still=True)
        self.masks = "panoptic" in signature.tasks
        if self.masks:
            self.pixels = Fpn([*self.net.widths, width], width, keep=1)
            self.mask = mlp(width, width)
        stuff = torch.tensor([name in signature.stuff for name in signature.classes])
        self.register_buffer("stuff", stuff, persistent=False)

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """Over L decoder layers: `logits` (B, L, Q, C + 1) and `boxes` (B, L, Q, 4) as centre and size
        over the picture's; for the last layer `mask` (B, Q, D), `pixels` (B, D, h, w); `deep` (B, D).
        """
        pixels = self.first(inputs[self.input])
        maps = self.net(pixels)
        plane = self.project(maps[-1])
        places = sine_places(token_places(plane), plane.shape[1])
        tokens = plane.flatten(2).transpose(1, 2)
        for layer in self.encoder:
            tokens = layer(tokens, places)
        queries, logits, boxes = self._decode_queries(tokens, places)
        out = {"logits": torch.stack(logits, 1).float(), "boxes": torch.stack(boxes, 1).float()}
        if self.masks:
            seen = tokens.transpose(1, 2).reshape(plane.shape)
            out["mask"] = self.mask(queries)
            out["pixels"] = self.pixels([*maps, seen])[0]
        return {**out, "deep": tokens.mean(1).float()}

    def _decode_queries(self, tokens: Tensor, places: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Queries after the last layer, and logits and boxes after each."""
        queries = self.queries.weight.expand(tokens.shape[0], -1, -1)
        anchors = self.anchors.expand(tokens.shape[0], -1, -1)
        logits, boxes = [], []
        for layer in self.decoder:
            where = self.where(sine_places(anchors[..., :2].sigmoid(), queries.shape[-1]))
            queries = layer(queries, where, tokens, places)
            refined = anchors + self.refine(queries)
            logits.append(self.classify(queries))
            boxes.append(refined.sigmoid())
            anchors = refined.detach()
        return queries, logits, boxes

    def decode(self, raw: Tensors) -> Tensors:
        """Rows by falling score, and the segment of each pixel."""
        scores, classes = raw["logits"][:, -1].softmax(-1)[..., :-1].max(-1)
        scores, order = scores.topk(scores.shape[1], dim=1)
        classes = classes.gather(1, order)
        width, height = next(iter(self.signature.inputs.values())).size_wh
        corners = to_corners(raw["boxes"][:, -1]).gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
        size = torch.tensor([width, height, width, height], device=corners.device)
        answers = {"detect.boxes": corners * size, "detect.scores": scores, "detect.classes": classes}
        if self.masks:
            mask = raw["mask"].gather(1, order.unsqueeze(-1).expand(-1, -1, raw["mask"].shape[-1]))
            answers["panoptic.segments"] = self._segments(mask, raw["pixels"], scores, classes)
            answers |= {"panoptic.scores": scores, "panoptic.classes": classes}
        return {**{n: answers[n] for n in self.signature.outputs}, "embedding": raw["deep"]}

    def _segments(self, mask: Tensor, pixels: Tensor, scores: Tensor, classes: Tensor) -> Tensor:
        """Row (B, H, W) of every pixel, -1 where there is none."""
        width, height = next(iter(self.signature.inputs.values())).size_wh
        covers = resize(mask_logits(mask, pixels).float(), (height, width)).sigmoid()
        claims = covers * (scores * (scores >= LEAST_SCORE))[..., None, None]
        best, row = claims.max(1)
        # Rows of one stuff class are one segment: that of the best row of the class.
        alike = (classes.unsqueeze(1) == classes.unsqueeze(2)) & self.stuff[classes].unsqueeze(2)
        own = torch.eye(classes.shape[1], dtype=torch.bool, device=classes.device)
        first = (alike | own).int().argmax(2)
        merged = first.gather(1, row.flatten(1)).view_as(row)
        return torch.where(best > 0, merged, -1)

    def losses(self, batch: Batch) -> Tensors:
        """Summed over decoder layers: `class` (cross-entropy over queries), `box` (L1), `giou`; and on
        the last layer `mask` (binary cross-entropy) and `dice`. Boxes of crowds teach nothing.
        """
        raw = self.raw(batch.inputs)
        width, height = next(iter(self.signature.inputs.values())).size_wh
        size = torch.tensor([width, height, width, height], device=raw["boxes"].device)
        rows = []
        for i, target in enumerate(batch.targets):
            kept = torch.nonzero(~target["crowd"]).flatten()
            labels, truth = target["labels"][kept], to_centres(target["boxes"][kept] / size)
            terms: Tensors = {}
            for layer in range(raw["logits"].shape[1]):
                logits, boxes = raw["logits"][i, layer], raw["boxes"][i, layer]
                pairs = match(logits, boxes, labels, truth)
                _add(terms, self._set_terms(logits, boxes, labels, truth, pairs))
            if self.masks:
                guess = mask_logits(raw["mask"][i : i + 1, pairs[0]], raw["pixels"][i : i + 1])[0]
                terms |= mask_terms(guess, target["panoptic"], kept[pairs[1]])
            rows.append(terms)
        per_term = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        out = {name: batch_mean(value, batch.weights) for name, value in per_term.items()}
        return {**out, "per_example": torch.stack(list(per_term.values())).sum(0).detach()}

    def _set_terms(
        self, logits: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor, pairs: tuple[Tensor, Tensor]
    ) -> Tensors:
        """Terms () of one picture and layer; means over queries (class) and objects (boxes)."""
        found, objects = pairs
        wanted = torch.full((len(logits),), logits.shape[1] - 1, device=logits.device)
        wanted[found] = labels[objects]
        nothing = torch.tensor([NOTHING_WEIGHT], device=logits.device)
        weights = torch.cat([self.class_weights.to(logits.device), nothing])
        terms = {"class": F.cross_entropy(logits, wanted, weights)}
        near, true = boxes[found], truth[objects]
        share = self.class_weights.to(logits.device)[labels[objects]] / max(1, len(objects))
        terms["box"] = L1 * ((near - true).abs().sum(-1) * share).sum()
        overlap = generalised_iou(to_corners(near), to_corners(true))
        terms["giou"] = GIOU * ((1 - overlap) * share).sum()
        return terms

    def backbone(self) -> nn.Module:
        """The timm network."""
        return self.net


def _add(total: Tensors, terms: Tensors) -> None:
    for name, value in terms.items():
        total[name] = total[name] + value if name in total else value


def start_anchors(queries: int) -> Tensor:
    """Boxes (Q, 4) before the sigmoid: centres on an even grid, a quarter of the picture in size."""
    side = int(queries**0.5 + 0.999)
    places = (torch.arange(side) + 0.5) / side
    grid_y, grid_x = torch.meshgrid(places, places, indexing="ij")
    spread = torch.randperm(side * side)[:queries]
    centres = torch.stack([grid_x.flatten()[spread], grid_y.flatten()[spread]], 1)
    return torch.cat([centres, torch.full((queries, 2), 0.25)], 1).logit()


def mask_logits(mask: Tensor, pixels: Tensor) -> Tensor:
    """Masks (B, Q, h, w) of queries (B, Q, D) over pixel features (B, D, h, w)."""
    flat = mask @ pixels.flatten(2)
    return flat.view(*flat.shape[:2], pixels.shape[-2], pixels.shape[-1])


def mask_terms(logits: Tensor, panoptic: Tensor, rows: Tensor) -> Tensors:
    """Terms () of masks (M, h, w) that answer for the segments `rows` (M,) of a map (H, W), -1 void."""
    # Shares of each cell, not a sample of it: that would shift every edge by part of a cell.
    shares = torch.cat([(panoptic == rows[:, None, None]), (panoptic >= 0)[None]]).float()
    small = F.interpolate(shares[None], size=logits.shape[-2:], mode="area")[0].flatten(1)
    truth, known = small[:-1], small[-1]
    flat = logits.float().flatten(1)
    share = 1 / max(1, len(rows))
    each = F.binary_cross_entropy_with_logits(flat, truth, reduction="none") * known
    guess = flat.sigmoid() * known
    meet = (guess * truth).sum(1)
    overlap = (2 * meet + 1) / (guess.sum(1) + truth.sum(1) + 1)
    # A segment that is all void (its map does not show it) has nothing to teach.
    shown = (truth > 0).any(1).float() * share
    return {
        "mask": MASK * (each.sum(1) / known.sum().clamp_min(1) * shown).sum(),
        "dice": DICE * ((1 - overlap) * shown).sum(),
    }


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    backbone: str = "resnet18",
    stride: Stride = 16,
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 128,
    queries: Count = 50,
    encoder_layers: Count = 2,
    decoder_layers: Count = 3,
    heads: Count = 8,
    stuff: tuple[str, ...] = (),
) -> Model:
    """A small DETR, 320x256 unless told."""
    order: tuple[Task, ...] = tasks or ("detect", "panoptic")
    if not set(order) <= {"detect", "panoptic"}:
        raise ModelError(f"answers detect and panoptic, not {', '.join(order)}", where=f"model {name!r}")
    need_classes(name, classes)
    if set(stuff) - set(classes) or width % heads:
        raise ModelError(
            f"stuff {', '.join(stuff)} must be classes, and width {width} a multiple of {heads} heads",
            where=f"model {name!r}",
        )
    key, spec = only_input(name, inputs, InputSpec((320, 256)))
    return Detr(
        Signature(order, classes, {key: spec}, stuff=stuff),
        backbone,
        stride=stride,
        width=width,
        queries=queries,
        layers=(encoder_layers, decoder_layers),
        heads=heads,
    )
