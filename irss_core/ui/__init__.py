"""The web page: one module a tab, and the plain parts below them.

``layout`` assembles the page from ``image_tab``, ``clip_tab``, ``bench_tab``, ``models_tab`` and ``endpoints``; these
stand on ``stills``, ``clips`` and ``benches`` (what is computed), ``running`` (in which order, with progress),
``sessions`` (for whom, in which folder) and ``rendering`` (how it looks). Only the first six, ``vote_panel`` and
``events`` know gradio.
"""
