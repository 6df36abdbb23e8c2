"""Roles: the jobs of networks. Every concrete network is final and fills one role or several.

| role | input to output | `forward` |
|---|---|---|
| Generator | latents (and labels) to images | `sample` |
| StyleGenerator | the same in two steps, latents to styles to images | `sample` |
| AdversarialGenerator | the same, with a discriminator | `sample` |
| LatentVariableModel | a generator that also infers latents, with a likelihood | `sample` |
| Restorer | degraded images to clean ones | `restore` |
| Deblurrer | the same, with the kernels of the blur | `restore` |
| AdversarialRestorer | a restorer with a discriminator | `restore` |
| Classifier | images to class scores | `classify` |
| FeatureExtractor | images to feature vectors | `features` |
| FeaturePyramid, Backbone | images to maps of features, by scale or by name | `layers` |
| PerceptualMetric | two images to their distance | `distance` |

A role defines `forward` once, as its main method, so that `network(x)`, hooks, `torch.compile` and `torch.export` work with every network.
"""
