"""How good models are: `metrics` of what generators, restorers and codecs make of data sets, and whether a generator copies."""
