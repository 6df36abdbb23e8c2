"""Lets a photograph dream: DeepDream with a layer, then one channel alone, and an image for each of some channels.

    python dream.py photo.jpg                           # SqueezeNet, downloaded once (5 MB)
    python dream.py photo.jpg digits-classifier stages.6 4  # a network, a layer, a number of steps

`sfumato dream --layers NETWORK` lists the layers of a network.
"""

import sys

import sfumato as sf

picture, network, layer, steps = sys.argv[1:] if len(sys.argv) == 5 else (sys.argv[1], "squeezenet", "fire7", "10")

whole = sf.dream(picture, network, sf.Dream(layers=(layer,), steps=int(steps), octaves=3))
whole.save("dream.png")
sf.dream(picture, network, sf.Dream(layers=(f"{layer}:0",), steps=int(steps), octaves=1)).save("dream-channel.png")
sf.features(network, layer, channels=[0, 1, 2, 3], steps=int(steps)).save("channels.png")
print(f"activation of {layer}: {whole.before[0]:.3g} before, {whole.after[0]:.3g} after")
