from __future__ import annotations

from contracts.model_contract import ModelContract
from sightline.models.base import Model
from sightline.models.catalogue import build


class TestResnet(ModelContract):
    name = "test_resnet"
    published = (25.56, 2)

    @classmethod
    def published_model(cls) -> Model:
        return build("resnet50", classes=[str(i) for i in range(1000)])


class TestEfficientNet(ModelContract):
    name = "test_efficientnet"
    options = {"label_smoothing": 0.05}
    published = (5.29, 2)

    @classmethod
    def published_model(cls) -> Model:
        return build("efficientnet_b0", classes=[str(i) for i in range(1000)])
