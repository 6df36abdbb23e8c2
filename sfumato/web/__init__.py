"""The studio: every task on a page in the browser, on this machine alone.

    browser ─ gate (who may ask for what) ─ pages (gradio) ─ jobs ─> worker process ─ tasks ─> sfumato's public API

The server itself knows neither torch nor networks: it starts quickly, and a job is cancelled by ending the worker that does it. Only
`server.py` and `pages/` know gradio.
"""
