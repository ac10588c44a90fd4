from __future__ import annotations

from contracts.model_contract import ModelContract


class TestUnet(ModelContract):
    name = "unet"
    options = {"encoder": "test_resnet"}
    rate = 5e-3
