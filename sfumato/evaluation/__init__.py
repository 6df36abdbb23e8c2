"""How good models are: generators, restorers, and whether a generator copies."""
