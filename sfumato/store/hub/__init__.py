"""Models on a hub: `hf:owner/name[@revision]` wherever a model is named, and `push`.

    address ─ fetch ─ model.safetensors in the hub's cache ─ checkpoint.load (keys and shapes checked, nothing executed)
    model ─ push ─ model.safetensors + README.md made from the model's card ─ one commit

Pickles are neither read nor written. The package huggingface_hub is imported by the functions that need it (`client.library`).
"""
