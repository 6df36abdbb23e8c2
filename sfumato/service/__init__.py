"""Models behind HTTP: pictures come in as bodies of requests, and results go out as bodies of answers.

    request ─ options ─ a place in the queue ─ body within its limits ─ a free process ─ answer
              (app.py)   (pool.py)              (intake.py)               (worker.py)

The server itself never imports PyTorch and opens no picture beyond its first bytes. Processes of their own compute, so that the server
answers while they work, a computation that takes too long can be ended, and a picture that ends its process ends nothing else.

| file | contents |
|---|---|
| `settings.py` | models, limits, address |
| `options.py` | the options of each verb, read from the query of an address |
| `answers.py` | an answer, and a refusal |
| `intake.py` | the body of a request, with limits on bytes, pixels and time |
| `frames.py` | messages between the server and its processes |
| `pool.py` | the processes, the queue in front of them, timeouts |
| `worker.py`, `verbs.py` | one process, and what it computes |
| `metrics.py` | counters in the text format of Prometheus |
| `app.py`, `server.py` | the addresses; start, signals, stop |
"""
